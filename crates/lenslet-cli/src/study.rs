//! `lenslet study`: what each of several changes to a training buys and what it costs, over several seeds, on this machine.
//!
//! A study is a file like `studies/lesson.toml`. Its folder holds `results.jsonl`, a line for each training that is done, so that a
//! study which was stopped goes on where it was; and, after each, a table (`study.md`) and a chart (`study.png`, `.svg`).

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use lenslet_report::Step as Drawn;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::{self, percent};
use crate::recipe::{Flags, content, flags_of, text_of};
use crate::run_folder::cannot_write;
use crate::table::{Align, Table};
use crate::train::from_flags;
use crate::trial::{Outcome, Trials, mean_and_spread};

/// Train with one change after the other, several seeds each; write a table and a chart of accuracy against time.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Study {
    /// A study of your own, as --print shows one [default: from the lesson's network to past 80 %].
    #[arg(value_name = "STUDY.toml")]
    study: Option<PathBuf>,
    /// Folder of the results; trainings that are there already are not done again.
    #[arg(long, short, value_name = "DIR", default_value = "study")]
    out: PathBuf,
    /// Where the data are [default: what the study says].
    #[arg(long)]
    data: Option<String>,
    /// Seeds of each step, from 0 on [default: the study's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Epochs of each training [default: the study's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Print the study, to be changed.
    #[arg(long)]
    print: bool,
    /// Print one JSON object a training.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Ctrl-C ends a study; the same command goes on with it.

Examples:
  lenslet study                             Some 15 minutes on two cores
  lenslet study --seeds 1 --epochs 5        A first look
  lenslet study --print > mine.toml         Then change it, and: lenslet study mine.toml -o mine";

const LESSON: &str = include_str!("../studies/lesson.toml");

/// What a study's file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    about: String,
    seeds: u64,
    step: Vec<StepContent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepContent {
    name: String,
    train: toml::Table,
}

/// A step with all flags that hold for it.
struct Step {
    name: String,
    flags: Flags,
}

/// A training that is done.
#[derive(Serialize, Deserialize)]
struct Done {
    step: String,
    seed: u64,
    /// Its flags, so that a changed study does not take another's results for its own.
    flags: Flags,
    #[serde(flatten)]
    outcome: Outcome,
}

pub(crate) fn run(options: &Study) -> Result<(), Failure> {
    let (name, text) = match &options.study {
        None => ("lesson".to_owned(), LESSON.to_owned()),
        Some(path) => (path.display().to_string(), text_of("study", path)?),
    };
    if options.print {
        return output::result(text.trim_end());
    }
    let content: Content = content("study", &name, &text)?;
    let seeds = options.seeds.unwrap_or(content.seeds);
    let steps = steps(&name, &content, options)?;
    fs::create_dir_all(&options.out).map_err(|error| cannot_write(&options.out, &error))?;
    let results = options.out.join("results.jsonl");
    let mut done = read(&results);
    let mut trials = Trials::new();
    // All steps with one seed first: a study that is stopped has something to say of each.
    for seed in 0..seeds {
        for step in &steps {
            if !done.iter().any(|done| done.is(step, seed)) {
                let mut flags = step.flags.clone();
                flags.insert("seed".into(), vec![seed.to_string()]);
                output::note(format_args!("step      {}, seed {seed}", step.name));
                let outcome = trials.run(&from_flags(&flags)?)?;
                let new = Done { step: step.name.clone(), seed, flags: step.flags.clone(), outcome };
                append(&results, &new).map_err(|error| cannot_write(&results, &error))?;
                say(options, &new)?;
                done.push(new);
            }
            write(options, &content.about, &steps, &done, seeds)?;
        }
    }
    if options.json {
        return Ok(());
    }
    output::result(format_args!("{}\n", table(&steps, &done, seeds)))?;
    output::result(format_args!("in {}: study.md, study.png, study.svg, results.jsonl", options.out.display()))
}

/// The steps, each with what those before it have changed; every one is understood before the first is run.
fn steps(name: &str, content: &Content, options: &Study) -> Result<Vec<Step>, Failure> {
    let mut flags = Flags::new();
    let mut steps = vec![];
    for StepContent { name: step, train } in &content.step {
        flags.extend(flags_of(step, train)?);
        let mut flags = flags.clone();
        flags.extend(options.data.iter().map(|data| ("data".to_owned(), vec![data.clone()])));
        flags.extend(options.epochs.iter().map(|epochs| ("epochs".to_owned(), vec![epochs.to_string()])));
        let understood = from_flags(&flags).and_then(|train| train.settings().map(|_| train));
        let understood = understood.and_then(|train| Ok(lenslet::networks::find(&train.model).map(|_| ())?));
        understood.map_err(|failure| match failure {
            Failure::Mend(message) => Failure::Mend(format!("{name}, step \"{step}\": {message}")),
            failure => failure,
        })?;
        steps.push(Step { name: step.clone(), flags });
    }
    if steps.is_empty() {
        return Err(Failure::Mend(format!("{name}: the study has no steps\n  mend it: add a [[step]]")));
    }
    Ok(steps)
}

impl Done {
    fn is(&self, step: &Step, seed: u64) -> bool {
        self.seed == seed && self.step == step.name && self.flags == step.flags
    }
}

/// The trainings that are done; a torn line is passed over, and its training done again.
fn read(results: &Path) -> Vec<Done> {
    let text = fs::read_to_string(results).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn append(results: &Path, done: &Done) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(results)?;
    writeln!(file, "{}", output::to_json(done))
}

fn say(options: &Study, done: &Done) -> Result<(), Failure> {
    if options.json {
        return output::json(done);
    }
    let Done { outcome: Outcome { test_accuracy, seconds, .. }, .. } = done;
    output::note(format_args!("          {} in {seconds:.1} s", percent(*test_accuracy)));
    Ok(())
}

/// Accuracies and times of a step, of all its seeds that are done.
fn outcomes<'a>(step: &'a Step, done: &'a [Done], seeds: u64) -> impl Iterator<Item = Outcome> + 'a {
    (0..seeds).filter_map(|seed| done.iter().find(|done| done.is(step, seed))).map(|done| done.outcome)
}

/// The table of a study, for people.
fn table(steps: &[Step], done: &[Done], seeds: u64) -> Table<5> {
    let mut table = Table::new([
        ("step", Align::Left),
        ("test accuracy", Align::Right),
        ("gain", Align::Right),
        ("time", Align::Right),
        ("seeds", Align::Right),
    ]);
    rows(steps, done, seeds).for_each(|row| table.row(row));
    table
}

/// Name, accuracy with its spread, gain over the step before, time, number of seeds.
fn rows(steps: &[Step], done: &[Done], seeds: u64) -> impl Iterator<Item = [String; 5]> {
    let mut before: Option<f64> = None;
    steps.iter().map(move |step| {
        let (accuracies, times): (Vec<f64>, Vec<f64>) =
            outcomes(step, done, seeds).map(|outcome| (outcome.test_accuracy * 100.0, outcome.seconds)).unzip();
        if accuracies.is_empty() {
            return [step.name.clone(), "not run".into(), String::new(), String::new(), "0".into()];
        }
        let ((accuracy, spread), (seconds, _)) = (mean_and_spread(&accuracies), mean_and_spread(&times));
        let gain = before.map_or_else(String::new, |before| format!("{:+.1}", accuracy - before));
        before = Some(accuracy);
        let spread = if accuracies.len() > 1 { format!(" ± {spread:.1}") } else { String::new() };
        let accuracy = format!("{accuracy:.1}{spread} %");
        [step.name.clone(), accuracy, gain, format!("{seconds:.0} s"), accuracies.len().to_string()]
    })
}

/// Table and chart as files.
fn write(options: &Study, about: &str, steps: &[Step], done: &[Done], seeds: u64) -> Result<(), Failure> {
    let mut text = format!(
        "# A study: {about}\n\n| step | test accuracy | gain | time | seeds |\n| --- | ---: | ---: | ---: | ---: |\n"
    );
    for row in rows(steps, done, seeds) {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text += "\nEach step keeps what those before it have changed; mean ± standard deviation over the seeds. The settings:\n\n";
    for step in steps {
        let flags = step.flags.iter().map(|(flag, values)| match values.first() {
            Some(value) if value.contains(' ') => format!(" --{flag} \"{value}\""),
            Some(value) => format!(" --{flag} {value}"),
            None => format!(" --{flag}"),
        });
        text += &format!("- {}: `lenslet train{}`\n", step.name, flags.collect::<String>());
    }
    let file = options.out.join("study.md");
    fs::write(&file, text).map_err(|error| cannot_write(&file, &error))?;
    let accuracies: Vec<Vec<f64>> =
        steps.iter().map(|step| outcomes(step, done, seeds).map(|outcome| outcome.test_accuracy).collect()).collect();
    let drawn = steps.iter().zip(&accuracies).map(|(step, accuracies)| {
        let times: Vec<f64> = outcomes(step, done, seeds).map(|outcome| outcome.seconds).collect();
        Drawn { name: &step.name, seconds: mean_and_spread(&times).0, accuracies }
    });
    let drawing = lenslet_report::study(&format!("A study: {about}"), &drawn.collect::<Vec<_>>());
    drawing.save(&options.out, "study").map_err(|error| cannot_write(&options.out, &error))
}
