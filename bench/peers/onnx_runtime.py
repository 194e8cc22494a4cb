#!/usr/bin/env python3
"""ONNX Runtime's side of the benchmark: a worker that answers when told to; worker.py has the protocol.

    target/bench-venv/bin/python bench/peers/onnx_runtime.py THREADS FOLDER

FOLDER holds w1.onnx, w2.onnx, w3.onnx (networks.py). The number of images is fixed when a session is made, all
optimisations are on, and its threads wait for work spinning. Pictures and logits are bound beforehand, so that nothing is
copied or asked for. It trains nothing.
"""

import sys

import numpy
import onnxruntime
from worker import PICTURES, serve

THREADS, FOLDER = int(sys.argv[1]), sys.argv[2]


def variants(work):
    return [] if work[1] == "train" else ["spinning"]


def make(work, _variant):
    network, _, batch = work
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.inter_op.allow_spinning", "1")
    options.add_free_dimension_override_by_name("batch", batch)
    session = onnxruntime.InferenceSession(f"{FOLDER}/{network}.onnx", options, providers=["CPUExecutionProvider"])

    random = numpy.random.default_rng(0)
    bindings = []
    for _ in range(PICTURES // batch):
        images = random.standard_normal((batch, 3, 32, 32), dtype=numpy.float32)
        logits = numpy.empty((batch, 10), dtype=numpy.float32)
        binding = session.io_binding()
        binding.bind_ortvalue_input("images", onnxruntime.OrtValue.ortvalue_from_numpy(images))
        binding.bind_ortvalue_output("logits", onnxruntime.OrtValue.ortvalue_from_numpy(logits))
        bindings.append(binding)
    number = 0

    def step():
        nonlocal number
        session.run_with_iobinding(bindings[number])
        number = (number + 1) % len(bindings)

    return step


serve(f"ONNX Runtime {onnxruntime.__version__}", variants, make)
