"""Which models and versions are served, and how new ones take the place of old ones."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tl_app.errors import ConfigError, RunError, TlAppError
from tl_app.export.small_model import ENGINES, file_name
from tl_app.export.versions import MODEL_FILE, taken_numbers
from tl_app.serving.signatures import Servable

LOG = logging.getLogger("tl_app.serving")

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, size, time and number of each file: others of one name have another."""

State = Literal["LOADING", "AVAILABLE", "END"]

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
        for number in [n for n, version in self.versions.items() if version.problem]:
            if number not in found:
                del self.versions[number]  # it never was a version
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
            raise none_here(folder) from error
        places = {path.name: path for path in inner if _holds_versions(path)}
        if not places:
            raise none_here(folder)
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


def none_here(folder: Path) -> RunError:
    there = "" if folder.exists() else ", which does not exist"
    return RunError(
        "There is no model to serve here.",
        received=f"{folder}{there}",
        allowed="a run, a folder that tl-app export wrote, or a folder of those",
        next_step="tl-app export RUN DEST --format litert, then tl-app serve DEST",
    )
