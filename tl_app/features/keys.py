"""What decides a feature, as text and digests."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import keras

from tl_app.records import Preprocessing

CODE = ("tl_app.inputs", "tl_app.engines", "tl_app.features")
"""Packages whose source takes part in every key: a changed line asks for new features."""

LIBRARIES = ("tensorflow", "keras", "pillow", "numpy")


@cache
def code_fingerprint() -> str:
    """Digest of the source that makes features, and of the libraries' versions."""
    found = hashlib.sha256()
    for package in CODE:
        for file in sorted(resources.files(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                found.update(file.name.encode() + b"\0" + file.read_bytes())
    for name in LIBRARIES:
        found.update(f"{name} {importlib.metadata.version(name)}".encode())
    return found.hexdigest()[:32]


def model_fingerprint(model: keras.Model) -> str:
    """Digest of what a functional model computes: its operations, wiring and weights.

    Names do not enter: Keras numbers them by what else was built in the process.
    """
    found = hashlib.sha256()
    position = {id(part): index for index, part in enumerate(model.operations)}
    # A layer that was called before, for another model, has nodes that are none of this one.
    nodes = {id(node) for node in model._nodes}
    for part in model.operations:
        config = part.get_config() if isinstance(part, keras.layers.Layer) else {}
        sources = [
            position[id(tensor._keras_history.operation)]
            for node in part._inbound_nodes
            if id(node) in nodes
            for tensor in node.input_tensors
        ]
        text = json.dumps(
            [type(part).__module__, type(part).__qualname__, _nameless(config), sources],
            sort_keys=True,
            default=lambda value: type(value).__qualname__,
        )
        found.update(text.encode())
        for weight in getattr(part, "weights", ()):
            found.update(keras.ops.convert_to_numpy(weight).tobytes())
    found.update(str([position[id(t._keras_history.operation)] for t in model.outputs]).encode())
    return found.hexdigest()[:32]


def pictures_key(preprocessing: Preprocessing, bits: Iterable[int]) -> dict[str, Any]:
    """Of decoded and resized pictures; the window matters to 16-bit ones alone."""
    values = preprocessing.to_dict()
    del values["max_pixels"]  # refuses pictures, and changes none
    if 16 not in set(bits):
        del values["window"]
    return {"preprocessing": values, "code": code_fingerprint()}


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
