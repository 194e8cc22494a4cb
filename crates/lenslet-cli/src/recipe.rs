//! Recipes: whole settings with what they reach, one readable file each (`recipes/NAME.toml`), embedded in the program.
//!
//! The keys under `[train]` are the flags of `lenslet train`, so a recipe says nothing that could not be typed; what is typed
//! beside it counts more. `[target]` is what the recipe must reach, `[measured]` what it reached and where.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Flags with their values; none for those that take none.
pub(crate) type Flags = BTreeMap<String, Vec<String>>;

/// The recipes of the program: names and files.
const EMBEDDED: [(&str, &str); 8] = [
    ("lesson", include_str!("../recipes/lesson.toml")),
    ("lesson-augmented", include_str!("../recipes/lesson-augmented.toml")),
    ("over80", include_str!("../recipes/over80.toml")),
    ("over90", include_str!("../recipes/over90.toml")),
    ("airbench94", include_str!("../recipes/airbench94.toml")),
    ("airbench96", include_str!("../recipes/airbench96.toml")),
    ("resnet18", include_str!("../recipes/resnet18.toml")),
    ("photos", include_str!("../recipes/photos.toml")),
];

/// A recipe.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    /// The file.
    pub(crate) text: String,
    pub(crate) content: Content,
}

/// What its file holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    /// What it is, in a line.
    pub(crate) about: String,
    train: toml::Table,
    pub(crate) target: Option<Target>,
    pub(crate) measured: Option<Measured>,
}

/// What a recipe must reach.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// Mean test accuracy after the last epoch, in percent.
    pub(crate) accuracy: f64,
    /// How far from it the mean may lie on either side; without it, only below counts.
    pub(crate) within: Option<f64>,
    /// Seeds that the mean is taken over, from 0 on.
    pub(crate) seeds: u64,
    /// The longest that a training may take, on the machine of `measured`.
    pub(crate) seconds: Option<f64>,
}

impl Target {
    /// Whether a mean accuracy, in percent, is what was to be reached.
    pub(crate) fn is_reached(&self, accuracy: f64) -> bool {
        self.within.map_or(accuracy >= self.accuracy, |within| (accuracy - self.accuracy).abs() <= within)
    }

    /// `94.0 ± 0.15 %, in 45 min`.
    pub(crate) fn describe(&self) -> String {
        let accuracy = match self.within {
            Some(within) => format!("{:.1} ± {within} %", self.accuracy),
            None => format!("{:.1} % and more", self.accuracy),
        };
        let time = self.seconds.map(|seconds| format!(", under {}", minutes(seconds)));
        accuracy + &time.unwrap_or_default()
    }
}

/// What a recipe reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measured {
    /// The machine.
    pub(crate) machine: String,
    /// Test accuracies after the last epoch, in percent, of the seeds from 0 on.
    pub(crate) accuracies: Vec<f64>,
    /// Seconds of training of each, tests and decoding not counted.
    pub(crate) seconds: Vec<f64>,
}

/// `50 s`, `7.5 min`.
pub(crate) fn minutes(seconds: f64) -> String {
    if seconds <= 90.0 { format!("{seconds:.0} s") } else { format!("{:.1} min", seconds / 60.0) }
}

/// All recipes of the program.
pub(crate) fn all() -> impl Iterator<Item = Recipe> {
    EMBEDDED.iter().map(|(name, text)| Recipe::read(name, text).expect("a test reads them all"))
}

impl Recipe {
    /// The recipe of this name, or in this file.
    pub(crate) fn find(name: &str) -> Result<Self, Failure> {
        if let Some((name, text)) = EMBEDDED.iter().find(|(known, _)| *known == name) {
            return Self::read(name, text);
        }
        if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
            return Self::read(name, &text_of("recipe", Path::new(name))?);
        }
        let names = EMBEDDED.map(|(name, _)| name).join(", ");
        Err(Failure::Mend(format!(
            "there is no recipe called {name}; there are {names}, and files of your own: mine.toml"
        )))
    }

    fn read(name: &str, text: &str) -> Result<Self, Failure> {
        Ok(Self { name: name.to_owned(), text: text.to_owned(), content: content("recipe", name, text)? })
    }

    /// Its flags of `lenslet train`.
    pub(crate) fn flags(&self) -> Result<Flags, Failure> {
        flags_of(&self.name, &self.content.train)
    }
}

/// The text of a user's file of a kind.
pub(crate) fn text_of(kind: &str, path: &Path) -> Result<String, Failure> {
    let unreadable = |error| Failure::Mend(format!("{}: the {kind} cannot be read: {error}", path.display()));
    std::fs::read_to_string(path).map_err(unreadable)
}

/// What the text of a file of a kind says.
pub(crate) fn content<T: DeserializeOwned>(kind: &str, name: &str, text: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| Failure::Mend(format!("{name}: the {kind} is not well written: {error}")))
}

/// The flags in a table of the file that is called `name`.
pub(crate) fn flags_of(name: &str, table: &toml::Table) -> Result<Flags, Failure> {
    table.iter().map(|(key, value)| flag(name, key, value)).filter_map(Result::transpose).collect()
}

/// A flag with its value; none that is false.
fn flag(recipe: &str, key: &str, value: &toml::Value) -> Result<Option<(String, Vec<String>)>, Failure> {
    let values = match value {
        toml::Value::Boolean(false) => return Ok(None),
        toml::Value::Boolean(true) => vec![],
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Integer(number) => vec![number.to_string()],
        toml::Value::Float(number) => vec![number.to_string()],
        _ => return Err(Failure::Mend(format!("{recipe}: {key} is neither a number, a text, true nor false"))),
    };
    Ok(Some((key.to_owned(), values)))
}

/// What `--set key=value` says: `true` and `false` are for flags that take no value.
pub(crate) fn set(flags: &mut Flags, text: &str) -> Result<(), Failure> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        Failure::Mend(format!("--set {text}: there is no \"=\"\n  mend it: --set KEY=VALUE, as in --set epochs=10"))
    })?;
    let key = key.trim().trim_start_matches('-').to_owned();
    match value.trim() {
        "false" => {
            flags.remove(&key);
        }
        "true" => {
            flags.insert(key, vec![]);
        }
        value => {
            flags.insert(key, vec![value.to_owned()]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lenslet::networks::{by_name, find};
    use lenslet::{Shape, Trainer};

    use super::*;
    use crate::train::from_flags;

    /// Each is well written, its settings are possible, and its groups have parameters.
    #[test]
    fn all_recipes_of_the_program_are_understood() {
        for recipe in all() {
            let options =
                from_flags(&recipe.flags().expect("flags")).unwrap_or_else(|e| panic!("{}: {e:?}", recipe.name));
            let input = find(&options.model).expect("a network").input;
            let network = by_name(&options.model, input, 10).expect("a network");
            let settings = options.settings().unwrap_or_else(|e| panic!("{}: {e:?}", recipe.name));
            let shape = Shape::batched(&input).expect("a shape");
            Trainer::new(&*network, shape, 10, settings, 1).unwrap_or_else(|e| panic!("{}: {e}", recipe.name));
        }
    }

    #[test]
    fn targets_are_reached_from_below_or_within() {
        let target = |within| Target { accuracy: 80.0, within, seeds: 1, seconds: Some(60.0) };
        assert_eq!([79.99, 80.0, 85.0].map(|x| target(None).is_reached(x)), [false, true, true]);
        assert_eq!([78.9, 79.0, 81.0, 81.1].map(|x| target(Some(1.0)).is_reached(x)), [false, true, true, false]);
        assert_eq!(target(None).describe(), "80.0 % and more, under 60 s");
    }
}
