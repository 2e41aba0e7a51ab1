"""Every file is looked at once, in parallel, by what training reads it with."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tl_app.data.listing import counted
from tl_app.errors import UnusableExample
from tl_app.progress import Bar, Reporter
from tl_app.records import Inspection, SetAside

T = TypeVar("T")

KIND_WORDS = {
    "truncated": "truncated",
    "empty": "empty",
    "not_an_image": "not an image",
    "no_decoder": "without a decoder",
    "too_many_pixels": "with too many pixels",
    "unreadable": "unreadable",
    "missing": "missing",
    "bridges_sides": "bridging two sides of the split",
    "unsupported": "of an unsupported format",
    "wrong_encoding": "not in UTF-8",
    "nul_bytes": "with NUL bytes",
    "too_long": "too long",
    "unbalanced_quotes": "with unbalanced quotes",
    "no_label": "without a label",
    "malformed": "malformed",
}


def check_pictures(
    root: Path,
    paths: Sequence[str],
    inspect: Callable[[Path], Inspection],
    reporter: Reporter,
    *,
    n_threads: int | None = None,
) -> list[Inspection | SetAside]:
    """`check_files` for pictures."""
    with reporter.bar("Checking pictures", len(paths), "images") as bar:
        return check_files(root, paths, inspect, bar, n_threads=n_threads)


def check_files(
    root: Path,
    paths: Sequence[str],
    inspect: Callable[[Path], T],
    bar: Bar,
    *,
    n_threads: int | None = None,
) -> list[T | SetAside]:
    """Inspect each file; the result is in the order of `paths`, whatever thread was first.

    Args:
        root: the folder that `paths` are relative to.
        inspect: thread-safe; raises UnusableExample for a file to set aside. Any other
            exception of it ends the check and is raised here.
        bar: advanced by one a file.
        n_threads: default one a core, 2 to 8: each may hold a large file.
    """
    n_threads = n_threads or max(2, min(8, len(os.sched_getaffinity(0))))
    results: list[T | SetAside] = []
    waiting: deque[tuple[str, Future[T]]] = deque()
    executor = ThreadPoolExecutor(n_threads, thread_name_prefix="inspect")

    def take_oldest() -> None:
        path, future = waiting.popleft()
        try:
            results.append(future.result())
        except UnusableExample as error:
            results.append(SetAside(path, error.reason, error.kind))
        bar.advance()

    try:
        for path in paths:
            # A short queue: Ctrl-C has little to cancel, and 100,000 futures need no memory.
            if len(waiting) >= 8 * n_threads:
                take_oldest()
            waiting.append((path, executor.submit(inspect, root / path)))
        while waiting:
            take_oldest()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    return results


def counts_by_kind(set_aside: Sequence[SetAside]) -> str:
    """ "4 truncated, 2 empty, 1 not an image", most frequent first."""
    kinds = Counter(entry.kind for entry in set_aside)
    ranked = sorted(kinds.items(), key=lambda kv: (-kv[1], kv[0]))
    return ", ".join(f"{n:,} {KIND_WORDS.get(kind, kind)}" for kind, n in ranked)


def set_aside_summary(set_aside: Sequence[SetAside], n_all: int, noun: str = "picture") -> str:
    """ "7 of 1,400 pictures set aside: 4 truncated, 2 empty, 1 not an image; ..."."""
    return (
        f"{len(set_aside):,} of {counted(n_all, noun)} set aside: "
        f"{counts_by_kind(set_aside)}; listed in the run."
    )
