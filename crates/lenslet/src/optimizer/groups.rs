//! Groups: parameters that learn in another way than the rest, as `torch.optim`'s parameter groups.
//!
//! In words: `conv1.*: frozen; *.bias: lr 0.1, weight-decay 0; fc.weight: lr 0.5, epochs 3`. A pattern is a parameter's name in
//! which `*` stands for any letters and `?` for one. The first pattern that fits a parameter counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::{Error, Weights};

/// Parameters by their names, and what holds for them; what is not given is as for the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Their names; `*` stands for any letters.
    pub pattern: String,
    /// Their learning rate, which follows the schedule.
    pub rate: Option<f32>,
    /// Their momentum, where the optimizer has one.
    pub momentum: Option<f32>,
    /// Their weight decay.
    pub weight_decay: Option<f32>,
    /// Epochs after which they stay as they are.
    pub epochs: Option<usize>,
    /// Whether they stay as they are from the beginning; then no gradient is formed for them.
    pub frozen: bool,
}

/// Groups, of which a parameter belongs to the first that fits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Groups(Vec<Group>);

impl Groups {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.0.iter()
    }

    /// The number of the group of a parameter of this name.
    pub fn of(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|group| WildMatch::new(&group.pattern).matches(name))
    }

    /// Whether the parameter of this name never learns.
    pub fn freeze(&self, name: &str) -> bool {
        self.of(name).is_some_and(|group| self.0[group].frozen)
    }

    /// # Errors
    /// If a pattern fits no parameter, for then it was meant for another.
    pub(crate) fn check(&self, weights: &Weights) -> Result<(), Error> {
        let names = || weights.parameters().iter().map(|parameter| &*parameter.name);
        let idle = |group: &&Group| !names().any(|name| WildMatch::new(&group.pattern).matches(name));
        match self.0.iter().find(idle) {
            None => Ok(()),
            Some(Group { pattern, .. }) => Err(Error::Group {
                pattern: pattern.clone(),
                nearest: names()
                    .max_by(|a, b| strsim::jaro_winkler(a, pattern).total_cmp(&strsim::jaro_winkler(b, pattern)))
                    .unwrap_or_default()
                    .to_owned(),
            }),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |word: &str, value: Option<f32>| value.map(|value| format!("{word} {value}"));
        let options = [
            number("lr", self.rate),
            number("momentum", self.momentum),
            number("weight-decay", self.weight_decay),
            self.epochs.map(|epochs| format!("epochs {epochs}")),
            self.frozen.then(|| "frozen".to_owned()),
        ];
        write!(f, "{}: {}", self.pattern, options.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Group::to_string).collect::<Vec<_>>().join("; "))
    }
}

impl From<Groups> for String {
    fn from(groups: Groups) -> Self {
        groups.to_string()
    }
}

impl TryFrom<String> for Groups {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Groups {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let groups = text.split(';').filter(|group| !group.trim().is_empty());
        Ok(Self(groups.map(str::parse).collect::<Result<_, _>>()?))
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (pattern, options) = text.split_once(':').ok_or_else(|| {
            format!("\"{text}\" says nothing of its parameters\n  mend it: PATTERN: OPTIONS, as in \"{text}: lr 0.1\"")
        })?;
        let mut group = Group { pattern: pattern.trim().to_owned(), ..Group::default() };
        for option in options.split(',') {
            group.set(option.trim())?;
        }
        Ok(group)
    }
}

impl Group {
    /// One option: `lr 0.1`.
    fn set(&mut self, option: &str) -> Result<(), String> {
        let (word, value) = option.split_once(' ').map_or((option, ""), |(word, value)| (word, value.trim()));
        match word {
            "frozen" if value.is_empty() => self.frozen = true,
            "lr" => self.rate = Some(number(word, value, "above 0", |x| x > 0.0)?),
            "momentum" => self.momentum = Some(number(word, value, "from 0 to below 1", |x| (0.0..1.0).contains(&x))?),
            "weight-decay" => self.weight_decay = Some(number(word, value, "from 0", |x| x >= 0.0)?),
            "epochs" => {
                let epochs = value.parse().map_err(|_| format!("epochs is \"{value}\", but must be a whole number"))?;
                self.epochs = Some(epochs);
            }
            _ => {
                return Err(format!(
                    "a group of parameters has no option \"{option}\"; there are lr RATE, momentum SHARE, \
                     weight-decay DECAY, epochs N, frozen"
                ));
            }
        }
        Ok(())
    }
}

fn number(word: &str, value: &str, range: &str, allowed: impl Fn(f32) -> bool) -> Result<f32, String> {
    let number = value.parse().ok().filter(|x: &f32| x.is_finite() && allowed(*x));
    number.ok_or_else(|| format!("{word} is \"{value}\", but must be a number {range}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let text = "whiten.weight: frozen; *.bias: lr 106, weight-decay 0.00004, epochs 3; fc*: momentum 0.85";
        let groups: Groups = text.parse().expect("it is well written");
        assert_eq!(groups.to_string(), text);
        assert_eq!(groups.iter().count(), 3);
        assert!("".parse::<Groups>().expect("none is allowed").is_empty());
    }

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let groups: Groups = "a.bias: lr 1; *.bias: frozen; b?c.*: lr 2".parse().expect("it is well written");
        let of = ["a.bias", "b.bias", "a.weight", "bxc.weight", "bc.weight"].map(|name| groups.of(name));
        assert_eq!(of, [Some(0), Some(1), None, Some(2), None]);
        assert_eq!(["a.bias", "b.bias"].map(|name| groups.freeze(name)), [false, true]);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| text.parse::<Groups>().expect_err("it is a mistake");
        assert_eq!(
            message("fc.weight"),
            "\"fc.weight\" says nothing of its parameters\n  mend it: PATTERN: OPTIONS, as in \"fc.weight: lr 0.1\""
        );
        assert_eq!(message("fc: lr -1"), "lr is \"-1\", but must be a number above 0");
        assert_eq!(message("fc: lr"), "lr is \"\", but must be a number above 0");
        assert_eq!(message("fc: epochs 1.5"), "epochs is \"1.5\", but must be a whole number");
        assert!(message("fc: freeze").starts_with("a group of parameters has no option \"freeze\"; there are lr RATE"));
    }
}
