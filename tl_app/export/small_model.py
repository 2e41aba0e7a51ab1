"""Predicting with a LiteRT or ONNX file of an export, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tl_app.engines.model_files import MODEL_FILES
from tl_app.errors import RunError, UnusablePicture
from tl_app.export.assets import read_facts
from tl_app.inputs.ahead import MAX_THREADS, run_ahead
from tl_app.inputs.light import preprocess
from tl_app.records import Preprocessing

ENGINES: dict[str, str] = {"litert": "litert", "onnx": "onnxruntime"}
"""Format -> the engine that runs its file."""

Answer = np.ndarray | UnusablePicture
"""Probabilities, float32 (n_classes,), or why there are none."""


def file_name(small_format: str) -> str:
    """Of a format's file in a version folder."""
    return MODEL_FILES[ENGINES[small_format]][0]


def small_formats(version_folder: Path) -> tuple[str, ...]:
    """Those that a version folder holds."""
    return tuple(name for name in ENGINES if (version_folder / file_name(name)).is_file())


class SmallModel:
    """A file of a version folder, loaded. Thread-safe.

    Args:
        version_folder: that `tl-app export` wrote.
        small_format: "litert" or "onnx", whose file is there.

    Attributes:
        class_names: in class order.
        preprocessing: how it reads pictures.
        n_bytes: of the file.

    Raises:
        RunError: the files beside the model are not there, or damaged.
        EngineUnavailable: its library is not installed, or cannot run it.
    """

    def __init__(self, version_folder: Path, small_format: str) -> None:
        facts = read_facts(version_folder)
        preprocessing = facts["preprocessing"]
        if not isinstance(preprocessing, Preprocessing):
            raise RunError("A small format of a model for texts.", received=str(version_folder))
        self.preprocessing = preprocessing
        self.class_names: tuple[str, ...] = facts["class_names"]
        file, load = MODEL_FILES[ENGINES[small_format]]
        content = (version_folder / file).read_bytes()
        self.n_bytes = len(content)
        self._rows = load(content)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """float32 probabilities (n, n_classes) of pixels (n, S, S, 3) in 0..255."""
        return self._rows(pixels)[0]

    def answer(self, encoded: bytes) -> Answer:
        """Of one picture as `inputs.files` gives it, on the caller's thread."""
        try:
            pixels = preprocess(encoded, self.preprocessing)
        except UnusablePicture as problem:
            return problem
        return self._rows.one(pixels)[0]

    def answer_each(self, encoded: Iterable[bytes]) -> Iterator[Answer]:
        """The same of several, on all cores."""
        return run_ahead(encoded, self.answer, n_ahead=2 * MAX_THREADS)
