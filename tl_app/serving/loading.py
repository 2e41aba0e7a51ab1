"""What answers for a version: the fastest of what it holds, on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tl_app.environment import usable_cores
from tl_app.errors import RunError, TlAppError
from tl_app.export.small_model import ENGINES, small_formats
from tl_app.export.versions import MODEL_FILE
from tl_app.serving.models import Load
from tl_app.serving.signatures import IN_BATCHES, SAVED_MODEL, Servable

LOG = logging.getLogger("tl_app.serving")

ENGINE_NAMES = (*ENGINES, SAVED_MODEL)
SAVED_MODEL_ENGINES = (SAVED_MODEL, IN_BATCHES)

WORTH_WHILE = 1.1
"""Times as many rows a second as a simpler engine's, in the median of turns, win over it."""

MAX_PIXELS = 25_000_000
"""Of a picture: a few hundred megabytes of memory while it is decoded, of 16 bits twice as much."""


def build_loader(engine: str, max_pixels: int = MAX_PIXELS) -> Load:
    """What loads a version folder.

    What answers fastest is found by trying: one of the engines, and the SavedModel asked row by
    row or in batches. The versions of a model that come later are answered by what was found for
    the first, so that nothing is tried while others wait for answers.

    Args:
        engine: one of ENGINE_NAMES, or "auto": one of the small formats that are there, and only
            without any the SavedModel, which takes seconds to load; with a GPU one of all.
        max_pixels: larger pictures are unusable, whatever the model took in training.
    """
    chosen: dict[tuple[Path, tuple[str, ...]], str] = {}

    def load(version_folder: Path) -> Servable:
        small = small_formats(version_folder)
        full = SAVED_MODEL_ENGINES if (version_folder / MODEL_FILE).is_file() else ()
        there = (*small, *full[:1])
        if engine == "auto":
            wanted = [(*small, *full)] if has_gpu() else [small, full]
        else:
            wanted = [full if engine == SAVED_MODEL else (engine,)] if engine in there else []
        problems: list[TlAppError] = []
        for names in wanted:
            of_model = (version_folder.parent, names)
            before = [(chosen[of_model],)] if of_model in chosen else []
            for tried in (*before, names):
                found = _loadable(version_folder, tried, max_pixels, problems)
                if found:
                    for problem in problems:
                        LOG.warning("%s: %s", version_folder, problem.problem)
                    best = _fastest(found)
                    chosen[of_model] = best.engine
                    return best
        if problems:
            raise problems[0]
        raise RunError(
            f"This version has no file for the engine {engine}; it has {', '.join(there)}.",
            received=str(version_folder),
            allowed=", ".join(there),
            next_step=f"tl-app export RUN DEST --format {engine}",
        )

    return load


def has_gpu() -> bool:
    """Whether this machine shows a GPU of NVIDIA's; asked without TensorFlow."""
    return Path("/dev/nvidia0").exists()


def _loadable(
    version_folder: Path, engines: Sequence[str], max_pixels: int, problems: list[TlAppError]
) -> list[Servable]:
    """What this machine can run, simpler ones first; `problems` takes why it cannot run others."""
    small = [engine for engine in engines if engine not in SAVED_MODEL_ENGINES]
    full = [engine for engine in engines if engine in SAVED_MODEL_ENGINES]
    loads: list[Callable[[], Sequence[Servable]]] = [
        partial(_small, version_folder, engine, max_pixels) for engine in small
    ]
    if full:
        loads.append(partial(_full, version_folder, full, max_pixels))
    found: list[Servable] = []
    for load in loads:
        try:
            found += load()
        except TlAppError as error:
            problems.append(error)
    return found


def _small(version_folder: Path, engine: str, max_pixels: int) -> Sequence[Servable]:
    from tl_app.serving.small import SmallServable

    return [SmallServable(version_folder, engine, max_pixels)]


def _full(version_folder: Path, engines: Sequence[str], max_pixels: int) -> Sequence[Servable]:
    from tl_app.libraries import loading

    with loading():
        from tl_app.serving.saved_model import load_saved_model

        return load_saved_model(version_folder, max_pixels, engines)


def _fastest(servables: Sequence[Servable]) -> Servable:
    """
    Raises:
        RunError: none answers.
    """
    if len(servables) == 1:
        return servables[0]
    from tl_app.serving.trial import rows_per_second

    rates = rows_per_second(servables, usable_cores())
    working = np.flatnonzero(np.isfinite(rates).all(axis=0)).tolist()
    if not working:
        raise RunError(
            "Every engine fails when it is asked.",
            received=", ".join(one.engine for one in servables),
            next_step="see why in the log above",
        )
    best = working[0]
    for i in working[1:]:
        if np.median(rates[:, i] / rates[:, best]) > WORTH_WHILE:
            best = i
    told = [f"{servables[i].engine} {np.median(rates[:, i]):.0f}" for i in working]
    LOG.info("answers a second: %s", ", ".join(told))
    return servables[best]
