//! `lenslet runs`: the runs of a folder, the newest first.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::failure::Failure;
use crate::output::{self, duration, percent};
use crate::run_folder::RUNS;
use crate::run_folder::is_running;
use crate::run_record::RunRecord;
use crate::table::{Align, Table};
use crate::train::describe;

/// List training runs with their settings and results.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Runs {
    /// Folder of runs, or a run.
    #[arg(value_name = "FOLDER", default_value = RUNS)]
    folder: PathBuf,
    /// Which come first.
    #[arg(long, value_enum, default_value_t = Sort::Newest)]
    sort: Sort,
    /// Print one JSON object a line instead, one for each run.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
A run is running, finished, stopped before all its epochs were done, or unreadable.

Examples:
  lenslet runs
  lenslet runs --sort accuracy
  lenslet runs experiments --json";

/// What runs are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    Newest,
    /// The best test accuracy.
    Accuracy,
}

/// Columns that a line may take, and a name in it.
const COLUMNS: usize = 100;
const NAME: usize = 26;
const WORD: usize = 10;

/// What is said of a run, for programs.
#[derive(Serialize)]
struct Listed {
    run: String,
    /// When something was last written, in UTC.
    time: String,
    network: Option<String>,
    data: Option<String>,
    epochs_done: usize,
    epochs: Option<usize>,
    settings: serde_json::Value,
    last_test_accuracy: Option<f64>,
    best_test_accuracy: Option<f64>,
    /// Since training began.
    seconds: Option<f64>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip)]
    latest: SystemTime,
    #[serde(skip)]
    words: String,
}

pub(crate) fn run(options: &Runs) -> Result<(), Failure> {
    let (mut runs, foreign) = listed(&options.folder)?;
    runs.sort_by(|a, b| b.latest.cmp(&a.latest).then_with(|| a.run.cmp(&b.run)));
    if options.sort == Sort::Accuracy {
        let best = |run: &Listed| run.best_test_accuracy.unwrap_or(f64::NEG_INFINITY);
        runs.sort_by(|a, b| best(b).total_cmp(&best(a)));
    }
    if !foreign.is_empty() {
        let plural = if foreign.len() == 1 { "folder is no run" } else { "folders are no runs" };
        output::note(format_args!("note: {} {plural}: {}", foreign.len(), crate::data::some(&foreign)));
    }
    if options.json {
        return runs.iter().try_for_each(output::json);
    }
    if runs.is_empty() {
        output::note(format_args!("no runs in {}; `lenslet train` makes one", options.folder.display()));
        return Ok(());
    }
    table(&runs)
}

/// The runs of a folder, and the names of the folders in it that are none.
fn listed(folder: &Path) -> Result<(Vec<Listed>, Vec<String>), Failure> {
    if let Some(run) = Listed::new(folder) {
        return Ok((vec![run], vec![]));
    }
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder == Path::new(RUNS) => {
            return Ok((vec![], vec![]));
        }
        Err(error) => {
            let folder = folder.display();
            return Err(Failure::Mend(format!(
                "{folder}: cannot be read: {error}\n  mend it: give the folder that holds the runs, or leave it out for {RUNS}"
            )));
        }
        Ok(entries) => entries,
    };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let (mut runs, mut foreign) = (vec![], vec![]);
    for folder in folders {
        match Listed::new(&folder) {
            Some(run) => runs.push(run),
            None => foreign.push(name(&folder)),
        }
    }
    Ok((runs, foreign))
}

impl Listed {
    fn new(folder: &Path) -> Option<Self> {
        let (record, latest) = RunRecord::read(folder)?;
        let empty = Self {
            run: folder.display().to_string(),
            time: jiff::Timestamp::try_from(latest).map(|time| format!("{time:.0}")).unwrap_or_default(),
            network: None,
            data: None,
            epochs_done: 0,
            epochs: None,
            settings: serde_json::Value::Null,
            last_test_accuracy: None,
            best_test_accuracy: None,
            seconds: None,
            state: "unreadable",
            reason: None,
            latest,
            words: String::new(),
        };
        Some(match record {
            Err(reason) => Self { words: reason.clone(), reason: Some(reason), ..empty },
            Ok(record) => empty.known(folder, record),
        })
    }

    fn known(self, folder: &Path, RunRecord { config, epochs }: RunRecord) -> Self {
        let last = epochs.last();
        let accuracies = epochs.iter().filter_map(|epoch| epoch.test_accuracy());
        let (done, planned) = (last.map_or(0, |last| last.epoch), config.epochs());
        let state = match planned {
            _ if is_running(folder) => "running",
            Some(planned) if done >= planned => "finished",
            _ => "stopped",
        };
        Self {
            words: config.settings().map(|settings| describe(&settings)).unwrap_or_default(),
            epochs_done: done,
            epochs: planned,
            last_test_accuracy: last.and_then(|last| last.test_accuracy()),
            best_test_accuracy: accuracies.max_by(f64::total_cmp),
            seconds: last.and_then(|last| last.seconds),
            state,
            network: config.network,
            data: config.data,
            settings: config.settings,
            ..self
        }
    }
}

/// Two lines for each run: a row of the table, and below it when it was and how it was trained.
fn table(runs: &[Listed]) -> Result<(), Failure> {
    let mut table = Table::new([
        ("run", Align::Left),
        ("when", Align::Left),
        ("network", Align::Left),
        ("data", Align::Left),
        ("epochs", Align::Right),
        ("last", Align::Right),
        ("best", Align::Right),
        ("time", Align::Right),
        ("state", Align::Left),
    ]);
    let now = SystemTime::now();
    for run in runs {
        let word = |text: &Option<String>| cut(&text.as_deref().map_or("–".into(), |text| name(Path::new(text))), WORD);
        let accuracy = |share: Option<f64>| share.map_or("–".to_owned(), percent);
        let planned = run.epochs.map_or("?".to_owned(), |epochs| epochs.to_string());
        table.row([
            cut(&name(Path::new(&run.run)), NAME),
            age(now.duration_since(run.latest).unwrap_or_default()),
            word(&run.network),
            word(&run.data),
            format!("{}/{planned}", run.epochs_done),
            accuracy(run.last_test_accuracy),
            accuracy(run.best_test_accuracy),
            // What a foreign hand wrote there need not be a time.
            run.seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).map_or("–".to_owned(), duration),
            run.state.to_owned(),
        ]);
    }
    let text = table.to_string();
    let mut lines = text.lines();
    for head in lines.by_ref().take(2) {
        output::result(head)?;
    }
    for (row, run) in lines.zip(runs) {
        output::result(row)?;
        let more = format!("  {}  {}", date(run.latest), run.words);
        output::result(cut(more.trim_end(), COLUMNS))?;
    }
    Ok(())
}

/// `2026-11-25 13:16`, in the user's time.
fn date(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// `just now`, `5 min ago`, `3 h ago`, `12 d ago`.
fn age(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0 => "just now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..2_880 => format!("{} h ago", minutes / 60),
        _ => format!("{} d ago", minutes / 1_440),
    }
}

/// The last part of a path, or all of it.
fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Text of at most `columns`, with an ellipsis where it was longer.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |letter: &char| {
        let width = letter.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    text.chars().take_while(fits).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_one_unit() {
        let minutes = [0, 1, 59, 60, 200, 2_879, 2_880, 20_000].map(|minutes| age(Duration::from_secs(minutes * 60)));
        let expected = ["just now", "1 min ago", "59 min ago", "1 h ago", "3 h ago", "47 h ago", "2 d ago", "13 d ago"];
        assert_eq!(minutes, expected);
    }

    #[test]
    fn long_text_ends_in_an_ellipsis() {
        assert_eq!([cut("lesson", 6), cut("lessons", 6), cut("犬犬犬", 4)], ["lesson", "lesso…", "犬…"]);
    }
}
