//! `lenslet recipes`: the recipes that `lenslet train --recipe` takes, what they claim, and whether that is so.

use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;
use crate::recipe::{Flags, Measured, Recipe, Target, all, minutes, set};
use crate::table::{Align, Table};
use crate::train::from_flags;
use crate::trial::{Outcome, Trials, mean_and_spread};

/// List the recipes for training, print one, or check what it claims.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Recipes {
    /// A recipe, to be printed; a name or a file of your own.
    #[arg(value_name = "RECIPE")]
    recipe: Option<String>,
    /// Train with as many seeds as the claim is about, and compare. Exit code 1 if the accuracy is another.
    #[arg(long, requires = "recipe")]
    check: bool,
    /// Seeds to check with, from 0 on [default: the recipe's].
    #[arg(long, value_name = "N", requires = "check", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Where the data are [default: what the recipe says].
    #[arg(long, requires = "check")]
    data: Option<String>,
    /// Change a setting for the check.
    #[arg(long, value_name = "KEY=VALUE", requires = "check")]
    set: Vec<String>,
    /// Print JSON objects instead.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lenslet recipes
  lenslet recipes over80 > mine.toml        A recipe of your own: change it, then lenslet train --recipe mine.toml
  lenslet recipes over80 --check            Does it reach what it claims, on this machine?
  lenslet train --recipe over80 --set epochs=6";

pub(crate) fn run(options: &Recipes) -> Result<(), Failure> {
    let Some(name) = &options.recipe else { return list(options.json) };
    let recipe = Recipe::find(name)?;
    if options.check { check(options, &recipe) } else { output::result(recipe.text.trim_end()) }
}

/// A recipe for programs.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    about: &'a str,
    target_accuracy: Option<f64>,
    target_seconds: Option<f64>,
    accuracies: &'a [f64],
    seconds: &'a [f64],
    machine: Option<&'a str>,
}

fn list(json: bool) -> Result<(), Failure> {
    let mut table = Table::new([
        ("recipe", Align::Left),
        ("what it is", Align::Left),
        ("target", Align::Left),
        ("measured", Align::Left),
    ]);
    let mut machine = None;
    for Recipe { name, content, .. } in all() {
        let (target, measured) = (&content.target, &content.measured);
        if json {
            output::json(&Listed {
                name: &name,
                about: &content.about,
                target_accuracy: target.as_ref().map(|target| target.accuracy / 100.0),
                target_seconds: target.as_ref().and_then(|target| target.seconds),
                accuracies: measured.as_ref().map_or(&[], |measured| &measured.accuracies),
                seconds: measured.as_ref().map_or(&[], |measured| &measured.seconds),
                machine: measured.as_ref().map(|measured| &*measured.machine),
            })?;
        }
        let reached = measured.as_ref().map_or_else(|| "not yet".into(), describe);
        table.row([name, content.about, target.as_ref().map_or_else(String::new, Target::describe), reached]);
        machine = machine.or(content.measured.map(|measured| measured.machine));
    }
    if json {
        return Ok(());
    }
    output::result(&table)?;
    let machine = machine.map_or_else(String::new, |machine| format!("measured on {machine}; "));
    output::result(format_args!("\n{machine}lenslet recipes RECIPE prints one, lenslet train --recipe RECIPE runs it"))
}

/// `81.4 ± 0.2 % (5 seeds), 48 s`.
fn describe(measured: &Measured) -> String {
    let ((accuracy, spread), (seconds, _)) =
        (mean_and_spread(&measured.accuracies), mean_and_spread(&measured.seconds));
    let seeds = measured.accuracies.len();
    let of = if seeds == 1 { "1 seed".to_owned() } else { format!("{seeds} seeds") };
    let spread = if seeds > 1 { format!(" ± {spread:.1}") } else { String::new() };
    format!("{accuracy:.1}{spread} % ({of}), {}", minutes(seconds))
}

/// A seed's result, for programs.
#[derive(Serialize)]
struct Seed {
    event: &'static str,
    seed: u64,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What the check came to, for programs.
#[derive(Serialize)]
struct Verdict<'a> {
    event: &'static str,
    recipe: &'a str,
    test_accuracy: f64,
    spread: f64,
    seconds: f64,
    reached: Option<bool>,
}

fn check(options: &Recipes, recipe: &Recipe) -> Result<(), Failure> {
    let target = recipe.content.target.as_ref();
    let seeds = options.seeds.or(target.map(|target| target.seeds)).unwrap_or(1);
    let mut flags = recipe.flags()?;
    options.set.iter().try_for_each(|text| set(&mut flags, text))?;
    flags.extend(options.data.iter().map(|data| ("data".to_owned(), vec![data.clone()])));
    let mut trials = Trials::new();
    let outcomes = (0..seeds).map(|seed| one(options, &flags, seed, &mut trials)).collect::<Result<Vec<_>, _>>()?;
    let accuracies: Vec<f64> = outcomes.iter().map(|outcome| outcome.test_accuracy).collect();
    let ((accuracy, spread), seconds) = (mean_and_spread(&accuracies), outcomes.iter().map(|outcome| outcome.seconds));
    let longest = seconds.fold(0.0, f64::max);
    let reached = target.map(|target| target.is_reached(accuracy * 100.0));
    if options.json {
        let recipe = &*recipe.name;
        let event = "checked";
        output::json(&Verdict { event, recipe, test_accuracy: accuracy, spread, seconds: longest, reached })?;
    } else {
        output::result(format_args!(
            "mean {:.2} % ± {:.2}, the longest {}{}",
            accuracy * 100.0,
            spread * 100.0,
            minutes(longest),
            target.map_or_else(String::new, |target| verdict(target, reached == Some(true), longest))
        ))?;
    }
    if reached == Some(false) { Err(Failure::NotReached) } else { Ok(()) }
}

/// Trains with a seed, and says what came of it.
fn one(options: &Recipes, flags: &Flags, seed: u64, trials: &mut Trials) -> Result<Outcome, Failure> {
    let mut flags = flags.clone();
    flags.insert("seed".into(), vec![seed.to_string()]);
    let outcome = trials.run(&from_flags(&flags)?)?;
    if options.json {
        output::json(&Seed { event: "seed", seed, outcome })?;
    } else {
        let Outcome { test_accuracy, seconds, images_per_second, .. } = outcome;
        output::result(format_args!(
            "seed {seed}: {:.2} % after {} ({} images/s)",
            test_accuracy * 100.0,
            minutes(seconds),
            output::count(images_per_second as u64)
        ))?;
    }
    Ok(outcome)
}

/// `; the target is 94.0 ± 0.15 %, under 45 min: reached`.
fn verdict(target: &Target, reached: bool, longest: f64) -> String {
    let late = target.seconds.is_some_and(|seconds| longest > seconds);
    let word = match (reached, late) {
        (true, false) => "reached",
        (true, true) => "reached, but not in that time",
        (false, _) => "NOT reached",
    };
    format!("; the target is {}: {word}", target.describe())
}
