"""Fashion-MNIST as class folders, from Debian's package; unpacked, not installed."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

from examples.demo_photos import Unavailable, download_package, run_tool

PACKAGE = "dataset-fashion-mnist"
CLASS_NAMES = (
    "t_shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle_boot",
)
UNSIGNED_BYTES = 0x08
"""The type of an idx file's values."""


def fetch(scratch: Path, *, n_per_class: int) -> Path:
    """Download, unpack and write the first pictures of each class below `scratch`.

    Raises:
        Unavailable: apt cannot give the package here.
    """
    archive = download_package(scratch, PACKAGE)
    unpacked = scratch / "unpacked"
    run_tool(["dpkg-deb", "-x", str(archive), str(unpacked)])
    parts = []
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        file = next(unpacked.rglob(f"{name}*"), None)
        if file is None:
            raise Unavailable(f"the package holds no {name}")
        parts.append(read_idx(file))
    target = scratch / "fashion_mnist"
    write_classes(target, parts[0], parts[1], n_per_class=n_per_class)
    return target


def read_idx(path: Path) -> np.ndarray:
    """The array of an idx file, packed by gzip or not; uint8.

    Raises:
        ValueError: it is no idx file of bytes, or it is cut off.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    n_axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * n_axes
    if content[:3] != bytes([0, 0, UNSIGNED_BYTES]) or len(content) < start:
        raise ValueError(f"{path.name} is no idx file of bytes")
    shape = tuple(np.frombuffer(content, ">u4", n_axes, offset=4).tolist())
    values = np.frombuffer(content, np.uint8, offset=start)
    if values.size != np.prod(shape):
        raise ValueError(f"{path.name} holds {values.size} values for the shape {shape}")
    return values.reshape(shape)


def write_classes(
    folder: Path, images: np.ndarray, labels: np.ndarray, *, n_per_class: int
) -> None:
    """Write the first `n_per_class` images of each class as PNGs.

    Args:
        folder: gets one folder a class.
        images: uint8, shape (n_images, height, width).
        labels: uint8, shape (n_images,), positions in `CLASS_NAMES`.
    """
    for label, name in enumerate(CLASS_NAMES):
        (folder / name).mkdir(parents=True)
        for row in np.flatnonzero(labels == label)[:n_per_class]:
            Image.fromarray(images[row]).save(folder / name / f"{row:05}.png")
