//! How weights begin, beyond PyTorch's defaults: as identities, and as what whitens patches of the images.

use std::fmt;
use std::str::FromStr;

use lenslet_data::Split;
use lenslet_graph::ops::leaf::ParameterValue;
use lenslet_graph::{Graph, Node, Op};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::{Error, Normalization, Weights};

/// Images whose patches are looked at.
const IMAGES: usize = 5000;

/// Added to the spread of a direction before it is divided by: airbench94's, for images of spread 1.
const EPS: f64 = 5e-4;

/// What is done to weights before training begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Initialization {
    /// Convolutions hand on their inputs: output i begins as a copy of input i, as far as there are such (`torch.nn.init.dirac_`
    /// of the first rows; Zagoruyko and Komodakis, "DiracNets", 2017). For odd kernels, and not for the first layer.
    pub dirac: bool,
    /// The first convolution's filters are the directions in which patches of the images vary, scaled to the same spread, each
    /// with both signs (Page, "How to Train Your ResNet 8", 2019). They are best frozen: `--groups "NAME.weight: frozen"`.
    pub whiten: bool,
}

impl fmt::Display for Initialization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.dirac, self.whiten) {
            (false, false) => "default",
            (true, false) => "dirac",
            (false, true) => "whiten",
            (true, true) => "dirac, whiten",
        })
    }
}

impl FromStr for Initialization {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut initialization = Self::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "default" => {}
                "dirac" => initialization.dirac = true,
                "whiten" => initialization.whiten = true,
                _ => return Err(format!("weights cannot begin as \"{word}\"; there are default, dirac, whiten")),
            }
        }
        Ok(initialization)
    }
}

impl From<Initialization> for String {
    fn from(initialization: Initialization) -> Self {
        initialization.to_string()
    }
}

impl TryFrom<String> for Initialization {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Initialization {
    /// Changes freshly drawn weights.
    ///
    /// # Errors
    /// If the network does not begin with a convolution that can whiten.
    pub(crate) fn apply(
        self,
        graph: &Graph,
        weights: &mut Weights,
        images: &Split,
        normalization: &Normalization,
    ) -> Result<(), Error> {
        let first = first_convolution(graph);
        if self.dirac {
            let convolutions = graph.nodes.iter().filter_map(|node| convolution(graph, node));
            for number in convolutions.filter(|&number| Some(number) != first) {
                dirac(weights, number);
            }
        }
        if self.whiten {
            let size = [0, 1, 2].map(|axis| graph.inputs[0].dim(axis));
            let sees_all = |&number: &usize| {
                let [outputs, inputs, height, width] = dims(weights, number);
                outputs >= 2 && inputs == size[0] && height <= size[1] && width <= size[2]
            };
            let number = first.filter(sees_all).ok_or(Error::Whiten)?;
            let [_, inputs, height, width] = dims(weights, number);
            whiten(weights, number, covariance(size, [inputs, height, width], images, normalization));
        }
        Ok(())
    }
}

/// The number of a convolution's weight.
fn convolution(graph: &Graph, node: &Node) -> Option<usize> {
    let Op::Conv2d(_) = &node.op else { return None };
    let Op::ParameterValue(ParameterValue { index }) = graph.node(*node.inputs.get(1)?).op else { return None };
    Some(index)
}

/// The weight of the convolution that sees the images themselves.
fn first_convolution(graph: &Graph) -> Option<usize> {
    let sees_images =
        |node: &&Node| node.inputs.first().is_some_and(|&input| matches!(graph.node(input).op, Op::Input(_)));
    graph.nodes.iter().filter(sees_images).find_map(|node| convolution(graph, node))
}

/// Output i becomes input i.
fn dirac(weights: &mut Weights, number: usize) {
    let [outputs, inputs, height, width] = dims(weights, number);
    if height % 2 == 0 || width % 2 == 0 {
        return;
    }
    let kernel = height * width;
    for (output, filter) in
        weights.values_mut(number).chunks_exact_mut(inputs * kernel).enumerate().take(inputs.min(outputs))
    {
        filter.fill(0.0);
        filter[output * kernel + kernel / 2] = 1.0;
    }
}

fn dims(weights: &Weights, number: usize) -> [usize; 4] {
    let shape = weights.parameters()[number].shape;
    std::array::from_fn(|axis| shape.dim(axis))
}

/// The mean product of every two values of a patch of these channels, rows and columns, over the first images in an order that
/// no file has a part in.
fn covariance(size: [usize; 3], patch: [usize; 3], images: &Split, normalization: &Normalization) -> DMatrix<f64> {
    let ([channels, rows, columns], [_, height, width]) = (size, patch);
    let (n, places) = (channels * height * width, (rows - height + 1) * (columns - width + 1));
    let table = normalization.table();
    let chosen = &images.by_content()[..images.len().min(IMAGES)];
    let mut values = vec![0.0; channels * rows * columns];
    let mut patches = DMatrix::<f32>::zeros(n, places);
    let (mut products, mut sum) = (DMatrix::zeros(n, n), DMatrix::<f64>::zeros(n, n));
    for &image in chosen {
        table.apply(images.image(image as usize), &mut values);
        for (place, mut patch) in patches.column_iter_mut().enumerate() {
            let (row, column) = (place / (columns - width + 1), place % (columns - width + 1));
            for (i, value) in patch.iter_mut().enumerate() {
                let (channel, y, x) = (i / (height * width), i / width % height, i % width);
                *value = values[(channel * rows + row + y) * columns + column + x];
            }
        }
        // An image's products fit f32; those of all images do not.
        products.gemm(1.0, &patches, &patches.transpose(), 0.0);
        sum.zip_apply(&products, |sum, product| *sum += f64::from(product));
    }
    sum / (chosen.len() * places) as f64
}

/// Sets as many filters as there are directions with both signs, or has room for; those of the largest spread come first.
fn whiten(weights: &mut Weights, number: usize, covariance: DMatrix<f64>) {
    let [outputs, inputs, height, width] = dims(weights, number);
    let n = inputs * height * width;
    let directions = covariance.symmetric_eigen();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| directions.eigenvalues[b].total_cmp(&directions.eigenvalues[a]));
    let pairs = n.min(outputs / 2);
    let (plus, minus) = weights.values_mut(number)[..2 * pairs * n].split_at_mut(pairs * n);
    for ((direction, plus), minus) in order.into_iter().zip(plus.chunks_exact_mut(n)).zip(minus.chunks_exact_mut(n)) {
        let scale = 1.0 / (directions.eigenvalues[direction].max(0.0) + EPS).sqrt();
        let column = directions.eigenvectors.column(direction);
        for ((plus, minus), &value) in plus.iter_mut().zip(minus).zip(column.iter()) {
            *plus = (value * scale) as f32;
            *minus = -*plus;
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_data::load;
    use lenslet_graph::{Mode, Shape, record};

    use super::*;
    use crate::networks::{Airbench94, Lesson};

    fn initialized(network: &dyn crate::Network, how: &str) -> Weights {
        let graph = record(network, Shape::image(3, 32, 32), Mode::Train).graph;
        let mut weights = Weights::new(&graph, 0);
        let data = load("shapes").expect("shapes needs no file");
        let how: Initialization = how.parse().expect("it is one");
        how.apply(&graph, &mut weights, &data.train, &Normalization::half(3)).expect("it begins with a convolution");
        weights
    }

    fn values<'a>(weights: &'a Weights, name: &str) -> &'a [f32] {
        weights.values(weights.number(name).expect("there is one"))
    }

    /// As `torch.nn.init.dirac_(weight[:weight.size(1)])`: ones at the middle of filter i and channel i.
    #[test]
    fn dirac_hands_on_the_inputs() {
        let weights = initialized(&Airbench94::new(), "dirac");
        let weight = values(&weights, "group1.conv1.weight");
        for (filter, values) in weight.chunks_exact(24 * 9).enumerate().take(24) {
            let ones: Vec<usize> = (0..24 * 9).filter(|&i| values[i] == 1.0).collect();
            assert_eq!(ones, [filter * 9 + 4]);
            assert_eq!(values.iter().filter(|&&x| x == 0.0).count(), 24 * 9 - 1);
        }
        assert!(weight[24 * 24 * 9..].iter().all(|&x| x != 0.0 && x != 1.0), "further filters are drawn");
        // The first layer is drawn, too.
        assert!(values(&weights, "whiten.weight").iter().all(|&x| x != 1.0));
    }

    /// Patches of the images, put through the filters, have a covariance of nearly 1 with themselves and 0 with others.
    #[test]
    fn whitened_patches_are_uncorrelated() {
        let weights = initialized(&Airbench94::new(), "whiten");
        let filters: Vec<&[f32]> = values(&weights, "whiten.weight").chunks_exact(12).collect();
        for (plus, minus) in filters[..12].iter().zip(&filters[12..]) {
            assert!(plus.iter().zip(*minus).all(|(a, b)| *a == -b), "each direction stands with both signs");
        }
        let data = load("shapes").expect("shapes needs no file");
        let pixel = |image: usize, c: usize, y: usize, x: usize| {
            f64::from(data.train.image(image)[(c * 32 + y) * 32 + x]) / 127.5 - 1.0
        };
        let (mut covariance, count) = (DMatrix::<f64>::zeros(12, 12), 40_000);
        // The order by content decides which images are looked at; all are alike.
        for place in 0..count {
            let (image, y, x) = (place * 7 % data.train.len(), place * 13 % 31, place * 5 / 3 % 31);
            let patch: Vec<f64> = (0..12).map(|i| pixel(image, i / 4, y + i / 2 % 2, x + i % 2)).collect();
            let output = |f: &&[f32]| f.iter().zip(&patch).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
            let outputs = DMatrix::from_iterator(12, 1, filters[..12].iter().map(output));
            covariance += &outputs * outputs.transpose();
        }
        // The first directions have a spread far above EPS.
        for a in 0..4 {
            for b in 0..4 {
                let (found, expected) = (covariance[(a, b)] / count as f64, f64::from(u8::from(a == b)));
                assert!((found - expected).abs() < 0.15, "covariance of {a} and {b} is {found}");
            }
        }
    }

    #[test]
    fn few_filters_take_the_largest_directions() {
        let weights = initialized(&Lesson::new(), "whiten");
        let filters: Vec<&[f32]> = values(&weights, "conv1.weight").chunks_exact(75).collect();
        let size = |filter: &[f32]| filter.iter().map(|x| x * x).sum::<f32>();
        // The larger the spread, the smaller the filter that evens it out.
        assert!(size(filters[0]) < size(filters[1]) && size(filters[1]) < size(filters[2]));
        assert!(filters[0].iter().zip(filters[3]).all(|(a, b)| *a == -b));
    }

    #[test]
    fn ways_to_begin_are_words() {
        assert_eq!("dirac, whiten".parse::<Initialization>().map(|i| i.to_string()), Ok("dirac, whiten".into()));
        assert_eq!(
            "xavier".parse::<Initialization>(),
            Err("weights cannot begin as \"xavier\"; there are default, dirac, whiten".into())
        );
    }
}
