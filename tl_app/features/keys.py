"""What decides a feature, as text and digests."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from functools import cache
from importlib import resources
from typing import Any

import keras
import numpy as np

from tl_app.records import Preprocessing

CODE = ("tl_app.backbones", "tl_app.inputs", "tl_app.engines", "tl_app.features")
"""Packages whose source takes part in every key: a changed line asks for new features."""

LIBRARIES = ("tensorflow", "keras", "tensorflow-hub", "pillow", "pillow-heif", "numpy")


@cache
def code_fingerprint() -> str:
    """Digest of the source that makes features, and of the libraries' versions."""
    found = hashlib.sha256()
    for package in CODE:
        for file in sorted(resources.files(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                found.update(file.name.encode() + b"\0" + file.read_bytes())
    for name in LIBRARIES:
        found.update(f"{name} {package_version(name)}".encode())
    return found.hexdigest()[:32]


def package_version(name: str) -> str:
    """Of an installed package, or "none"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def model_fingerprint(model: keras.Model) -> str:
    """Digest of what a functional model computes: its operations, wiring and weights.

    What a layer holds besides its configuration and weights is not seen: a SavedModel's graph
    has a digest of its own, `Backbone.weights_sha256`.

    Names do not enter: Keras numbers them by what else was built in the process.
    """
    found = hashlib.sha256()
    position = {id(part): index for index, part in enumerate(model.operations)}
    # A layer that was called before, for another model, has nodes that are none of this one.
    nodes = {id(node) for depth in model._nodes_by_depth.values() for node in depth}

    def plain(value: Any) -> Any:
        """An argument of a call: tensors by their maker, all else by value."""
        if hasattr(value, "_keras_history"):
            return ["tensor", position[id(value._keras_history.operation)]]
        if isinstance(value, (np.ndarray, np.generic)):
            return [str(value.dtype), list(value.shape), value.tobytes().hex()]
        return value

    for part in model.operations:
        calls = [
            [keras.tree.map_structure(plain, part_of) for part_of in (a.args, a.kwargs)]
            for node in part._inbound_nodes
            if id(node) in nodes
            for a in (node.arguments,)
        ]
        text = json.dumps(
            [type(part).__module__, type(part).__qualname__, _nameless(_config(part)), calls],
            sort_keys=True,
            default=_without_address,
        )
        found.update(text.encode())
        for weight in getattr(part, "weights", ()):
            found.update(keras.ops.convert_to_numpy(weight).tobytes())
    found.update(str([position[id(t._keras_history.operation)] for t in model.outputs]).encode())
    return found.hexdigest()[:32]


def pictures_key(preprocessing: Preprocessing) -> dict[str, Any]:
    """Of decoded and resized pictures: what decides them besides `picture_key`."""
    values = preprocessing.to_dict()
    del values["max_pixels"]  # refuses pictures, and changes none
    del values["window"]  # is in the key of every picture that it matters to
    return {"preprocessing": values, "code": code_fingerprint()}


def picture_key(pixel_hash: str, bits: int, window: tuple[int, int]) -> bytes:
    """32 bytes that stand for one picture's pixels, before they are resized.

    Args:
        pixel_hash: SHA-256, hexadecimal; it is the key of an 8-bit picture.
        bits: of a level; 16-bit ones are seen through the window.
        window: as in `Preprocessing`.
    """
    pixels = bytes.fromhex(pixel_hash)
    return pixels if bits == 8 else hashlib.sha256(pixels + repr(window).encode()).digest()


def _without_address(value: Any) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _config(part: Any) -> dict[str, Any]:
    """Settings of a layer or of an operation, which may know none."""
    try:
        return part.get_config()
    except NotImplementedError:
        return {
            name: value
            for name, value in vars(part).items()
            if not name.startswith("_") and isinstance(value, (str, int, float, bool, tuple, list))
        }


def _nameless(config: Any) -> Any:
    if isinstance(config, dict):
        return {
            key: _nameless(value)
            for key, value in config.items()
            if key not in ("name", "registered_name", "trainable")
        }
    if isinstance(config, (list, tuple)):
        return [_nameless(value) for value in config]
    return config
