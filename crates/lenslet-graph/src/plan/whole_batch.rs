//! What is done for the whole batch at once, instead of tile by tile.
//!
//! A tile of images that goes through a layer on its own reads all its weights. Where a layer has more weights than the
//! cache holds and its maps are small, that is what its time goes to: ResNet-18's last convolutions have 9 MB of transformed
//! weights for a single product of each with a vector of images. So there the tiles only transform their maps; all tiles'
//! maps meet the weights in whole work, cut by output channels, which transforms weights where it uses them. The gradient by
//! the weight is summed over all tiles there, too, without a sum for each slot.

use super::{Options, Winograd, few_images};
use crate::ops::Op;
use crate::ops::conv2d::{Conv2dInputGrad, Conv2dWeightGrad};
use crate::{Graph, NodeId};

/// Numbers of all transformed maps that are still in the cache when each part of the work reads them (16 MB).
const MOST_NUMBERS: usize = 4 << 20;

/// Positions of tiles in a map up to which that is faster: measured, for weights that change from run to run; and for those
/// that stay, which tiles find transformed.
const MOST_POSITIONS: usize = 4;
const MOST_POSITIONS_OF_ANSWERS: usize = 2;

/// Products of channels from which on weights do not stay in the cache.
const FEWEST_KERNELS: usize = 1 << 14;

/// How each node's work is done for all tiles at once, if it is.
pub(super) struct WholeBatch(Vec<Option<Work>>);

#[derive(Clone, Copy)]
enum Work {
    /// A convolution, or a gradient of one.
    Winograd(Winograd),
    /// A dense layer's: its gradient by the weight, which is one product over the whole batch, and where images are few all.
    Dense,
}

impl WholeBatch {
    pub(super) fn new(graph: &Graph, options: Options) -> Self {
        let work = |id| match graph.node(id).op {
            Op::LinearWeightGrad(_) => Some(Work::Dense),
            Op::Linear(_) | Op::LinearInputGrad(_) => {
                let [x, weight] = [0, 1].map(|input| graph.node(graph.node(id).inputs[input]).shape());
                few_images::pays(x, weight, options).then_some(Work::Dense)
            }
            _ => choose(graph, id, options).map(Work::Winograd),
        };
        Self(graph.ids().map(work).collect())
    }

    /// Whether the node is done for all tiles at once.
    pub(super) fn holds(&self, id: NodeId) -> bool {
        self.0[id.index()].is_some()
    }

    /// How, if it is a convolution or a gradient of one.
    pub(super) fn way(&self, id: NodeId) -> Option<Winograd> {
        match self.0[id.index()]? {
            Work::Winograd(way) => Some(way),
            Work::Dense => None,
        }
    }
}

fn choose(graph: &Graph, id: NodeId, options: Options) -> Option<Winograd> {
    let node = graph.node(id);
    let shape = |input: usize| graph.node(node.inputs[input]).shape();
    let (layer, image, output, gradient) = match &node.op {
        Op::Conv2d(layer) => (layer, shape(0), node.shape(), false),
        Op::Conv2dInputGrad(Conv2dInputGrad { layer, image }) => (layer, *image, shape(0), true),
        Op::Conv2dWeightGrad(Conv2dWeightGrad { layer }) => (layer, shape(0), shape(1), false),
        _ => return None,
    };
    if !options.winograd || options.lanes == 1 {
        return None;
    }
    let way = Winograd::for_whole_batch(layer, image, output, gradient)?;
    let results = if gradient { image } else { output };
    let positions = way.positions(results);
    let images = options.batch.next_multiple_of(options.lanes);
    let numbers = images * positions * way.places() * way.inner.max(way.outputs);
    // Weights that stay from run to run are transformed but once, so tiles with fewer products win.
    let suits_weights = match graph.trains() {
        true => positions <= MOST_POSITIONS,
        false => {
            let by_tile = Winograd::choose(layer, image, output, gradient, usize::MAX);
            positions <= MOST_POSITIONS_OF_ANSWERS
                && by_tile.is_none_or(|by_tile| by_tile.products(results) >= way.products(results))
        }
    };
    (suits_weights && numbers <= MOST_NUMBERS && way.inner * way.outputs >= FEWEST_KERNELS).then_some(way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Kernel, Place, Plan, check};
    use crate::record::add_cross_entropy;
    use crate::{Conv2d, Linear, Mode, Module, Network, Shape, Var, Visitor, differentiate, record};

    struct Net {
        conv: Conv2d,
        out: Linear,
    }

    impl Module for Net {
        fn visit(&self, visitor: &mut Visitor<'_>) {
            visitor.field("conv", &self.conv);
            visitor.field("out", &self.out);
        }
    }

    impl Network for Net {
        fn forward(&self, x: Var) -> Var {
            self.out.forward(self.conv.forward(x.tanh()).flatten())
        }
    }

    fn plan(conv: Conv2d, image: [usize; 3], trains: bool, options: Options) -> Plan {
        let network = Net { conv, out: Linear::infer(10) };
        let mut graph = record(&network, Shape::image(image[0], image[1], image[2]), Mode::Train).graph;
        if trains {
            add_cross_entropy(&mut graph, 0.0).expect("there are logits");
            differentiate::differentiate(&mut graph).expect("all has a derivative");
        }
        Plan::new(&graph, options)
    }

    fn is_winograd(kernel: &Kernel) -> bool {
        matches!(kernel, Kernel::WinogradBatch { .. } | Kernel::WinogradBatchWeightGrad { .. })
    }

    /// What was measured to be the fastest (AVX-512). No gradient by the image is asked for here.
    #[test]
    fn it_is_chosen_where_weights_are_many_and_maps_are_small() {
        let conv = |channels, outputs| Conv2d::new(channels, outputs, 3).padding(1);
        let options = Options::new(64, 16);
        for (about, layer, image, options, [answers, training]) in [
            ("ResNet-18's last", conv(512, 512), [512, 4, 4], options, [1, 2]),
            ("those before", conv(256, 256), [256, 8, 8], options, [0, 2]),
            ("maps with work enough for a weight", conv(128, 128), [128, 16, 16], options, [0, 0]),
            ("few weights", conv(64, 64), [64, 4, 4], options, [0, 0]),
            ("more images than the cache holds", conv(512, 512), [512, 4, 4], Options::new(512, 16), [0, 0]),
            ("tiles of one image", conv(512, 512), [512, 4, 4], Options::new(4, 1), [0, 0]),
            ("switched off", conv(512, 512), [512, 4, 4], Options { winograd: false, ..options }, [0, 0]),
            ("stride", conv(512, 512).stride(2), [512, 8, 8], options, [0, 0]),
            ("channels that fill no block", conv(520, 512), [520, 4, 4], options, [0, 0]),
            ("smaller maps, which other tiles fill better", conv(256, 256), [256, 3, 3], options, [0, 2]),
            ("maps that tiles would fill badly", conv(512, 512), [512, 2, 2], options, [0, 0]),
        ] {
            let count = |trains| {
                let plan = plan(layer, image, trains, options);
                assert_eq!(check::check(&plan), Ok(()), "{about}");
                plan.steps().filter(|step| is_winograd(&step.kernel)).count()
            };
            assert_eq!([false, true].map(count), [answers, training], "{about}");
        }
    }

    /// What another step could be writing to, and what is one thread's alone.
    #[test]
    fn whole_work_of_another_kind_must_leave_tiles_alone() {
        let legal = plan(Conv2d::new(128, 128, 3).padding(1), [128, 4, 4], true, Options::new(64, 16));
        let change = |change: &dyn Fn(&mut crate::plan::Step)| {
            let mut plan = legal.clone();
            let steps = plan.stages.iter_mut().flat_map(|stage| stage.waves.iter_mut().flatten());
            steps.filter(|step| is_winograd(&step.kernel)).for_each(change);
            check::check(&plan).expect_err("it is not legal")
        };
        let other = change(&|step| step.kernel = Kernel::Fill(0.0));
        assert!(other.contains("whole work writes to a place that is not whole"), "{other}");
        let scratch = change(&|step| step.inputs[0].place = Place::Scratch(0));
        assert!(scratch.contains("whole work reads what is a single tile's"), "{scratch}");
    }
}
