//! How a kernel slides over one axis, worked out once per layer.
//!
//! Forward, output `o` and tap `k` meet at input `o·stride + k·dilation − before`; backward, the roles of input and output
//! are exchanged. Either way the taps that meet a position form an even progression, and stretches of positions meet the
//! same taps at evenly moving places: a [`Run`]. Edges are runs of their own with fewer taps, so kernels do the necessary
//! arithmetic only, and need neither padded copies nor tests in their inner loops.

use lenslet_graph::window::AxisWindow;

/// The taps that one position meets: tap `tap + j·tap_step` at `other + j·other_step`, for `j` below `count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taps {
    pub(crate) count: usize,
    pub(crate) tap: usize,
    pub(crate) tap_step: usize,
    pub(crate) other: usize,
    pub(crate) other_step: isize,
}

/// Positions `first + m·step`, for `m` below `count`, that meet the same taps, `m·other_move` further on each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: usize,
    pub(crate) step: usize,
    pub(crate) count: usize,
    pub(crate) taps: Taps,
    pub(crate) other_move: usize,
}

/// Outputs of a window, and the inputs that they see.
pub(crate) fn forward(window: &AxisWindow, size: usize, outputs: usize) -> Vec<Run> {
    let taps = |o| taps((0..window.kernel).filter_map(|k| Some((k, window.input(o, k, size)?))));
    runs(outputs, 1, window.stride, taps)
}

/// Inputs of a window, and the outputs that see them.
pub(crate) fn backward(window: &AxisWindow, size: usize, outputs: usize) -> Vec<Run> {
    let output = |i: usize, k: usize| {
        let reach = (i + window.before).checked_sub(k * window.dilation)?;
        (reach % window.stride == 0 && reach / window.stride < outputs).then_some((k, reach / window.stride))
    };
    // Inputs one stride apart see the same taps of neighbouring outputs.
    runs(size, window.stride, 1, |i| taps((0..window.kernel).filter_map(|k| output(i, k))))
}

fn taps(mut pairs: impl Iterator<Item = (usize, usize)>) -> Taps {
    let Some((tap, other)) = pairs.next() else { return Taps::default() };
    let mut taps = Taps { count: 1, tap, tap_step: 1, other, other_step: 0 };
    for (next_tap, next_other) in pairs {
        if taps.count == 1 {
            taps.tap_step = next_tap - tap;
            taps.other_step = next_other as isize - other as isize;
        }
        debug_assert_eq!(next_tap, tap + taps.count * taps.tap_step, "taps form an even progression");
        taps.count += 1;
    }
    taps
}

/// Collects positions into runs: within each class of positions `step` apart, neighbours that meet the same taps,
/// `other_move` further on.
fn runs(positions: usize, step: usize, other_move: usize, taps: impl Fn(usize) -> Taps) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![];
    for class in 0..step.min(positions) {
        let first_of_class = runs.len();
        for position in (class..positions).step_by(step) {
            let taps = taps(position);
            match runs[first_of_class..].last_mut() {
                Some(run) if continues(run, &taps, other_move) => run.count += 1,
                _ => {
                    // Positions that meet nothing stay where they are.
                    let other_move = if taps.count == 0 { 0 } else { other_move };
                    runs.push(Run { first: position, step, count: 1, taps, other_move });
                }
            }
        }
    }
    runs
}

fn continues(run: &Run, taps: &Taps, other_move: usize) -> bool {
    let moved = if taps.count == 0 { 0 } else { run.taps.other + run.count * other_move };
    *taps == Taps { other: moved, ..run.taps }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of tap and other that a run names, against the window's own word.
    #[test]
    fn runs_name_each_meeting_once() {
        for kernel in 1..5 {
            for stride in 1..4 {
                for (before, after) in [(0, 0), (1, 1), (2, 2), (0, 1)] {
                    for dilation in 1..4 {
                        for size in 1..12 {
                            let window = AxisWindow { kernel, stride, before, after, dilation, ceil: false };
                            let Some(outputs) = window.output(size) else { continue };
                            let mut expected: Vec<(usize, usize, usize)> = vec![];
                            for o in 0..outputs {
                                expected.extend((0..kernel).filter_map(|k| Some((o, k, window.input(o, k, size)?))));
                            }
                            expected.sort_unstable();
                            let mut from_outputs: Vec<_> = meetings(&forward(&window, size, outputs)).collect();
                            from_outputs.sort_unstable();
                            assert_eq!(from_outputs, expected, "{window:?} over {size}");
                            let backward = backward(&window, size, outputs);
                            let mut from_inputs: Vec<_> = meetings(&backward).map(|(i, k, o)| (o, k, i)).collect();
                            from_inputs.sort_unstable();
                            assert_eq!(from_inputs, expected, "{window:?} over {size}, backward");
                            assert_eq!(backward.iter().map(|run| run.count).sum::<usize>(), size);
                        }
                    }
                }
            }
        }
    }

    fn meetings(runs: &[Run]) -> impl Iterator<Item = (usize, usize, usize)> {
        runs.iter().flat_map(|run| {
            (0..run.count).flat_map(move |m| {
                (0..run.taps.count).map(move |j| {
                    let other = (run.taps.other + m * run.other_move) as isize + j as isize * run.taps.other_step;
                    (run.first + m * run.step, run.taps.tap + j * run.taps.tap_step, other as usize)
                })
            })
        })
    }

    #[test]
    fn the_lessons_layers_have_one_run_forward_and_edges_backward() {
        let window = AxisWindow { kernel: 5, stride: 1, before: 0, after: 0, dilation: 1, ceil: false };
        assert_eq!(forward(&window, 14, 10).len(), 1);
        let backward = backward(&window, 14, 10);
        assert_eq!(backward.iter().map(|run| run.count).collect::<Vec<_>>(), [1, 1, 1, 1, 6, 1, 1, 1, 1]);
    }
}
