//! A place for every value.
//!
//! Whole values and partial sums stand side by side: they are small. Values of a tile that are used up within their stage
//! live in the scratch memory of the thread that works on it, which stays in its cache; the others are kept per tile.
//! Both kinds share memory with values that are not alive at the same time. Liveness is inclusive at both ends, so a step
//! never writes where it reads.

use super::lower::{Handle, Lowered, LoweredStep, Memory, ValueId};
use super::{Operand, Options, Place, Plan, Stage, Step};
use crate::{Graph, Role};

/// Memory that partial sums may take over all slots, in numbers (256 MiB); with very large layers there are fewer slots.
const SLOT_BUDGET: usize = 64 << 20;

/// More slots than this would not speed up anything.
const MOST_SLOTS: usize = 64;

pub(super) fn place(graph: &Graph, lowered: Lowered, options: Options) -> Plan {
    let order = order(&lowered.steps);
    let spans = spans(graph, &lowered, &order);
    let (places, lens) = places(&lowered, &spans);
    let operand = |handle: &Handle| Operand { place: places[handle.value.0], shape: handle.shape };

    let mut stages: Vec<Stage> = vec![];
    let waves = waves(&lowered);
    for (step, wave) in lowered.steps.iter().zip(waves) {
        stages.resize_with(stages.len().max(step.stage + 1), Stage::default);
        let stage = &mut stages[step.stage];
        let inputs = step.inputs.iter().map(operand).collect();
        let placed = Step { kernel: step.kernel.clone(), inputs, output: operand(&step.output), node: step.node };
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

/// When a step runs: stage, whole work before tile work, then graph order. Distinct for each step.
fn order(steps: &[LoweredStep]) -> Vec<usize> {
    let mut by_time: Vec<usize> = (0..steps.len()).collect();
    by_time.sort_by_key(|&i| (steps[i].stage, steps[i].tile, i));
    let mut order = vec![0; steps.len()];
    for (time, &step) in by_time.iter().enumerate() {
        order[step] = time;
    }
    order
}

/// The life of a value, in steps and in stages, both ends included.
#[derive(Clone, Copy, Debug)]
struct Span {
    steps: (usize, usize),
    stages: (usize, usize),
    /// All of it within the tile work of one stage.
    local: bool,
}

fn spans(graph: &Graph, lowered: &Lowered, order: &[usize]) -> Vec<Option<Span>> {
    let mut spans: Vec<Option<Span>> = vec![None; lowered.values.len()];
    for (step, &time) in lowered.steps.iter().zip(order) {
        let mut touch = |ValueId(value): ValueId| {
            let span =
                spans[value].get_or_insert(Span { steps: (time, time), stages: (step.stage, step.stage), local: true });
            span.steps = (span.steps.0.min(time), span.steps.1.max(time));
            span.local &= step.tile && span.stages == (step.stage, step.stage);
            span.stages = (span.stages.0.min(step.stage), span.stages.1.max(step.stage));
        };
        touch(step.output.value);
        step.inputs.iter().for_each(|input| touch(input.value));
    }
    for (_, id) in &graph.outputs {
        // Results outlive the run.
        let value = lowered.handles[id.index()].expect("outputs are live").value;
        if let Some(span) = &mut spans[value.0] {
            span.stages.1 = usize::MAX;
            span.local = false;
        }
    }
    spans
}

struct Lens {
    whole: usize,
    kept: usize,
    scratch: usize,
    slot: usize,
}

fn places(lowered: &Lowered, spans: &[Option<Span>]) -> (Vec<Place>, Lens) {
    let mut lens = Lens { whole: 0, kept: 0, scratch: 0, slot: 0 };
    let mut places = vec![Place::Whole(0); lowered.values.len()];
    let (mut kept, mut scratch) = (vec![], vec![]);
    for (i, (value, span)) in lowered.values.iter().zip(spans).enumerate() {
        match (value.memory, span) {
            (Memory::Parameter(parameter), _) => places[i] = Place::Parameter(parameter),
            (Memory::Whole, _) => places[i] = Place::Whole(append(&mut lens.whole, value.len)),
            (Memory::Slot, _) => places[i] = Place::Slot(append(&mut lens.slot, value.len)),
            (Memory::Tile, Some(span)) if span.local => scratch.push((i, value.len, span.steps)),
            (Memory::Tile, Some(span)) => kept.push((i, value.len, span.stages)),
            (Memory::Tile, None) => unreachable!("a value of a tile is some step's output"),
        }
    }
    lens.kept = arrange(&mut kept, |i, offset| places[i] = Place::Kept(offset));
    lens.scratch = arrange(&mut scratch, |i, offset| places[i] = Place::Scratch(offset));
    (places, lens)
}

/// Values begin at a cache line, so that a vector never crosses one.
const ALIGN: usize = 16;

fn append(end: &mut usize, len: usize) -> usize {
    let offset = *end;
    *end += len.next_multiple_of(ALIGN);
    offset
}

/// Packs `(value, length, life)` into one block: larger values first, each at the lowest place that is free for all of
/// its life. Returns the block's length.
fn arrange(values: &mut [(usize, usize, (usize, usize))], mut place: impl FnMut(usize, usize)) -> usize {
    values.sort_by_key(|&(i, len, _)| (std::cmp::Reverse(len), i));
    // Placed so far: first number, one behind the last, life.
    let mut placed: Vec<(usize, usize, (usize, usize))> = vec![];
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
        assert_eq!(arrange(&mut values, |_, _| ()), 0);
    }
}
