#!/usr/bin/env python3
"""PyTorch's side of the benchmark: a worker that trains and answers when told to; worker.py has the protocol.

    target/bench-venv/bin/python bench/peers/pytorch.py THREADS [--compile]
    target/bench-venv/bin/python bench/peers/pytorch.py THREADS --memory NETWORK BATCH VARIANT

Each step is the least that PyTorch can do. Training: the next indices of a shuffled order, the gathering of those pictures
out of 2,048 that lie normalised in memory, forward, mean cross entropy, backward, SGD with momentum, which is the fused
one, PyTorch's fastest on the CPU; no DataLoader, no transfer, no reading of the loss. Answering: the forward pass in
inference mode over pictures that lie in memory as the network wants them, without a copy.

Variants: `eager` has pictures and weights contiguous (NCHW), `channels_last` in that memory format (NHWC), `compile` and
`compile_channels_last` are torch.compile over network and loss, in inference with the weights frozen (batch normalisation
folded, weights packed); it needs a C++ compiler and, once, a minute.

With --memory, the peak of memory of some training steps in a process of its own, in KiB: `peak BASELINE PEAK`, the baseline
read after the imports.
"""

import argparse
import contextlib

import torch
import torch.nn.functional as F
from networks import NETWORKS
from worker import PICTURES, answer, serve

PIXELS = 3 * 32 * 32


def layout_of(variant):
    return torch.channels_last if "channels_last" in variant else torch.contiguous_format


def as_images(rows, layout):
    """Rows of pixels, in the order in memory that the layout wants, seen as images."""
    if layout == torch.channels_last:
        images = rows.view(-1, 32, 32, 3).permute(0, 3, 1, 2)
    else:
        images = rows.view(-1, 3, 32, 32)
    assert images.is_contiguous(memory_format=layout)
    return images


class Training:
    def __init__(self, network, batch, variant):
        torch.manual_seed(0)
        layout = layout_of(variant)
        self.batch = batch
        # A picture is a row here, so that gathering copies whole rows; and the batch has a place of its own, so that no
        # memory is asked for.
        self.pictures = torch.randn(PICTURES, PIXELS)
        self.labels = torch.randint(0, 10, (PICTURES,))
        self.rows = torch.empty(batch, PIXELS)
        self.input = as_images(self.rows, layout)
        net = NETWORKS[network]().to(memory_format=layout)
        self.optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=True)
        self.loss = lambda x, y: F.cross_entropy(net(x), y)
        if variant.startswith("compile"):
            self.loss = torch.compile(self.loss, dynamic=False)
        self.order = iter(())

    def step(self):
        index = next(self.order, None)
        if index is None:
            # A last batch that is not full is left out.
            order = torch.randperm(PICTURES)[: PICTURES // self.batch * self.batch]
            self.order = iter(order.split(self.batch))
            index = next(self.order)
        torch.index_select(self.pictures, 0, index, out=self.rows)
        self.optimiser.zero_grad()
        self.loss(self.input, self.labels[index]).backward()
        self.optimiser.step()


class Answering:
    def __init__(self, network, batch, variant):
        torch.manual_seed(0)
        layout = layout_of(variant)
        self.batches = as_images(torch.randn(PICTURES, PIXELS), layout).split(batch)
        self.next = 0
        self.net = NETWORKS[network]().eval().to(memory_format=layout)
        if variant.startswith("compile"):
            self.net = torch.compile(self.net, dynamic=False)

    def step(self):
        self.net(self.batches[self.next])
        self.next = (self.next + 1) % len(self.batches)


def memory(network, batch, variant):
    baseline = high_water_mark()
    training = Training(network, batch, variant)
    for _ in range(3):
        training.step()
    answer("peak", baseline, high_water_mark())


def high_water_mark():
    """Peak of this process's memory so far, in KiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("threads", type=int)
    parser.add_argument("--compile", action="store_true", help="offer torch.compile too")
    parser.add_argument("--memory", nargs=3, metavar=("NETWORK", "BATCH", "VARIANT"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    if options.memory:
        network, batch, variant = options.memory
        return memory(network, int(batch), variant)

    if options.compile:
        from torch._inductor import config

        config.freezing = True

    def variants(work):
        return ["eager", "channels_last"] + ["compile", "compile_channels_last"] * options.compile

    mode = contextlib.ExitStack()
    current = None

    def make(work, variant):
        nonlocal current
        network, kind, batch = work
        if work != current:
            # Code that was compiled for another number of images is of no use any more.
            torch._dynamo.reset()
            mode.close()
            mode.enter_context(torch.inference_mode(kind != "train"))
            current = work
        return (Training if kind == "train" else Answering)(network, batch, variant).step

    serve(f"PyTorch {torch.__version__.split('+')[0]}", variants, make)


if __name__ == "__main__":
    main()
