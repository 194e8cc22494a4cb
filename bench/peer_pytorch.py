#!/usr/bin/env python3
"""PyTorch's side of the side-by-side benchmark W1: a worker that trains the lesson's network when told to.

    target/bench-venv/bin/python bench/peer_pytorch.py [--threads 2] [--batch 64] [--compile]

The program that compares starts one worker, and lets it and Lenslet take turns; while the worker waits for a line it
uses no processor. Answers stand on standard output, one line each, everything else on standard error.

    worker, once     ready torch=2.15.0 threads=2 batch=64 variants=eager,channels_last
    asked            run SECONDS VARIANT
    worker           result VARIANT IMAGES_PER_SECOND STEPS SECONDS
                     error REASON                                     (the worker goes on)
    asked            quit, or the end of the input

A variant is built at its first run, and each run warms up for a fifth of its time, at least 20 steps, before the clock
starts. Only whole steps count, so SECONDS comes back a little longer than asked.

What a step is: the next indices of a shuffled order, the gathering of those pictures out of 2,048 that lie normalised
in memory, forward, mean cross entropy, backward, SGD with momentum. No DataLoader, no transfer, no reading of the loss:
the least that PyTorch can do. The optimiser is the fused one, PyTorch's fastest on the CPU.

Variants: `eager` has pictures and weights contiguous (NCHW), `channels_last` in that memory format (NHWC), `compile`
is torch.compile over network and loss; it needs a C++ compiler and, once, about a minute.
"""

import argparse
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

PICTURES = 2048


class Lesson(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class Training:
    """One variant, set up; every call of `step` trains on the next batch."""

    def __init__(self, variant, batch):
        torch.manual_seed(0)
        layout = torch.channels_last if variant == "channels_last" else torch.contiguous_format
        self.batch = batch
        # A picture is a row here, in the order in memory that the variant wants, so that gathering copies whole rows;
        # and the batch has a place of its own, so that no memory is asked for.
        self.pictures = torch.randn(PICTURES, 3 * 32 * 32)
        self.labels = torch.randint(0, 10, (PICTURES,))
        self.rows = torch.empty(batch, 3 * 32 * 32)
        if variant == "channels_last":
            self.input = self.rows.view(batch, 32, 32, 3).permute(0, 3, 1, 2)
        else:
            self.input = self.rows.view(batch, 3, 32, 32)
        assert self.input.is_contiguous(memory_format=layout)
        net = Lesson().to(memory_format=layout)
        self.optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=True)
        self.loss = lambda x, y: F.cross_entropy(net(x), y)
        if variant == "compile":
            self.loss = torch.compile(self.loss)
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


def train_for(training, seconds, least_steps=1):
    steps = 0
    start = time.perf_counter()
    while True:
        training.step()
        steps += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds and steps >= least_steps:
            return steps, elapsed


def answer(*words):
    print(*words, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--compile", action="store_true", help="offer the variant `compile` too")
    options = parser.parse_args()
    if not 1 <= options.batch <= PICTURES:
        parser.error(f"--batch must be from 1 to {PICTURES}")
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)

    variants = ["eager", "channels_last"] + ["compile"] * options.compile
    made = {}
    version = torch.__version__.split("+")[0]
    answer(f"ready torch={version} threads={options.threads} batch={options.batch} variants={','.join(variants)}")

    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            break
        try:
            command, seconds, variant = words
            seconds = float(seconds)
            if command != "run" or variant not in variants:
                raise ValueError
        except ValueError:
            answer(f"error expected 'run SECONDS {'|'.join(variants)}' or 'quit', not {line.strip()!r}")
            continue
        try:
            if variant not in made:
                made[variant] = Training(variant, options.batch)
            training = made[variant]
            train_for(training, seconds / 5, least_steps=20)
            steps, elapsed = train_for(training, seconds)
        except Exception as failure:  # A compiler that is missing, say: the other variants still work.
            answer("error", variant, " ".join(str(failure).split())[:300])
            continue
        answer(f"result {variant} {steps * options.batch / elapsed:.1f} {steps} {elapsed:.3f}")


if __name__ == "__main__":
    main()
