#!/usr/bin/env bash
# Makes the Python environment of the peers and of the scripts that make test fixtures: PyTorch, numpy, safetensors; and,
# where they can be had, ONNX Runtime with the packages that export to it, and the allocator tcmalloc from Debian's
# packages, as FOLDER/lib/libtcmalloc_minimal.so.4.
#
#     bench/setup.sh [FOLDER]              default: target/bench-venv; seen from the root of the repository
#     PYTHON=python3.12 bench/setup.sh     with another interpreter
#     WHOLE=1 bench/setup.sh               PyTorch with all that its package asks for
#
# The last line says either "ready: ..." (exit code 0) or "impossible: ..." (exit code 1); "without: ..." before it, what is
# left out. What pip and the compiler had to say stands in FOLDER/setup.log. Run again, it finds the environment ready
# and does nothing.
#
# PyTorch's package for Linux on x86-64 is built for CUDA and asks for 2.3 GB of CUDA libraries and Triton, of which
# training on the CPU calls nothing. They are not fetched: two small ones are, and for the others empty libraries of the
# same name satisfy the loader, which resolves a symbol when it is first called (lazy.pth). The check at the end trains
# a step; where it fails, or without a C compiler, the whole is installed after all.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

torch=2.15.0
cuda=13.2.86
others=(numpy==2.4.6 safetensors==0.8.0)
onnx=(onnxruntime==1.32.0 onnx==1.23.2 onnxscript==0.7.2)
# What PyTorch's package asks for, less setuptools, Triton and CUDA.
needs=(filelock 'typing-extensions>=4.13.0' 'sympy>=1.13.3' 'networkx>=2.5.1' jinja2 'fsspec>=0.8.5')
stand_ins=(libcudnn.so.9 libcublas.so.13 libcublasLt.so.13 libcufft.so.12 libcufile.so.0 libcusparse.so.12
    libcusparseLt.so.0 libnccl.so.2 libnvrtc.so.13 libnvshmem_host.so.3)

venv=${1:-target/bench-venv}
log=$venv/setup.log

impossible() {
    echo "impossible: $*"
    exit 1
}

pip() {
    "$venv/bin/python" -m pip "$@" --disable-pip-version-check --retries 1 --timeout 30 >>"$log" 2>&1
}

# Trains a step: that the import succeeds says too little.
works() {
    "$venv/bin/python" - >>"$log" 2>&1 <<CHECK
import numpy, safetensors.torch, torch
assert torch.__version__.split("+")[0] == "$torch"
net = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 5), torch.nn.Flatten(), torch.nn.Linear(96, 10))
optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=True)
torch.nn.functional.cross_entropy(net(torch.zeros(2, 3, 8, 8)), torch.tensor([0, 1])).backward()
optimiser.step()
CHECK
}

lean() {
    [ -z "${WHOLE:-}" ] && [ "$(uname -sm)" = "Linux x86_64" ] && command -v cc >/dev/null || return
    pip install --no-deps "torch==$torch" "nvidia-cuda-runtime==$cuda" "nvidia-cuda-cupti==$cuda" &&
        pip install "${needs[@]}" "${others[@]}" || return
    local packages name version
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    for name in "${stand_ins[@]}"; do
        # The loader compares versions of symbols too; NVIDIA calls them as the library, but for one.
        version=${name/libnvshmem_host.so.3/NVSHMEM}
        echo "$version { global: *; };" >"$venv/version.map"
        # The only variable among the symbols: variables cannot wait for their first use.
        echo "int nvshmem_selected_device_transport;" |
            cc -shared -fPIC -nostdlib -x c - -Wl,-soname,"$name" -Wl,--version-script="$venv/version.map" \
                -o "$packages/torch/lib/$name" >>"$log" 2>&1 || return
    done
    echo 'import os, sys; sys.setdlopenflags(os.RTLD_LAZY)' >"$packages/lazy.pth"
    works
}

whole() {
    rm -rf "$venv"
    mkdir -p "$venv"
    "$python" -m venv "$venv" >>"$log" 2>&1
    pip install "torch==$torch" "${others[@]}" && works
}

has_onnx() {
    "$venv/bin/python" -c 'import onnx, onnxruntime, onnxscript' >>"$log" 2>&1
}

# Into the environment and not into the system, which takes no root.
tcmalloc() {
    local library=libtcmalloc_minimal.so.4 unpacked=$venv/tcmalloc found
    [ -e "$venv/lib/$library" ] && return
    found=$(PATH=$PATH:/sbin ldconfig -p 2>/dev/null | awk -v name=$library '$1 == name { print $NF; exit }')
    if [ -z "$found" ]; then
        mkdir -p "$unpacked"
        (cd "$unpacked" && apt-get download libtcmalloc-minimal4 && dpkg-deb -x libtcmalloc-minimal4_*.deb .) \
            >>"$log" 2>&1 || return
        found=$(cd "$unpacked" && find "$PWD" -name "$library" | head -1)
    fi
    [ -n "$found" ] && ln -s "$found" "$venv/lib/$library"
}

# The end: PyTorch is there.
ready() {
    has_onnx || pip install "${onnx[@]}" || echo "without: ONNX Runtime, see $log"
    tcmalloc || echo "without: tcmalloc, see $log"
    echo "ready: $venv/bin/python, PyTorch $torch"
    exit 0
}

if [ -x "$venv/bin/python" ] && works; then
    ready
fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null || impossible "$python is not there; install Python 3.11 or later"
if [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -e "$log" ]; then
    impossible "$venv is there and not of this script's making"
fi
rm -rf "$venv"
mkdir -p "$venv" || impossible "$venv cannot be made"
"$python" -m venv "$venv" >>"$log" 2>&1 || impossible "'$python -m venv' fails, see $log (Debian: install python3-venv)"
pip download --no-deps --no-cache-dir -d "$venv/probe" "${others[1]}" ||
    impossible "pip can fetch no package, is there a network? See $log"
rm -rf "$venv/probe"

if ! lean; then
    whole || impossible "PyTorch $torch cannot be installed, see $log"
fi
ready
