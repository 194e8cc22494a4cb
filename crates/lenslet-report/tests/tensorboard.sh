#!/bin/sh
# Makes the environment in which the test `tensorboard_reads_the_file` runs; without it that test is skipped.
set -e
cd "$(dirname "$0")/../../.."
python3 -m venv target/tensorboard-venv
target/tensorboard-venv/bin/pip install --quiet tensorboard setuptools
