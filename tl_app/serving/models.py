"""Which models and versions are served, and how new ones take the place of old ones."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from tl_app.errors import ConfigError, RunError, TlAppError
from tl_app.export.small_model import ENGINES, file_name, small_formats
from tl_app.export.versions import MODEL_FILE, taken_numbers
from tl_app.serving.signatures import Servable

LOG = logging.getLogger("tl_app.serving")

SAVED_MODEL = "savedmodel"
ENGINE_NAMES = (*ENGINES, SAVED_MODEL)

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, size, time and number of each file: others of one name have another."""

State = Literal["LOADING", "AVAILABLE", "END"]

N_MEASURED = 10
"""Pictures by which engines are timed, after one that is not counted."""

MAX_PIXELS = 25_000_000
"""Of a picture: a few hundred megabytes of memory while it is decoded, of 16 bits twice as much."""

Load = Callable[[Path], Servable]


@dataclass(slots=True)
class Version:
    """One version of a model.

    Attributes:
        number: of its folder.
        state: in TensorFlow Serving's words.
        servable: what answers, while it is AVAILABLE.
        problem: why it cannot be loaded; empty where it can.
        stamp: of its files when they were looked at.
    """

    number: int
    state: State = "LOADING"
    servable: Servable | None = None
    problem: str = ""
    stamp: Stamp = ()

    def to_dict(self) -> dict[str, object]:
        code = "FAILED_PRECONDITION" if self.problem else "OK"
        return {
            "version": str(self.number),
            "state": self.state,
            "status": {"error_code": code, "error_message": self.problem},
        }


@dataclass(slots=True)
class Model:
    """A folder of versions, of which the newest is served, and those with a label.

    A request holds the servable that it was given: who loses its place is gone when the last
    of its requests is answered.

    Attributes:
        name: in addresses.
        folder: holds the versions, or is one.
        labels: name -> number of the version that it means.
        versions: by number; those that are gone, too.
        seen: what was there when it was last refreshed.
    """

    name: str
    folder: Path
    labels: Mapping[str, int] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    seen: Mapping[int, Stamp] = field(default_factory=dict)

    def complete(self) -> dict[int, Path]:
        """Number -> folder of the versions that are there now."""
        if _is_version(self.folder):
            name = self.folder.name
            return {int(name) if name.isascii() and name.isdigit() else 1: self.folder}
        found = {number: self.folder / str(number) for number in taken_numbers(self.folder)}
        return {number: path for number, path in found.items() if _is_version(path)}

    def refresh(self, load: Load) -> None:
        """Load what is new and wanted, then let go of what is not wanted any more."""
        found = self.complete()
        self.seen = {number: _stamp(path) for number, path in found.items()}
        kept = {n for n in self.labels.values() if n in found and self._have(n, found[n], load)}
        for number in sorted(found, reverse=True):
            if self._have(number, found[number], load):
                kept.add(number)
                break
        else:
            return  # rather an old one than none
        for number, version in self.versions.items():
            if version.servable is not None and number not in kept:
                version.state, version.servable = "END", None
                LOG.info("%s, version %d: let go", self.name, number)

    def _have(self, number: int, folder: Path, load: Load) -> bool:
        """Whether a version is available, if need be after loading it; asked once of a bad one."""
        version = self.versions.setdefault(number, Version(number))
        stamp = self.seen[number]
        if version.stamp == stamp and (version.servable is not None or version.problem):
            return version.servable is not None
        version.stamp, version.problem = stamp, ""
        if version.servable is None:
            version.state = "LOADING"
        started = time.perf_counter()
        try:
            servable = load(folder)
        except TlAppError as error:
            version.problem = error.problem
        except Exception as error:  # whatever it is, it must not stop what is served
            LOG.exception("%s, version %d", self.name, number)
            version.problem = f"{type(error).__name__}: {error}"
        if version.problem:
            LOG.error("%s, version %d: %s", self.name, number, version.problem)
            if version.servable is None:
                version.state = "END"
            # What was put in its place may be half copied; it is looked at again when it changes.
            return version.servable is not None
        version.state, version.servable = "AVAILABLE", servable
        LOG.info(
            "%s, version %d: %s, ready in %.1f s",
            self.name,
            number,
            servable.engine,
            time.perf_counter() - started,
        )
        return True

    def needs_refresh(self) -> bool:
        """Whether versions have come or gone."""
        return {n: _stamp(path) for n, path in self.complete().items()} != self.seen

    def find(self, number: int | None = None) -> tuple[int, Servable] | None:
        """A version that is available: the newest, or by its number."""
        # Another thread may let go of a version meanwhile: what was seen is what is given.
        available = {
            version.number: servable
            for version in list(self.versions.values())
            if (servable := version.servable) is not None
        }
        if number is None:
            number = max(available, default=None)
        return (number, available[number]) if number in available else None


class Models:
    """All models below a folder."""

    def __init__(self, models: Mapping[str, Model], load: Load) -> None:
        self._models = dict(models)
        self._load = load
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def get(self, name: str) -> Model | None:
        return self._models.get(name)

    def refresh(self, *, everything: bool = False) -> None:
        """Load new versions; one thread at a time."""
        with self._lock:
            for model in self:
                if everything or model.needs_refresh():
                    model.refresh(self._load)


def find_models(
    folder: Path, labels: Mapping[str, int], name: str | None = None
) -> dict[str, Model]:
    """The models that a folder holds: it is one of versions, or holds several of those.

    Args:
        folder: a version folder, a folder of versions, or of folders of versions.
        labels: label, or MODEL/LABEL -> number of a version.
        name: of the model where there is one; None takes the folder's.

    Raises:
        RunError: there is no model.
        ConfigError: a label or the name is for no model that is here.
    """
    places = {name or _name_of(folder): folder}
    if not _holds_versions(folder):
        try:
            inner = sorted(path for path in folder.iterdir() if path.is_dir())
        except OSError as error:
            raise _none_here(folder) from error
        places = {path.name: path for path in inner if _holds_versions(path)}
        if not places:
            raise _none_here(folder)
        if name is not None:
            raise ConfigError(
                "Several models have names of their own.",
                received=f"--name {name}",
                allowed=", ".join(places),
                next_step="leave --name out",
            )
    own: dict[str, dict[str, int]] = {place: {} for place in places}
    for label, number in labels.items():
        of, _, short = label.rpartition("/")
        meant = [of] if of else list(places)
        for place in meant:
            if place not in own:
                raise ConfigError(
                    "There is no model of this name.", received=of, allowed=", ".join(places)
                )
            own[place][short] = number
    return {place: Model(place, path, own[place]) for place, path in places.items()}


def build_loader(engine: str, max_pixels: int = MAX_PIXELS) -> Load:
    """What loads a version folder.

    Args:
        max_pixels: larger pictures are unusable, whatever the model took in training.
        engine: one of ENGINE_NAMES, or "auto": the fastest of the small formats that are there,
            else the SavedModel; with a GPU the SavedModel first.
    """

    def load(version_folder: Path) -> Servable:
        small = small_formats(version_folder)
        has_saved_model = (version_folder / MODEL_FILE).is_file()
        wanted = engine
        if engine == "auto":
            if has_saved_model and (has_gpu() or not small):
                wanted = SAVED_MODEL
            else:
                try:
                    return _fastest(_loadable(version_folder, small, max_pixels))
                except TlAppError as error:
                    if not has_saved_model:
                        raise
                    LOG.warning("%s: %s", version_folder, error.problem)
                    wanted = SAVED_MODEL
        if wanted == SAVED_MODEL and has_saved_model:
            from tl_app.libraries import loading

            with loading():
                from tl_app.serving.saved_model import SavedModelServable

                return SavedModelServable(version_folder, max_pixels)
        if wanted in small:
            return _small(version_folder, wanted, max_pixels)
        there = [*small, *([SAVED_MODEL] if has_saved_model else [])]
        raise RunError(
            f"This version has no file for the engine {wanted}.",
            received=str(version_folder),
            allowed=", ".join(there),
            next_step=f"tl-app export RUN DEST --format {wanted}",
        )

    return load


def has_gpu() -> bool:
    """Whether this machine shows a GPU of NVIDIA's; asked without TensorFlow."""
    return Path("/dev/nvidia0").exists()


def _small(version_folder: Path, name: str, max_pixels: int) -> Servable:
    from tl_app.serving.small import SmallServable

    return SmallServable(version_folder, name, max_pixels)


def _loadable(version_folder: Path, names: Sequence[str], max_pixels: int) -> list[Servable]:
    """Those of several files that this machine can run.

    Raises:
        TlAppError: it can run none.
    """
    found: list[Servable] = []
    problems: list[TlAppError] = []
    for name in names:
        try:
            found.append(_small(version_folder, name, max_pixels))
        except TlAppError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    for problem in problems:
        LOG.warning("%s: %s", version_folder, problem.problem)
    return found


def _fastest(servables: list[Servable]) -> Servable:
    """Timed in turn, so that a busy machine slows all of them."""
    if len(servables) == 1:
        return servables[0]
    shape = servables[0].signatures["predict_tensor"].inputs["pixels"].shape[1:]
    pixels = np.random.default_rng(0).uniform(0, 255, (1, *(n or 1 for n in shape)))
    inputs = {"pixels": pixels.astype(np.float32)}
    seconds: list[list[float]] = [[] for _ in servables]
    for _ in range(1 + N_MEASURED):
        for servable, mine in zip(servables, seconds, strict=True):
            started = time.perf_counter()
            servable.run("predict_tensor", inputs)
            mine.append(time.perf_counter() - started)
    speeds = [median(mine[1:]) for mine in seconds]
    found = dict(zip((servable.engine for servable in servables), speeds, strict=True))
    LOG.info("engines: %s", ", ".join(f"{k} {1000 * v:.1f} ms" for k, v in found.items()))
    return servables[int(np.argmin(speeds))]


def _stamp(folder: Path) -> Stamp:
    """Of the files of a version; of none where it is gone."""
    found = []
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):
            status = path.stat()
            if path.is_file():
                name = str(path.relative_to(folder))
                found.append((name, status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)


def _model_files() -> list[str]:
    return [MODEL_FILE, *(file_name(name) for name in ENGINES)]


def _is_version(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _model_files())


def _holds_versions(folder: Path) -> bool:
    if _is_version(folder):
        return True
    return any(_is_version(folder / str(number)) for number in taken_numbers(folder))


def _name_of(folder: Path) -> str:
    """A version folder's own name is a number."""
    path = folder.resolve()
    return path.parent.name if path.name.isdigit() else path.name


def _none_here(folder: Path) -> RunError:
    return RunError(
        "There is no model to serve here.",
        received=str(folder),
        allowed="a run, a folder that tl-app export wrote, or a folder of those",
        next_step="tl-app export RUN DEST --format litert, then tl-app serve DEST",
    )
