//! What is measured: three networks, in training, in inference and with a single image, and the goals of the project.

use clap::ValueEnum;
use lenslet::networks::{self, by_name};
use lenslet::{Network, Shape, Summary};

use crate::peer::Peer;

/// A network of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Net {
    /// The lesson's network.
    W1,
    /// The network of airbench94.
    W2,
    /// ResNet-18 in its form for small images.
    W3,
}

impl Net {
    /// Its name in the workers' protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Net::W1 => "w1",
            Net::W2 => "w2",
            Net::W3 => "w3",
        }
    }

    /// Its name among Lenslet's networks.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Net::W1 => "lesson",
            Net::W2 => "airbench94",
            Net::W3 => "resnet18",
        }
    }

    pub(crate) fn network(self) -> Box<dyn Network + Send + Sync> {
        by_name(self.model(), self.input(), 10).expect("Lenslet has these networks")
    }

    pub(crate) fn shape(self) -> Shape {
        let [channels, height, width] = self.input();
        Shape::image(channels, height, width)
    }

    fn input(self) -> [usize; 3] {
        networks::find(self.model()).expect("Lenslet has these networks").input
    }
}

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Forward, backward, optimizer.
    Train,
    /// Forward in batches.
    Infer,
    /// Forward, image by image.
    Latency,
}

impl Kind {
    /// Its name in the workers' protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Train => "train",
            Kind::Infer => "infer",
            Kind::Latency => "latency",
        }
    }
}

/// A row of the benchmark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) net: Net,
    pub(crate) kind: Kind,
    /// Images in a step.
    pub(crate) batch: usize,
    /// How many times a peer's speed is to be reached, on two threads.
    pub(crate) goal: Option<(f64, Peer)>,
}

impl Work {
    /// Floating-point operations of an image, where each product is computed as it is defined. A backward pass has a
    /// gradient of the weights and one of the input, each as costly as the forward pass; images themselves need none.
    pub(crate) fn operations(&self) -> f64 {
        let summary = Summary::new(&*self.net.network(), self.net.shape());
        let forward = summary.macs();
        let first = summary.rows.iter().map(|row| row.macs).find(|&macs| macs > 0).unwrap_or(0);
        let products = if self.kind == Kind::Train { 3 * forward - first } else { forward };
        2.0 * products as f64
    }

    /// In words, as a row of the table begins.
    pub(crate) fn title(&self) -> String {
        let net = self.net.name().to_uppercase();
        match self.kind {
            Kind::Train => format!("{net} training, batch {}", self.batch),
            Kind::Infer => format!("{net} inference, batch {}", self.batch),
            Kind::Latency => format!("{net} latency, batch 1"),
        }
    }
}

/// All rows.
pub(crate) const WORKS: [Work; 12] = [
    work(Net::W1, Kind::Train, 4, Some((10.0, Peer::Pytorch))),
    work(Net::W1, Kind::Train, 64, Some((4.3, Peer::Pytorch))),
    work(Net::W1, Kind::Train, 512, Some((3.8, Peer::Pytorch))),
    work(Net::W1, Kind::Infer, 512, Some((2.6, Peer::Onnxruntime))),
    work(Net::W1, Kind::Latency, 1, Some((2.0, Peer::Onnxruntime))),
    work(Net::W2, Kind::Train, 64, Some((2.0, Peer::Pytorch))),
    work(Net::W2, Kind::Train, 256, Some((2.0, Peer::Pytorch))),
    work(Net::W2, Kind::Infer, 256, Some((2.0, Peer::Pytorch))),
    work(Net::W2, Kind::Latency, 1, Some((1.5, Peer::Onnxruntime))),
    work(Net::W3, Kind::Train, 64, Some((2.0, Peer::Pytorch))),
    work(Net::W3, Kind::Infer, 64, Some((2.0, Peer::Pytorch))),
    work(Net::W3, Kind::Latency, 1, None),
];

const fn work(net: Net, kind: Kind, batch: usize, goal: Option<(f64, Peer)>) -> Work {
    Work { net, kind, batch, goal }
}
