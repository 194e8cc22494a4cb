#!/usr/bin/env python3
"""The hashes of `src/sources.rs`, computed without Lenslet from files as people have them.

    pixels.py parquet FOLDER   a folder of Hugging Face shards (train-*.parquet, test-*.parquet)
    pixels.py idx     FOLDER   the four idx files of MNIST or Fashion-MNIST, gz or not
    pixels.py python  FOLDER   cifar-10-batches-py, each file checked against the MD5 that torchvision knows

SHA-256 over: all training pictures as C x H x W bytes in official order, their labels (a byte each), then the same of the
test pictures. All three ways must agree where a set exists in several formats.
Needs: pip install numpy pyarrow pillow
"""
import gzip, hashlib, io, pathlib, pickle, sys

MD5 = {"data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
       "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
       "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb", "test_batch": "40351d587109b95175f43aff81a1287e"}


def parquet(folder, split):
    import numpy, pyarrow.parquet
    from PIL import Image
    images, labels = [], []
    for shard in sorted(folder.glob(("train" if split == "train" else "test") + "-*.parquet")):
        table = pyarrow.parquet.read_table(shard)
        image = "img" if "img" in table.column_names else "image"
        for row in table[image].to_pylist():
            pixels = numpy.asarray(Image.open(io.BytesIO(row["bytes"])))
            images.append((pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)).tobytes())
        labels += table["label"].to_pylist()
    return b"".join(images), bytes(labels)


def idx(folder, split):
    def body(kind, header):
        name = ("train" if split == "train" else "t10k") + "-" + kind + "-ubyte"
        plain, packed = folder / name, folder / (name + ".gz")
        return (plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes()))[header:]
    return body("images-idx3", 16), body("labels-idx1", 8)


def python(folder, split):
    names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    images, labels = b"", b""
    for name in names:
        raw = (folder / name).read_bytes()
        assert hashlib.md5(raw).hexdigest() == MD5[name], f"{name} is not the official file"
        batch = pickle.loads(raw, encoding="bytes")
        images, labels = images + batch[b"data"].tobytes(), labels + bytes(batch[b"labels"])
    return images, labels


def main():
    read, folder = {"parquet": parquet, "idx": idx, "python": python}[sys.argv[1]], pathlib.Path(sys.argv[2])
    digest = hashlib.sha256()
    for split in ("train", "test"):
        images, labels = read(folder, split)
        print(f"{split}: {len(labels)} pictures of {len(images) // len(labels)} bytes")
        digest.update(images)
        digest.update(labels)
    print(digest.hexdigest())


main()
