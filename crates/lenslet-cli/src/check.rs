//! `lenslet check`: whether the sizes of a network fit, before there are weights or data.

use clap::Args;

use crate::failure::Failure;
use crate::network::{self, Input};
use crate::{output, summary};

/// Check that the sizes of a network fit; nothing is trained or read.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    #[arg(help = network::help("Network to check"))]
    model: String,
    /// Sizes of the images, channels x height x width [default: what the network was made for].
    #[arg(long, value_name = "CxHxW", value_parser = network::parse_input)]
    input: Option<Input>,
}

const EXAMPLES: &str = "\
Examples:
  lenslet check lesson
  lenslet check lesson --input 3x28x28    Shows where the sizes stop to fit, and ends with exit code 2";

pub(crate) fn run(options: &Check) -> Result<(), Failure> {
    let (network, input) = network::named(&options.model, options.input)?;
    let table = lenslet::Summary::new(&*network, input);
    match &table.mistake {
        None => {
            let output = table.rows.last().map_or(input.to_string(), |row| row.output.clone());
            output::result(format_args!("{}: all sizes fit, {input} → {output}", options.model))
        }
        Some(mistake) => {
            output::result(summary::text(&options.model, &table))?;
            Err(Failure::Mend(mistake.to_string()))
        }
    }
}
