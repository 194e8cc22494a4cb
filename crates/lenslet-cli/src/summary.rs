//! `lenslet summary`: a network as a table, a line for each line of its forward pass; or all networks, a line each.

use clap::Args;
use lenslet::networks::{NETWORKS, Named};
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
    #[arg(help = network::help("Network to show"), required_unless_present = "list")]
    model: Option<String>,
    /// List all networks that have a name instead, with the images that they are made for.
    #[arg(long, conflicts_with_all = ["model", "input"])]
    list: bool,
    /// Sizes of the images, channels x height x width [default: what the network was made for].
    #[arg(long, value_name = "CxHxW", value_parser = network::parse_input)]
    input: Option<Input>,
    /// Print one JSON object instead; with --list one a line, one for each network.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Multiply-adds and memory (of the layers' results, in 32-bit numbers) are per image.

Examples:
  lenslet summary --list
  lenslet summary lesson
  lenslet summary resnet18 --input 3x64x64";

pub(crate) fn run(options: &Summary) -> Result<(), Failure> {
    let Some(name) = &options.model else { return list(options.json) };
    let (network, input) = network::named(name, options.input)?;
    let table = lenslet::Summary::new(&*network, input);
    if options.json {
        output::json(&Json::new(name, &table))?;
    } else {
        output::result(text(name, &table))?;
    }
    match &table.mistake {
        None => Ok(()),
        Some(mistake) => Err(Failure::Mend(mistake.to_string())),
    }
}

/// All networks, a line each.
fn list(json: bool) -> Result<(), Failure> {
    let listed = NETWORKS.iter().map(Listed::of).collect::<Result<Vec<_>, _>>()?;
    if json {
        return listed.iter().try_for_each(output::json);
    }
    let mut table = Table::new([
        ("network", Align::Left),
        ("images", Align::Left),
        ("parameters", Align::Right),
        ("multiply-adds", Align::Right),
        ("what it is", Align::Left),
    ]);
    for Listed { network, about, input, parameters, macs } in listed {
        table.row([network.into(), input, count(parameters), count(macs), about.into()]);
    }
    output::result(table)
}

/// A line of the list, for programs.
#[derive(Serialize)]
struct Listed {
    network: &'static str,
    about: &'static str,
    input: String,
    parameters: usize,
    macs: u64,
}

impl Listed {
    fn of(known: &Named) -> Result<Self, Failure> {
        let (network, input) = network::named(known.name, None)?;
        let summary = lenslet::Summary::new(&*network, input);
        let (parameters, macs) = (summary.parameters, summary.macs());
        Ok(Self { network: known.name, about: known.about, input: input.to_string(), parameters, macs })
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
