//! Networks by name, and the sizes of their input as one types them.

use lenslet::networks::{NAMES, by_name, find};
use lenslet::{Network, Shape};

use crate::failure::Failure;

/// C×H×W.
pub(crate) type Input = [usize; 3];

/// The help for an argument that takes a network's name. All names would be a paragraph.
pub(crate) fn help(what: &str) -> String {
    format!("{what}, such as lesson, resnet18 or vgg16; `lenslet summary --list` shows all {}", NAMES.len())
}

/// A network to be looked at, for its own classes, and its own input sizes or the ones given.
pub(crate) fn named(name: &str, input: Option<Input>) -> Result<(Box<dyn Network + Send + Sync>, Shape), Failure> {
    with_classes(name, input, find(name)?.classes)
}

/// The same, for a number of classes.
pub(crate) fn with_classes(
    name: &str,
    input: Option<Input>,
    classes: usize,
) -> Result<(Box<dyn Network + Send + Sync>, Shape), Failure> {
    let input = input.unwrap_or(find(name)?.input);
    let network = by_name(name, input, classes)?;
    let shape = Shape::batched(&input).ok_or_else(|| Failure::Mend(impossible(input)))?;
    Ok((network, shape))
}

/// `3x32x32` or `3×32×32`, for clap.
pub(crate) fn parse_input(text: &str) -> Result<Input, String> {
    let sizes: Option<Vec<usize>> = text.split(['x', 'X', '×']).map(|size| size.trim().parse().ok()).collect();
    let input: Option<Input> = sizes.and_then(|sizes| sizes.try_into().ok());
    let input = input.ok_or("expected channels, height and width, as in 3x32x32")?;
    if Shape::batched(&input).is_some() { Ok(input) } else { Err(impossible(input)) }
}

fn impossible([channels, height, width]: Input) -> String {
    format!(
        "an image of {channels}x{height}x{width} is not possible: sizes begin at 1, and come to 2^31 values at most"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_sizes_are_read_as_people_write_them() {
        for text in ["3x32x32", "3×32×32", "3X32X32", "3 x 32 x 32"] {
            assert_eq!(parse_input(text), Ok([3, 32, 32]), "{text}");
        }
        for text in ["", "3x32", "3x32x32x1", "3,32,32", "axbxc", "-3x32x32", "99999999999999999999x1x1"] {
            let error = parse_input(text).expect_err(text);
            assert_eq!(error, "expected channels, height and width, as in 3x32x32", "{text}");
        }
        for text in ["0x32x32", "3x100000x100000", "4294967296x4294967296x1"] {
            assert!(parse_input(text).expect_err(text).contains("is not possible"), "{text}");
        }
    }
}
