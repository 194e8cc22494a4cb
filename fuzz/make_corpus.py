#!/usr/bin/env python3
"""Writes the seeds of the fuzzers' corpora into corpus/ beside this file: small valid files of every format.

Pictures, Parquet shards and pickles come from the fixtures of lenslet-data, checkpoints from `lenslet train`; the rest is
made here. Needs: pip install numpy
"""
import gzip, io, pathlib, pickle, struct, tarfile
import numpy as np

HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parent / "crates/lenslet-data/tests/fixtures"
ONE = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)

def write(target, name, data):
    path = HERE / "corpus" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

def npz(**arrays):
    out = io.BytesIO()
    (np.savez_compressed if arrays.pop("packed", False) else np.savez)(out, **arrays)
    return out.getvalue()

def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()

for target, folder in [("picture", "pictures"), ("parquet", "parquet"), ("cifar_python", "pickles"), ("cifar_meta", "pickles")]:
    for path in sorted((FIXTURES / folder).rglob("*")):
        if path.is_file():
            write(target, "-".join(path.relative_to(FIXTURES / folder).parts), path.read_bytes())

names = [f"class{i}" for i in range(3)]
write("cifar_meta", "fine", pickle.dumps({"fine_label_names": names, "coarse_label_names": names}, protocol=2))
batch = {"fine_labels": [1, 2], "coarse_labels": [0, 0], "data": np.zeros((2, 3072), np.uint8)}
# This target takes one file for the names and for both batches.
write("cifar_meta", "all", pickle.dumps({"fine_label_names": names, "coarse_label_names": names, **batch}, protocol=2))
write("cifar_python", "fine", pickle.dumps(batch, protocol=2))
write("cifar_binary", "ten", (b"\3" + bytes(3072)) * 2)
write("cifar_binary", "hundred", b"\3\7" + bytes(3072))

pictures = struct.pack(">IIII", 0x803, 2, 3, 4) + ONE.tobytes()
labels = struct.pack(">II", 0x801, 2) + b"\1\0"
write("idx", "pictures", pictures)
write("idx", "labels", labels)
write("idx", "pictures.gz", gzip.compress(pictures, mtime=0))

halves = {"x_train": ONE, "y_train": np.array([0, 1]), "x_test": ONE, "y_test": np.array([1, 0], np.uint8)}
write("npz", "keras", npz(**halves))
write("npz", "packed", npz(packed=True, **halves))
write("npz", "colour", npz(images=np.zeros((10, 2, 2, 3), np.uint8), labels=np.arange(10)[:, None] % 2))
write("npz", "planes", npz(x=np.zeros((10, 3, 2, 2), np.uint8), y=np.arange(10, dtype=np.int32) % 2))

binary = {f"cifar-10-batches-bin/{name}.bin": b"\1" + bytes(3072)
          for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]}
write("archive", "cifar.tar.gz", gzip.compress(tar(binary), mtime=0))
png = (FIXTURES / "pictures/rgb8.png").read_bytes()
folder = {f"photos/{split}/{name}/{i}.png": png for split in ["train", "test"] for name in ["cat", "dog"] for i in range(2)}
write("archive", "folder.tar", tar(folder))
write("archive", "idx.tar", tar({"train-images-idx3-ubyte": pictures, "train-labels-idx1-ubyte": labels,
                                      "t10k-images-idx3-ubyte": pictures, "t10k-labels-idx1-ubyte": labels}))
