"""Sets that are not prepared yet: ask tensorflow-datasets to, unless that cannot work."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tl_app.data.listing import named, shown
from tl_app.errors import DataError, did_you_mean
from tl_app.progress import Reporter
from tl_app.storage import storage_errors

REACH_SECONDS = 10.0
"""How long the network may take to answer before a download is given up."""


def download(
    tfds: Any,
    data_dir: Path,
    name: str,
    config: str | None,
    version: str | None,
    reporter: Reporter,
) -> Path:
    """Let tensorflow-datasets prepare a registered set, if its sources can be reached.

    Without a network it would try again for minutes, so the sources are asked first.

    Args:
        tfds: the imported package.

    Returns:
        The folder of the prepared set.

    Raises:
        DataError: the set is not known, cannot be reached or cannot be prepared.
    """
    full = "/".join(part for part in (name, config) if part) + (f":{version}" if version else "")
    here = sorted(p.name for p in data_dir.glob("[a-z]*") if any(p.rglob("dataset_info.json")))
    registered = tfds.list_builders(with_community_datasets=False)
    if name not in registered:
        raise DataError(
            f"There is no prepared set of this name.{did_you_mean(name, [*here, *registered])}",
            received=f"tfds:{full}",
            allowed=f"a set prepared in {shown(data_dir)} ({named(here) or 'none there'}), or one "
            "that tensorflow-datasets knows",
            next_step="name the folder of prepared sets with --data-dir, or prepare the set with "
            "`tfds build`",
        )
    try:
        builder = tfds.builder(full, data_dir=os.fspath(data_dir), try_gcs=False)
    except (ValueError, AssertionError, tfds.core.DatasetNotFoundError) as error:
        raise DataError(
            f"tensorflow-datasets refuses this name: {shown(str(error).splitlines()[0])}",
            received=f"tfds:{full}",
            allowed="a version and configuration that it knows",
            next_step=f"leave out the version: tfds:{name}",
        ) from error
    if not _reachable({urllib.parse.urlsplit(url).hostname or "" for url in builder.url_infos}):
        raise DataError(
            "The set is not prepared here and its source cannot be reached.",
            received=f"tfds:{full}, looked for in {shown(data_dir)}",
            allowed="a set prepared before, or a network",
            next_step=f"on a machine with a network: tfds build {name} --data_dir DIR; bring "
            "DIR here and name it with --data-dir",
        )
    reporter.message(f"Preparing tfds:{full} in {shown(data_dir)} (a download, once) ...")
    with storage_errors(data_dir):
        try:
            # It prints; standard output belongs to the caller's own document.
            with contextlib.redirect_stdout(sys.stderr):
                builder.download_and_prepare()
        except (RuntimeError, ValueError, ConnectionError, tfds.core.DatasetNotFoundError) as error:
            raise DataError(
                f"The set could not be prepared: {shown(str(error).splitlines()[0])}",
                received=f"tfds:{full}",
                allowed="a set that tensorflow-datasets can download",
                next_step=f"tfds build {name} --data_dir {shown(data_dir)}   shows all of it",
            ) from error
    return Path(builder.data_path)


def _reachable(hosts: Iterable[str]) -> bool:
    """Whether a proxy or one of `hosts` answers in time; a set without sources needs none."""
    proxy = urllib.request.getproxies().get("https")
    targets = {(host, 443) for host in hosts if host}
    if proxy:
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
        targets = {(parts.hostname or "", parts.port or 443)}
    if not targets:
        return True
    answered = threading.Event()

    def knock(target: tuple[str, int]) -> None:
        try:
            socket.create_connection(target, timeout=REACH_SECONDS).close()
        except OSError:
            return
        answered.set()

    # Threads, since looking up a name has no time limit of its own.
    threads = [threading.Thread(target=knock, args=(t,), daemon=True) for t in sorted(targets)[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(0 if answered.is_set() else REACH_SECONDS / len(threads))
    return answered.is_set()
