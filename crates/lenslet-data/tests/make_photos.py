#!/usr/bin/env python3
"""Make a folder of about 300 photographs in three classes, of many sizes and of every kind that people have on disk.

    make_photos.py OUT [--count 300] [--seed 0]        needs: pip install numpy pillow scikit-image scikit-learn

OUT/CLASS/name.ext: cats, flowers and temples, cut from the photographs that scikit-image and scikit-learn bring along
(public domain and CC BY; the packages say whose they are), at random places, mirrored or not, and written as JPEG (baseline,
progressive, grey, CMYK, turned by EXIF), PNG (colour, alpha, palette, grey, 16 bits), WebP, GIF and BMP. The same seed and
the same versions of the packages give the same files. They are photographs to try things with, not a benchmark: cuts of one
photograph are alike, so what is learnt from some is soon right about the others.
"""
import argparse, importlib.util, pathlib
import numpy as np
from PIL import Image

SOURCES = {
    "cat": ("skimage", "data/chelsea.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
}
# What undoes each EXIF orientation, so that the file looks upright where it is heeded.
UNDONE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}


def source(name):
    package, path = SOURCES[name]
    folder = pathlib.Path(importlib.util.find_spec(package).origin).parent
    return Image.open(folder / path).convert("RGB")


def cut(photo, random):
    """A part of the photograph, between a third and all of each side, in another size, perhaps mirrored."""
    width, height = (int(side * random.uniform(0.35, 1.0)) for side in photo.size)
    left, top = int(random.integers(0, photo.width - width + 1)), int(random.integers(0, photo.height - height + 1))
    part = photo.crop((left, top, left + width, top + height))
    scale = random.uniform(48, 640) / max(part.size)
    part = part.resize([max(16, round(side * scale)) for side in part.size], Image.Resampling.LANCZOS)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else part


def faded(photo, random):
    """With a transparency that grows from one side to the other."""
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    return photo


def turned(photo, random):
    """As a camera that was held askew would write it: pixels and what EXIF says of them."""
    orientation = int(random.integers(2, 9))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return photo.transpose(UNDONE[orientation]), exif


def wide(photo, random):
    """Grey of 16 bits that uses the lower byte alone, as Pillow (and so Lenslet) clips what is above."""
    return Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16))


def write_turned(kind, **options):
    def write(photo, path, random):
        photo, exif = turned(photo, random)
        photo.save(path, kind, exif=exif, **options)
    return write


def write(kind, change=lambda photo, random: photo, **options):
    return lambda photo, path, random: change(photo, random).save(path, kind, **options)


def mode(name):
    return lambda photo, random: photo.convert(name)


def palette(photo, random):
    return photo.quantize(int(random.choice([4, 16, 64, 256])))


KINDS = [
    # Most photographs are plain JPEGs.
    ("plain.jpg", write("JPEG", quality=85)), ("fine.jpeg", write("JPEG", quality=97, subsampling=0)),
    ("small.JPG", write("JPEG", quality=50)), ("turned.jpg", write_turned("JPEG", quality=85)),
    ("progressive.jpg", write("JPEG", quality=85, progressive=True)), ("grey.jpg", write("JPEG", mode("L"))),
    ("cmyk.jpg", write("JPEG", mode("CMYK"))), ("turned_too.jpg", write_turned("JPEG", quality=70, progressive=True)),
    ("rgb.png", write("PNG")), ("rgba.png", write("PNG", faded)), ("palette.png", write("PNG", palette)),
    ("grey.png", write("PNG", mode("L"))), ("grey_alpha.png", write("PNG", mode("LA"))), ("wide.png", write("PNG", wide)),
    ("turned.png", write_turned("PNG")), ("lossy.webp", write("WEBP", quality=80)),
    ("lossless.webp", write("WEBP", lossless=True)), ("alpha.webp", write("WEBP", faded)),
    ("turned.webp", write_turned("WEBP")), ("palette.gif", write("GIF", palette)), ("rgb.bmp", write("BMP")),
    ("palette.bmp", write("BMP", palette)), ("grey.bmp", write("BMP", mode("L"))),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    photos = {name: source(name) for name in SOURCES}
    for number in range(options.count):
        name = list(photos)[number % len(photos)]
        kind, save = KINDS[number // len(photos) % len(KINDS)]
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        save(cut(photos[name], random), folder / f"{number // len(photos):03}_{kind}", random)
    print(f"{options.count} photographs in {options.out}: {', '.join(photos)}")


main()
