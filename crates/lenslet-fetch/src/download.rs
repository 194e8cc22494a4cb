//! One file from one source: asked for, resumed where it broke off, and tried again as long as that may help.
//!
//! *Invariant:* no server can make this take more than `most` bytes of disk, wait longer than [`Patience`] says without a
//! byte, or go on for ever: a try that brings the file no further than it has been counts against [`Patience::tries`].

use crate::client::{Client, io_trouble};
use crate::part::{Origin, Part};
use crate::trouble::Trouble;
use crate::{Patience, Report};
use std::io::Read;
use std::path::Path;
use std::time::Instant;
use ureq::Body;
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use ureq::http::{HeaderName, Response, StatusCode};

/// A file to download.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) address: &'a str,
    /// Where it is to lie.
    pub(crate) whole: &'a Path,
    pub(crate) most: u64,
    pub(crate) patience: &'a Patience,
    /// Whether another source is left to ask, so that a slow one need not be waited for.
    pub(crate) hurry: bool,
}

/// A try that brings so many bytes more than any before it starts the count of tries again.
const PROGRESS: u64 = 256 << 10;

impl Download<'_> {
    /// Downloads the file, or says why not.
    pub(crate) fn run(&self, report: &mut dyn FnMut(Report<'_>)) -> Result<(), Trouble> {
        let mut part = Part::open(self.whole, self.address);
        let (mut tries, mut furthest) = (0, part.length());
        loop {
            let why = match self.attempt(&mut part, report) {
                Ok(()) => return part.finish(),
                Err(Trouble::Stalled(why)) if !self.hurry => why,
                Err(Trouble::Broken(why)) => why,
                Err(other) => return Err(other),
            };
            if part.length() >= furthest + PROGRESS {
                (tries, furthest) = (0, part.length());
            }
            tries += 1;
            if tries >= self.patience.tries {
                return Err(Trouble::Broken(why));
            }
            let pause = self.patience.pause * 3_u32.pow(tries - 1);
            report(Report::Again { why: &why, pause });
            std::thread::sleep(pause);
        }
    }

    /// Asks once, for what is missing.
    fn attempt(&self, part: &mut Part, report: &mut dyn FnMut(Report<'_>)) -> Result<(), Trouble> {
        let mut headers = Vec::new();
        if part.length() > 0 {
            headers.push(("range", format!("bytes={}-", part.length())));
            headers.extend(part.validator().map(|validator| ("if-range", validator.to_owned())));
        }
        let mut response = self.client.get(self.address, &headers)?;
        let total = match response.status() {
            StatusCode::OK => {
                part.restart(origin(self.address, &response))?;
                response.body().content_length()
            }
            StatusCode::PARTIAL_CONTENT => match content_range(&response) {
                Some((Some(start), total)) if start == part.length() => total,
                _ => return Err(anew(part, "it sends another part of the file than was asked for")),
            },
            // All of it is here already, where only the end of the process came before the file got its name.
            StatusCode::RANGE_NOT_SATISFIABLE if part.length() > 0 => match content_range(&response) {
                Some((None, Some(total))) if total == part.length() => return Ok(()),
                _ => return Err(anew(part, "the file has become shorter than what has arrived of it")),
            },
            status => return Err(refusal(status)),
        };
        if let Some(total) = total.filter(|&total| total > self.most) {
            part.discard();
            return Err(self.too_large(&format!("{} MB", total / 1_000_000)));
        }
        self.receive(part, &mut response, total, report)
    }

    /// Takes the body of an answer.
    fn receive(
        &self,
        part: &mut Part,
        response: &mut Response<Body>,
        total: Option<u64>,
        report: &mut dyn FnMut(Report<'_>),
    ) -> Result<(), Trouble> {
        let content_type = text(response, CONTENT_TYPE).unwrap_or("no type").to_owned();
        let mut body = response.body_mut().as_reader();
        let mut pace = Pace::new(Instant::now(), part.length());
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = body.read(&mut buffer).map_err(|error| io_trouble(&error))?;
            let bytes = &buffer[..count];
            if count == 0 {
                break;
            }
            if part.length() == 0 && !self.begins_well(bytes) {
                part.discard();
                return Err(Trouble::Refused(format!(
                    "it sends something else ({content_type}), as the login page of a network does"
                )));
            }
            if part.length() + count as u64 > self.most {
                part.discard();
                return Err(self.too_large("more and more"));
            }
            part.append(bytes)?;
            report(Report::Progress { done: part.length(), total });
            if self.hurry && pace.is_slow(Instant::now(), part.length(), self.patience) {
                return Err(Trouble::Stalled("it sends too slowly".into()));
            }
        }
        match total {
            Some(total) if part.length() < total => Err(Trouble::Broken("the connection ended early".into())),
            _ => Ok(()),
        }
    }

    /// Whether a file of this name can begin with these bytes.
    fn begins_well(&self, bytes: &[u8]) -> bool {
        let begin: &[u8] = match self.whole.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => &[0x1f, 0x8b],
            Some("parquet") => b"PAR1",
            _ => &[],
        };
        let shared = begin.len().min(bytes.len());
        begin[..shared] == bytes[..shared]
    }

    fn too_large(&self, how: &str) -> Trouble {
        Trouble::Refused(format!("it sends {how}, where {} MB at most were expected", self.most / 1_000_000))
    }
}

/// What has arrived cannot be added to: everything is asked for again.
fn anew(part: &mut Part, why: &str) -> Trouble {
    part.discard();
    Trouble::Broken(why.into())
}

/// What an answer without the file means.
fn refusal(status: StatusCode) -> Trouble {
    let words = format!("it answers \"{status}\"");
    match status.as_u16() {
        408 | 425 | 429 | 500.. => Trouble::Broken(words),
        _ => Trouble::Refused(words),
    }
}

fn text(response: &Response<Body>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// A weak ETag is none for this: it says that two files mean the same, not that their bytes are the same.
fn origin(address: &str, response: &Response<Body>) -> Origin {
    let etag = text(response, ETAG).filter(|etag| etag.starts_with('"'));
    let validator = etag.or_else(|| text(response, LAST_MODIFIED)).map(str::to_owned);
    Origin { address: address.to_owned(), validator }
}

/// `bytes 100-199/200`, `bytes 100-199/*` or `bytes */200`: where it starts, and how long the whole file is.
fn content_range(response: &Response<Body>) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = text(response, CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.parse().ok());
    Some((start, total.parse().ok()))
}

/// How fast bytes arrive, looked at once in a while.
struct Pace {
    since: Instant,
    from: u64,
}

impl Pace {
    fn new(since: Instant, from: u64) -> Self {
        Self { since, from }
    }

    /// Whether fewer bytes than asked for arrived in the time that has just ended.
    fn is_slow(&mut self, now: Instant, at: u64, patience: &Patience) -> bool {
        let time = now - self.since;
        if time < patience.window {
            return false;
        }
        let rate = (at - self.from) as f64 / time.as_secs_f64();
        *self = Self::new(now, at);
        rate < patience.slowest as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_source_is_slow_when_little_arrives_in_twenty_seconds() {
        let patience = Patience::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(start, 0);
        // Whoever begins slowly has time to become faster.
        assert!(!pace.is_slow(after(19), 10, &patience));
        assert!(!pace.is_slow(after(20), 20 * 200_000, &patience));
        // Only what arrived since counts.
        assert!(!pace.is_slow(after(39), 20 * 200_000, &patience));
        assert!(pace.is_slow(after(40), 20 * 200_000 + 20 * 199_999, &patience));
    }
}
