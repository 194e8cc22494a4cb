//! The words of a dry run for how the rehearsal went.

use std::time::Duration;

use lenslet::rehearsal::{ByHeart, End};
use lenslet::training::NotFinite;

use crate::output::{count, duration};

/// `64 images of 10 classes were learnt by heart in 85 steps (loss 2.3030 to 0.1102)`.
pub(super) fn told(result: &ByHeart) -> String {
    let ByHeart { images, classes, steps, first, last, end } = result;
    let learnt = match end {
        End::Learnt => "were learnt",
        End::Steps | End::Time => "were not learnt",
        End::NotFinite(_) => "could not be learnt",
    };
    let fell = match end {
        End::NotFinite(NotFinite { what, value, .. }) => format!("then the {what} became {value}"),
        _ => format!("loss {first:.4} to {last:.4}"),
    };
    let steps = several(*steps, "step");
    format!("{images} images of {classes} classes {learnt} by heart in {steps} ({fell})")
}

/// Whether time was over before the steps could say anything.
pub(super) fn rushed(result: &ByHeart) -> bool {
    const TELLING: usize = 100;
    result.end == End::Time && result.steps < TELLING
}

/// What to think of images that were not learnt by heart; `other` is how it went with other settings.
pub(super) fn remark(result: &ByHeart, other: Option<(&ByHeart, &str)>) -> String {
    capital(&advice(result, other))
}

fn advice(result: &ByHeart, other: Option<(&ByHeart, &str)>) -> String {
    let can = match other {
        Some((ByHeart { end: End::Learnt, steps, .. }, how)) => {
            format!("the network can learn, since {how} took {steps} steps, but ")
        }
        _ => String::new(),
    };
    let falls = result.last < result.first * 0.9;
    match result.end {
        End::NotFinite(_) => format!("{can}the learning rate is too high: try a tenth of it."),
        End::Time if rushed(result) && falls => "The loss falls; there was no time for more steps.".to_owned(),
        End::Time if rushed(result) => "There was no time for more steps, so that says little.".to_owned(),
        _ if falls && result.last < result.first / 2.0 => {
            "The loss falls, if slowly: dropout would explain it, or a low learning rate.".to_owned()
        }
        _ if result.last > result.first * 1.1 => format!("{can}the learning rate is too high: try a tenth of it."),
        _ if falls => format!("{can}the learning rate is low: try ten times of it."),
        _ if !can.is_empty() => {
            format!(
                "{can}the learning rate is too low, or so high that nothing moves any more: try ten times and a tenth of it."
            )
        }
        _ => "A sound network can learn a few images by heart: have a look at its operations, at the learning rate and at \
              whether labels and images belong together."
            .to_owned(),
    }
}

/// `1 step`, `1,563 steps`.
pub(super) fn several(number: usize, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The beginning of a sentence.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A time that may be far below a second: `12.3 ms`.
pub(super) fn short(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{:.1} ms", time.as_secs_f64() * 1e3) } else { duration(time) }
}
