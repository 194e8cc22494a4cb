//! How long it takes from a network to its plan: recording and differentiation, and the plan itself.

use std::hint::black_box;
use std::time::Instant;

use lenslet::cpu::options;
use lenslet::graph::plan::Plan;
use lenslet::training::training_graph;

use crate::race::median;
use crate::works::Net;

const BATCH: usize = 64;
const ROUNDS: usize = 15;

/// Medians, in seconds.
pub(crate) struct Planning {
    pub(crate) title: String,
    pub(crate) recording: f64,
    pub(crate) planning: f64,
    pub(crate) goal: Option<f64>,
}

/// Measures all networks.
pub(crate) fn measure() -> Result<Vec<Planning>, String> {
    let mut all = vec![];
    for (net, goal) in [(Net::W1, Some(0.005)), (Net::W2, None), (Net::W3, Some(0.05))] {
        let (mut recording, mut planning) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            let graph = training_graph(&*net.network(), net.shape(), 10, 0.0).map_err(|error| error.to_string())?;
            recording.push(begin.elapsed().as_secs_f64());
            let begin = Instant::now();
            black_box(Plan::new(&graph, options(&graph, BATCH)));
            planning.push(begin.elapsed().as_secs_f64());
        }
        let title = format!("{}, {}", net.name().to_uppercase(), net.model());
        let planning = Planning { title, recording: median(recording), planning: median(planning), goal };
        let Planning { title, recording, planning: plan, .. } = &planning;
        println!("{title}: recording and differentiation {:.2} ms, plan {:.2} ms", recording * 1e3, plan * 1e3);
        all.push(planning);
    }
    Ok(all)
}
