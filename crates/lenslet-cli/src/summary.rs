//! `lenslet summary`: a network as a table, a line for each line of its forward pass.

use clap::Args;
use lenslet::summary::Row;
use serde::Serialize;

use crate::failure::Failure;
use crate::network::{self, Input};
use crate::output::{self, bytes, count};
use crate::table::{Align, Table};

/// Show a network as a table: sizes with their arithmetic, parameters, multiply-adds, memory.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Summary {
    #[arg(help = network::help("Network to show"))]
    model: String,
    /// Sizes of the images, channels x height x width [default: what the network was made for].
    #[arg(long, value_name = "CxHxW", value_parser = network::parse_input)]
    input: Option<Input>,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Multiply-adds and memory (of the layers' results, in 32-bit numbers) are per image.

Examples:
  lenslet summary lesson
  lenslet summary resnet18 --input 3x64x64";

pub(crate) fn run(options: &Summary) -> Result<(), Failure> {
    let (network, input) = network::named(&options.model, options.input)?;
    let table = lenslet::Summary::new(&*network, input);
    if options.json {
        output::json(&Json::new(&options.model, &table))?;
    } else {
        output::result(text(&options.model, &table))?;
    }
    match &table.mistake {
        None => Ok(()),
        Some(mistake) => Err(Failure::Mend(mistake.to_string())),
    }
}

/// The table with its heading; up to the culprit where sizes do not fit.
pub(crate) fn text(name: &str, summary: &lenslet::Summary) -> String {
    let mut table = Table::new([
        ("layer", Align::Left),
        ("op", Align::Left),
        ("line", Align::Left),
        ("output", Align::Left),
        ("how the size comes about", Align::Left),
        ("parameters", Align::Right),
        ("multiply-adds", Align::Right),
        ("memory", Align::Right),
    ]);
    for row in &summary.rows {
        table.row([
            row.name.clone(),
            row.op.clone(),
            format!("{}:{}", file_name(&row.file), row.line),
            row.output.clone(),
            row.arithmetic.clone(),
            count(row.parameters),
            count(row.macs),
            bytes(row.memory),
        ]);
    }
    if summary.mistake.is_none() {
        let [parameters, macs, memory] = [count(summary.parameters), count(summary.macs()), bytes(summary.memory())];
        let empty = String::new;
        table.sum(["total".into(), empty(), empty(), empty(), empty(), parameters, macs, memory]);
    }
    format!("{name}, input {}\n\n{table}", summary.input)
}

/// The last part of a path, whichever way its parts are divided.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The table for programs.
#[derive(Serialize)]
struct Json<'a> {
    network: &'a str,
    input: String,
    parameters: usize,
    macs: u64,
    memory: u64,
    layers: &'a [Row],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Json<'a> {
    fn new(network: &'a str, summary: &'a lenslet::Summary) -> Self {
        Self {
            network,
            input: summary.input.to_string(),
            parameters: summary.parameters,
            macs: summary.macs(),
            memory: summary.memory(),
            layers: &summary.rows,
            error: summary.mistake.as_ref().map(ToString::to_string),
        }
    }
}
