//! The program `lenslet`: trains, evaluates and asks convolutional networks from the command line.
//!
//! One file per command; each reads its arguments, drives the library and says what came of it. `run_folder` knows what
//! lies in a run's folder and `run_record` reads it back, `report`, `table` and `pictures` how results look, `progress` how
//! training looks while it goes on, `recipe` what a recipe is, `trial` how one training is tried.
//! *Invariants:* results go to standard output, everything else to standard error. What a user can mend is a
//! [`Failure`](failure::Failure), said in one message, with exit code 2; a panic is a fault of ours, with exit code 1.
#![forbid(unsafe_code)]

mod augment;
mod bench;
mod check;
mod data;
mod data_command;
mod download;
mod eval;
mod failure;
mod interrupt;
mod machine;
mod network;
mod output;
mod pictures;
mod predict;
mod progress;
mod recipe;
mod recipes;
mod report;
mod run_folder;
mod run_record;
mod runs;
mod study;
mod summary;
mod table;
mod threads;
mod train;
mod trial;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use lenslet::cpu::Isa;

use failure::Failure;

/// Convolutional networks that classify images: sizes proved before anything runs, trained fast on the CPU.
#[derive(Parser)]
#[command(name = "lenslet", version, after_help = EXAMPLES)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lenslet train                                 Train the lesson's network on the embedded pictures, within a minute
  lenslet train --recipe over80                 Past 80 % on CIFAR-10 within a minute
  lenslet predict runs/lesson-shapes-1 dog.png  Ask the trained network about a picture
  lenslet runs                                  List the runs with their settings and results
  lenslet summary lesson                        Sizes, arithmetic and parameters of a network, line by line
  lenslet bench lesson                          Time of each layer on this machine

Exit codes: 0 done; 2 something you can mend, said in one message; 1 a fault of ours; 130 stopped by Ctrl-C.";

#[derive(Subcommand)]
enum Command {
    // It has many more settings than the others.
    Train(Box<train::Train>),
    Eval(eval::Eval),
    Predict(predict::Predict),
    Runs(runs::Runs),
    Summary(summary::Summary),
    Check(check::Check),
    Bench(bench::Bench),
    Data(data_command::Data),
    Augment(augment::Augment),
    Recipes(recipes::Recipes),
    Study(study::Study),
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        output::note(failure::fault_of_ours(panic));
        // From whichever thread it was: the others are of no use any more.
        std::process::exit(1);
    }));
    let matches = Program::command().get_matches();
    let program = Program::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let flags = matches.subcommand().map_or(&matches, |(_, flags)| flags);
    let result = instruction_set().and_then(|()| run(program.command, flags));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Whether this processor has the instruction set that the environment asks for.
fn instruction_set() -> Result<(), Failure> {
    let Some(asked) = Isa::asked_in_vain() else { return Ok(()) };
    let words: Vec<&str> = Isa::available().into_iter().map(Isa::word).collect();
    Err(Failure::Mend(format!(
        "LENSLET_ISA is {asked:?}, but this processor has {}\n  mend it: one of these, or unset LENSLET_ISA for the best",
        words.join(", ")
    )))
}

fn run(command: Command, flags: &ArgMatches) -> Result<(), Failure> {
    match command {
        Command::Train(options) => train::run(&options, flags),
        Command::Eval(options) => eval::run(&options),
        Command::Predict(options) => predict::run(&options),
        Command::Runs(options) => runs::run(&options),
        Command::Summary(options) => summary::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Data(options) => data_command::run(&options),
        Command::Augment(options) => augment::run(&options),
        Command::Recipes(options) => recipes::run(&options),
        Command::Study(options) => study::run(&options),
    }
}
