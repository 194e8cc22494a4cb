//! Whether a plan is legal: the invariants on which a backend's memory safety rests.
//!
//! A backend hands kernels slices of shared memory without further checks. [`check`] proves what that needs: every operand
//! lies inside its memory, no step's output overlaps an input of the same step, steps of one wave write apart from each
//! other, tile work writes to tiles and slots only, whole work touches tiles only where it goes over all of them, and nothing
//! is read before it was written.

use super::{Operand, Place, Plan, Step};

/// Checks the invariants; the message names the step.
///
/// # Errors
/// The first invariant that does not hold, in words.
pub fn check(plan: &Plan) -> Result<(), String> {
    let mut written = Written::default();
    for (number, stage) in plan.stages.iter().enumerate() {
        let fault = |step: &Step, what: &str| Err(format!("stage {number}: {what}: {step}"));
        for wave in &stage.waves {
            for (i, step) in wave.iter().enumerate() {
                if !is_open_to_whole_work(step, &step.output) || matches!(step.output.place, Place::Slot(_)) {
                    return fault(step, "whole work writes to a place that is not whole");
                }
                if !step.inputs.iter().all(|input| is_open_to_whole_work(step, input)) {
                    return fault(step, "whole work reads what is a single tile's");
                }
                let others = wave.iter().enumerate().filter(|&(j, _)| j != i);
                let collides = |other: &Step| {
                    overlap(&step.output, &other.output)
                        || other.inputs.iter().any(|input| overlap(&step.output, input))
                };
                if others.into_iter().any(|(_, other)| collides(other)) {
                    return fault(step, "steps of one wave share memory");
                }
            }
        }
        for step in stage.waves.iter().flatten().chain(&stage.tile) {
            if !step.inputs.iter().chain([&step.output]).all(|operand| inside(plan, operand)) {
                return fault(step, "an operand lies outside of its memory");
            }
            if step.inputs.iter().any(|input| overlap(input, &step.output)) {
                return fault(step, "the output overlaps an input");
            }
            if !step.inputs.iter().all(|input| written.holds(input)) {
                return fault(step, "an input was not written before");
            }
            written.add(step.output);
        }
        for step in &stage.tile {
            if matches!(step.output.place, Place::Whole(_) | Place::Parameter(_)) {
                return fault(step, "tile work writes to a place that all tiles share");
            }
        }
    }
    Ok(())
}

/// Whether a step of whole work may touch the operand: tiles' values only if it goes over all of them.
fn is_open_to_whole_work(step: &Step, operand: &Operand) -> bool {
    match operand.place {
        Place::Parameter(_) | Place::Whole(_) | Place::Slot(_) => true,
        Place::Kept(_) => step.kernel.is_whole_batch(),
        Place::Scratch(_) => false,
    }
}

/// What the latest steps have left in memory. A later write to the same place takes an earlier value away.
#[derive(Default)]
struct Written(Vec<Operand>);

impl Written {
    fn holds(&self, input: &Operand) -> bool {
        // Some read only a part of what a step has left.
        let ((kind, begin, end), has) = (range(input), |o: &Operand| range(o));
        let holds = |o: &Operand| has(o).0 == kind && has(o).1 <= begin && end <= has(o).2;
        matches!(input.place, Place::Parameter(_)) || self.0.iter().any(holds)
    }

    fn add(&mut self, output: Operand) {
        self.0.retain(|old| !overlap(old, &output));
        self.0.push(output);
    }
}

fn range(operand: &Operand) -> (u8, usize, usize) {
    let (kind, at) = match operand.place {
        Place::Parameter(number) => return (0, number, number + 1),
        Place::Whole(at) => (1, at),
        Place::Kept(at) => (2, at),
        Place::Scratch(at) => (3, at),
        Place::Slot(at) => (4, at),
    };
    (kind, at, at + operand.shape.len())
}

fn overlap(a: &Operand, b: &Operand) -> bool {
    let ((kind_a, begin_a, end_a), (kind_b, begin_b, end_b)) = (range(a), range(b));
    kind_a == kind_b && begin_a < end_b && begin_b < end_a
}

fn inside(plan: &Plan, operand: &Operand) -> bool {
    let (_, _, end) = range(operand);
    match operand.place {
        Place::Parameter(number) => plan.parameters.get(number).is_some_and(|p| p.shape.len() == operand.shape.len()),
        Place::Whole(_) => end <= plan.whole_len && !operand.shape.is_batched(),
        Place::Kept(_) => end <= plan.kept_len && operand.shape.is_batched(),
        Place::Scratch(_) => end <= plan.scratch_len && operand.shape.is_batched(),
        Place::Slot(_) => end <= plan.slot_len,
    }
}
