//! A place for every value.
//!
//! Values of a tile that are used up within their stage live in the scratch memory of the thread that works on it, which
//! stays in its cache; the others are kept per tile. Whole values and partial sums have a block each. In every block, values
//! that are not alive at the same time share their place. Liveness is inclusive at both ends, so a step never writes where it
//! reads.
//!
//! A tile goes through its steps in order whatever other tiles do, so its values live from step to step (and from wave to wave,
//! where whole work goes over all tiles). Whole values and partial sums are everyone's: their time goes by waves, all of a
//! stage's tile work being the last ([`Moment`]). So a partial sum lives through all tile work of its stage and up to the wave
//! that adds up the slots. Without gradients, what depends on parameters alone lives always: the next run finds it there if the
//! parameters are the same.

use super::lower::{Handle, Lowered, LoweredStep, Memory, Value};
use super::{Kernel, Operand, Options, Place, Plan, Stage, Step, few_images};
use crate::graph::{GAP, LINE, room};
use crate::{Graph, Role};

/// Memory that partial sums may take over all slots, in numbers (128 MiB); with very large layers there are fewer slots.
const SLOT_BUDGET: usize = 32 << 20;

/// More slots than this would not speed up anything.
const MOST_SLOTS: usize = 64;

pub(super) fn place(graph: &Graph, lowered: Lowered, options: Options) -> Plan {
    let waves = waves(&lowered);
    let order = order(&lowered.steps, &waves);
    let constant = constant(graph, &lowered);
    let spans = spans(graph, &lowered, &order, &waves, &constant);
    let (places, lens) = places(&lowered, &spans, options);
    let operand = |handle: &Handle| Operand { place: places[handle.value.0], shape: handle.shape };

    let mut stages: Vec<Stage> = vec![];
    for ((step, wave), constant) in lowered.steps.iter().zip(waves).zip(constant) {
        stages.resize_with(stages.len().max(step.stage + 1), Stage::default);
        let stage = &mut stages[step.stage];
        let inputs = step.inputs.iter().map(operand).collect();
        let (kernel, output, node) = (step.kernel.clone(), operand(&step.output), step.node);
        let placed = Step { kernel, inputs, output, node, constant };
        if step.tile {
            stage.tile.push(placed);
        } else {
            stage.waves.resize_with(stage.waves.len().max(wave + 1), Vec::new);
            stage.waves[wave].push(placed);
        }
    }
    let outputs = graph.outputs.iter().map(|(role, id)| {
        let handle = lowered.handles[id.index()].expect("outputs are live");
        (role.clone(), operand(&handle))
    });
    let tiles = options.batch.div_ceil(options.lanes);
    let slots = (SLOT_BUDGET / lens.slot.max(1)).clamp(4, MOST_SLOTS).min(tiles);
    Plan {
        options,
        stages,
        outputs: outputs.collect::<Vec<(Role, Operand)>>(),
        parameters: graph.parameters.clone(),
        inputs: graph.inputs.clone(),
        slots,
        whole_len: lens.whole,
        kept_len: lens.kept,
        scratch_len: lens.scratch,
        slot_len: lens.slot,
    }
}

/// When a step runs: stage, whole work by waves before tile work in graph order. Steps of a wave run at the same time.
fn order(steps: &[LoweredStep], waves: &[usize]) -> Vec<usize> {
    let time = |i: usize| (steps[i].stage, steps[i].tile, if steps[i].tile { i } else { waves[i] });
    let mut by_time: Vec<usize> = (0..steps.len()).collect();
    by_time.sort_by_key(|&i| time(i));
    let mut order = vec![0; steps.len()];
    for pair in by_time.windows(2) {
        order[pair[1]] = order[pair[0]] + usize::from(time(pair[0]) != time(pair[1]));
    }
    order
}

/// When everyone's work is done: stage and wave; tile work is the stage's last.
type Moment = (usize, usize);

const TILES: usize = usize::MAX;

/// The life of a value, both ends included.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// In steps, as one tile sees it.
    steps: (usize, usize),
    /// As all see it.
    moments: (Moment, Moment),
}

impl Span {
    /// All of it within the tile work of one stage.
    fn is_local(&self) -> bool {
        self.moments.0.1 == TILES && self.moments.0 == self.moments.1
    }
}

fn spans(graph: &Graph, lowered: &Lowered, order: &[usize], waves: &[usize], constant: &[bool]) -> Vec<Option<Span>> {
    let mut spans: Vec<Option<Span>> = vec![None; lowered.values.len()];
    for ((step, &time), &wave) in lowered.steps.iter().zip(order).zip(waves) {
        let moment = (step.stage, if step.tile { TILES } else { wave });
        for handle in step.inputs.iter().chain([&step.output]) {
            let span = spans[handle.value.0].get_or_insert(Span { steps: (time, time), moments: (moment, moment) });
            span.steps = (span.steps.0.min(time), span.steps.1.max(time));
            span.moments = (span.moments.0.min(moment), span.moments.1.max(moment));
        }
    }
    for (_, id) in &graph.outputs {
        // Results outlive the run.
        let value = lowered.handles[id.index()].expect("outputs are live").value;
        if let Some(span) = &mut spans[value.0] {
            span.steps.1 = usize::MAX;
            span.moments.1 = (usize::MAX, TILES);
        }
    }
    for (step, _) in lowered.steps.iter().zip(constant).filter(|(_, constant)| **constant) {
        spans[step.output.value.0].iter_mut().for_each(|span| span.moments = ((0, 0), (usize::MAX, TILES)));
    }
    spans
}

/// Which steps on whole values depend on parameters alone, in a graph that leaves these as they are.
fn constant(graph: &Graph, lowered: &Lowered) -> Vec<bool> {
    let is_parameter = |value: &Value| matches!(value.memory, Memory::Parameter(_));
    let mut known: Vec<bool> = lowered.values.iter().map(is_parameter).collect();
    let may_be = !graph.trains();
    let is_constant = |step: &LoweredStep| {
        // Random numbers depend on the run.
        let may_be = may_be && !step.tile && !matches!(step.kernel, Kernel::Dropout { .. });
        let constant = may_be && step.inputs.iter().all(|input| known[input.value.0]);
        known[step.output.value.0] |= constant;
        constant
    };
    lowered.steps.iter().map(is_constant).collect()
}

struct Lens {
    whole: usize,
    kept: usize,
    scratch: usize,
    slot: usize,
}

/// Values begin at a cache line, so that a vector never crosses one. (A tile's do in any case where a number of them is a
/// vector.) What several cores write to stands apart: large whole values, and of few images all that other cores read, too.
fn places(lowered: &Lowered, spans: &[Option<Span>], options: Options) -> (Vec<Place>, Lens) {
    let mut places = vec![Place::Whole(0); lowered.values.len()];
    let (mut whole, mut kept, mut scratch, mut slot) = (vec![], vec![], vec![], vec![]);
    for (i, (value, span)) in lowered.values.iter().zip(spans).enumerate() {
        let of_tile = if options.lanes == 1 { value.len.next_multiple_of(LINE) } else { value.len };
        let apart = if few_images::are_few(options) && value.len > LINE { GAP } else { 0 };
        match (value.memory, span) {
            (Memory::Parameter(parameter), _) => places[i] = Place::Parameter(parameter),
            (_, None) => unreachable!("a value is some step's output"),
            (Memory::Whole, Some(span)) => whole.push((i, room(value.len), span.moments)),
            (Memory::Slot, Some(span)) => slot.push((i, value.len.next_multiple_of(LINE), span.moments)),
            (Memory::Tile, Some(span)) if span.is_local() => scratch.push((i, of_tile, span.steps)),
            (Memory::Tile, Some(span)) => kept.push((i, of_tile + apart, span.steps)),
        }
    }
    let lens = Lens {
        whole: arrange(&mut whole, |i, offset| places[i] = Place::Whole(offset)),
        kept: arrange(&mut kept, |i, offset| places[i] = Place::Kept(offset)),
        scratch: arrange(&mut scratch, |i, offset| places[i] = Place::Scratch(offset)),
        slot: arrange(&mut slot, |i, offset| places[i] = Place::Slot(offset)),
    };
    (places, lens)
}

/// Packs `(value, length, life)` into one block: larger values first, each at the lowest place that is free for all of
/// its life. Returns the block's length.
fn arrange<T: Ord + Copy>(values: &mut [(usize, usize, (T, T))], mut place: impl FnMut(usize, usize)) -> usize {
    values.sort_by_key(|&(i, len, _)| (std::cmp::Reverse(len), i));
    // Placed so far: first number, one behind the last, life.
    let mut placed: Vec<(usize, usize, (T, T))> = vec![];
    let mut total = 0;
    for &(i, len, life) in values.iter() {
        let mut at = 0;
        // Sorted by place, so one pass finds the first gap.
        for &(begin, end, other) in &placed {
            let together = life.0 <= other.1 && other.0 <= life.1;
            if together && at + len > begin {
                at = at.max(end);
            }
        }
        place(i, at);
        let position = placed.partition_point(|&(begin, ..)| begin <= at);
        placed.insert(position, (at, at + len, life));
        total = total.max(at + len);
    }
    total
}

/// The wave of each whole step: one behind the latest step of the same stage that it reads from.
fn waves(lowered: &Lowered) -> Vec<usize> {
    let mut made_in: Vec<Option<(usize, usize)>> = vec![None; lowered.values.len()];
    let mut waves = vec![0; lowered.steps.len()];
    for (i, step) in lowered.steps.iter().enumerate().filter(|(_, step)| !step.tile) {
        let after = |input: &Handle| match made_in[input.value.0] {
            Some((stage, wave)) if stage == step.stage => wave + 1,
            _ => 0,
        };
        waves[i] = step.inputs.iter().map(after).max().unwrap_or(0);
        made_in[step.output.value.0] = Some((step.stage, waves[i]));
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_live_together_stand_apart_and_others_share() {
        let mut values = vec![(0, 10, (0, 2)), (1, 10, (1, 3)), (2, 10, (3, 4)), (3, 5, (0, 4))];
        let mut at = [0; 4];
        let total = arrange(&mut values.clone(), |i, offset| at[i] = offset);
        for (a, len_a, life_a) in values.iter().copied() {
            for (b, len_b, life_b) in values.iter().copied().filter(|&(b, ..)| b != a) {
                let together = life_a.0 <= life_b.1 && life_b.0 <= life_a.1;
                assert!(!together || at[a] + len_a <= at[b] || at[b] + len_b <= at[a], "{a} and {b} overlap");
            }
        }
        assert_eq!(total, 25, "the first and third value share their place");
        values.clear();
        assert_eq!(arrange::<usize>(&mut values, |_, _| ()), 0);
    }
}
