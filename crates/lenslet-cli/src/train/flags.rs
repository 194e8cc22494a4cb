//! The flags of `lenslet train` as they were typed: recorded with a run, and compared when it goes on.
//!
//! *Invariant:* a run that goes on means what its first command line meant. A flag that says otherwise is an error, so
//! that nobody believes to have changed a run; only flags in [`FREE`] and a larger `--epochs` are taken.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use lenslet::{Schedule, Settings};

use super::options::{NOT_GIVEN, Train, settings_by_flag};
use crate::failure::Failure;
use crate::recipe::{Flags, Recipe, set};

/// What decides nothing about the weights. `--data` may name another place; the images there must be the same.
const FREE: [&str; 8] = ["threads", "json", "checkpoint-every", "keep", "data", "resume", "tensorboard", "no-cache"];

/// What belongs to one process, not to its run.
const OF_THE_PROCESS: [&str; 4] = ["json", "resume", "out", "no-cache"];

/// What stands for other flags, which are recorded in its place.
const SHORTHANDS: [&str; 2] = ["recipe", "set"];

fn command() -> Command {
    Train::augment_args(Command::new("train"))
}

/// The flags that the user typed.
pub(super) fn typed(matches: &ArgMatches) -> Flags {
    let command = command();
    let given = command
        .get_arguments()
        .filter(|argument| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine));
    let values = |id: &str| matches.get_raw(id).unwrap_or_default().map(|value| value.to_string_lossy().into_owned());
    let flag = |argument: &clap::Arg| {
        let takes_values = argument.get_action().takes_values();
        let values = if takes_values { values(argument.get_id().as_str()).collect() } else { vec![] };
        Some((argument.get_long()?.to_owned(), values))
    };
    given.filter_map(flag).collect()
}

/// The flags of a recipe, changed by `sets` and by what else was typed, with the options that they make.
pub(super) fn of_recipe(recipe: &str, sets: &[String], typed: &Flags) -> Result<(Flags, Train), Failure> {
    let recipe = Recipe::find(recipe)?;
    let mut flags = recipe.flags()?;
    sets.iter().try_for_each(|text| set(&mut flags, text))?;
    let others = typed.iter().filter(|(flag, _)| !SHORTHANDS.contains(&flag.as_str()));
    flags.extend(others.map(|(flag, values)| (flag.clone(), values.clone())));
    let options = from_flags(&flags).map_err(|failure| match failure {
        Failure::Mend(message) => Failure::Mend(format!("--recipe {}: {message}", recipe.name)),
        failure => failure,
    })?;
    Ok((flags, options))
}

/// The options that flags make.
pub(crate) fn from_flags(flags: &Flags) -> Result<Train, Failure> {
    parse(flags).map(|(_, options)| options).map_err(|error| {
        let text = error.to_string();
        // clap's own words, without its usage lines.
        let said = text.split("\n\nUsage:").next().unwrap_or_default();
        Failure::Mend(said.trim_start_matches("error: ").trim_end().to_owned())
    })
}

/// Those that are recorded with a run.
pub(super) fn recorded(flags: &Flags) -> Flags {
    let of_the_run = |(flag, _): &(&String, &Vec<String>)| !OF_THE_PROCESS.contains(&flag.as_str());
    flags.iter().filter(of_the_run).map(|(flag, values)| (flag.clone(), values.clone())).collect()
}

/// As one would type them.
pub(super) fn as_typed(flags: &Flags) -> String {
    let typed = flags.iter().map(|(flag, values)| match values.as_slice() {
        [] => format!(" --{flag}"),
        values => values.iter().map(|value| format!(" --{flag} {value}")).collect(),
    });
    typed.collect()
}

/// A run that goes on: its flags and options, with what was typed now, and its settings.
pub(super) fn go_on(was: &Flags, settings: &Settings, now: &Flags) -> Result<(Flags, Train, Settings), Failure> {
    let mut flags = was.clone();
    flags.extend(now.iter().map(|(flag, values)| (flag.clone(), values.clone())));
    let parse = |flags: &Flags| {
        parse(flags).map_err(|error| {
            Failure::Mend(format!(
                "this version of lenslet does not understand the flags that the run was begun with: {error}"
            ))
        })
    };
    let (before, after) = (parse(was)?, parse(&flags)?);
    let settings = compare_settings(settings, &after.1.settings()?, now)?;
    let by_flag = settings_by_flag(&settings);
    let is_setting = |flag: &String| by_flag.iter().any(|(name, _)| name == flag);
    for flag in now.keys().filter(|flag| !FREE.contains(&flag.as_str()) && !is_setting(flag)) {
        let (was, now) = (value(&before.0, flag), value(&after.0, flag));
        if was != now {
            return Err(contradiction(flag, &now, &was));
        }
    }
    Ok((recorded(&flags), after.1, settings))
}

fn parse(flags: &Flags) -> Result<(ArgMatches, Train), clap::Error> {
    let typed = flags.iter().flat_map(|(flag, values)| match values.as_slice() {
        [] => vec![format!("--{flag}")],
        values => values.iter().map(|value| format!("--{flag}={value}")).collect(),
    });
    let matches = command().try_get_matches_from(std::iter::once("train".to_owned()).chain(typed))?;
    let options = Train::from_arg_matches(&matches)?;
    Ok((matches, options))
}

/// A flag's value in words, its default included.
fn value(matches: &ArgMatches, flag: &str) -> String {
    let id = command().get_arguments().find(|argument| argument.get_long() == Some(flag)).map(|a| a.get_id().clone());
    let values = id.and_then(|id| Some(matches.get_raw(id.as_str())?.map(|v| v.to_string_lossy()).collect::<Vec<_>>()));
    values.map_or_else(|| NOT_GIVEN.into(), |values| values.join(" "))
}

/// The run's settings; more epochs than before if that changes nothing about those that are done.
fn compare_settings(was: &Settings, typed: &Settings, now: &Flags) -> Result<Settings, Failure> {
    let pairs = settings_by_flag(was).into_iter().zip(settings_by_flag(typed));
    for ((flag, was), (_, typed)) in pairs.filter(|((flag, _), _)| *flag != "epochs" && now.contains_key(*flag)) {
        if was != typed {
            return Err(contradiction(flag, &typed, &was));
        }
    }
    if !now.contains_key("epochs") || typed.epochs == was.epochs {
        return Ok(was.clone());
    }
    match was.schedule {
        _ if typed.epochs < was.epochs => Err(Failure::Mend(format!(
            "--epochs is {}, but the run was begun with {}, and can only be made longer\n  \
             mend it: leave --epochs out; Ctrl-C ends a run early and keeps what it has come to",
            typed.epochs, was.epochs
        ))),
        Schedule::Constant | Schedule::Step { .. } => Ok(Settings { epochs: typed.epochs, ..was.clone() }),
        schedule @ (Schedule::Cosine | Schedule::Linear | Schedule::OneCycle) => Err(Failure::Mend(format!(
            "--epochs is {}, but the run was begun with {}, by which the schedule {schedule} has set the rates of the steps \
             done so far\n  mend it: leave --epochs out, or start a new run",
            typed.epochs, was.epochs
        ))),
    }
}

fn contradiction(flag: &str, now: &str, was: &str) -> Failure {
    let was = if was == NOT_GIVEN { "without it".into() } else { format!("with {was}") };
    Failure::Mend(format!(
        "--{flag} is {now}, but the run was begun {was}\n  mend it: leave --{flag} out, or start a new run without --resume"
    ))
}
