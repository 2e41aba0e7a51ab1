"""What answers for a version: the fastest of what it holds, on this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tl_app.environment import usable_cores
from tl_app.errors import RunError, TlAppError
from tl_app.export.small_model import ENGINES, small_formats
from tl_app.export.versions import MODEL_FILE
from tl_app.serving.models import Load
from tl_app.serving.signatures import Servable

LOG = logging.getLogger("tl_app.serving")

SAVED_MODEL = "savedmodel"
ENGINE_NAMES = (*ENGINES, SAVED_MODEL)

WORTH_WHILE = 1.1
"""Times as many rows a second as a simpler engine's make another one preferred."""

MAX_PIXELS = 25_000_000
"""Of a picture: a few hundred megabytes of memory while it is decoded, of 16 bits twice as much."""


def build_loader(engine: str, max_pixels: int = MAX_PIXELS) -> Load:
    """What loads a version folder.

    What answers fastest is found by trying: one of the engines, and the SavedModel asked row by
    row or in batches.

    Args:
        engine: one of ENGINE_NAMES, or "auto": one of the small formats that are there, and only
            without any the SavedModel, which takes seconds to load; with a GPU one of all.
        max_pixels: larger pictures are unusable, whatever the model took in training.
    """

    def load(version_folder: Path) -> Servable:
        small = small_formats(version_folder)
        full = [SAVED_MODEL] if (version_folder / MODEL_FILE).is_file() else []
        there = [*small, *full]
        if engine == "auto":
            wanted = [there] if has_gpu() else [small, full]
        else:
            wanted = [[engine]] if engine in there else []
        problems: list[TlAppError] = []
        for names in wanted:
            found = _loadable(version_folder, names, max_pixels, problems)
            if found:
                for problem in problems:
                    LOG.warning("%s: %s", version_folder, problem.problem)
                return _fastest(found)
        if problems:
            raise problems[0]
        raise RunError(
            f"This version has no file for the engine {engine}.",
            received=str(version_folder),
            allowed=", ".join(there),
            next_step=f"tl-app export RUN DEST --format {engine}",
        )

    return load


def has_gpu() -> bool:
    """Whether this machine shows a GPU of NVIDIA's; asked without TensorFlow."""
    return Path("/dev/nvidia0").exists()


def _loadable(
    version_folder: Path, names: Sequence[str], max_pixels: int, problems: list[TlAppError]
) -> list[Servable]:
    """What this machine can run, simpler ones first; `problems` takes why it cannot run others."""
    found: list[Servable] = []
    for name in names:
        try:
            if name == SAVED_MODEL:
                found += _full(version_folder, max_pixels)
            else:
                found.append(_small(version_folder, name, max_pixels))
        except TlAppError as error:
            problems.append(error)
    return found


def _small(version_folder: Path, name: str, max_pixels: int) -> Servable:
    from tl_app.serving.small import SmallServable

    return SmallServable(version_folder, name, max_pixels)


def _full(version_folder: Path, max_pixels: int) -> Sequence[Servable]:
    from tl_app.libraries import loading

    with loading():
        from tl_app.serving.saved_model import load_saved_model

        return load_saved_model(version_folder, max_pixels)


def _fastest(servables: Sequence[Servable]) -> Servable:
    if len(servables) == 1:
        return servables[0]
    from tl_app.serving.trial import rows_per_second

    rates = rows_per_second(servables, usable_cores())
    best = 0
    for i, rate in enumerate(rates):
        if rate > WORTH_WHILE * rates[best]:
            best = i
    told = [f"{one.engine} {rate:.0f}" for one, rate in zip(servables, rates, strict=True)]
    LOG.info("answers a second: %s", ", ".join(told))
    return servables[best]
