"""How seconds and memory of a training grow with the number of pictures; the head alone."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import as_document
from benchmarks.jitter import grow
from benchmarks.methods import run_app
from benchmarks.split import Split

HEAD_ONLY = '[[phases]]\nname = "head"\n'


def measure_growth(
    split: Split, sizes: Sequence[int], scratch: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Train on growing sets of jittered pictures, each time with an empty cache.

    Args:
        split: its pictures, of both sides, are the ones that are jittered.
        sizes: numbers of pictures.
        scratch: gets pictures and runs.
        say: is told about each run.

    Returns:
        JSON values, one row a size; from the second on with what one more picture costs.
    """
    sources = {
        name: sorted(path for side in (split.train, split.test) for path in (side / name).iterdir())
        for name in split.class_names
    }
    settings = scratch / "head_only.toml"
    scratch.mkdir(parents=True, exist_ok=True)
    settings.write_text(HEAD_ONLY)
    rows = []
    for n_before, n_pictures in itertools.pairwise([0, *sorted(set(sizes))]):
        grow(scratch / "pictures", sources, n_before, n_pictures)
        output, cache = scratch / "output", scratch / "cache"
        done = run_app(scratch / "pictures", output, cache, settings=settings)
        for folder in (output, cache):  # gigabytes at the largest sizes
            shutil.rmtree(folder, ignore_errors=True)
        say(
            f"growth, {n_pictures:,} pictures: {done.seconds:.1f} s, "
            f"{done.peak_anonymous_bytes / 1e6:,.0f} MB of anonymous memory"
        )
        document = as_document(done)
        document.pop("wrong")
        rows.append({**document, "n_pictures": n_pictures})
    return with_slopes(rows)


def with_slopes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row but the first what one more picture cost since the row before."""
    result = [dict(row) for row in rows]
    for before, row in itertools.pairwise(result):
        n_more = row["n_pictures"] - before["n_pictures"]
        row["seconds_per_picture"] = (row["seconds"] - before["seconds"]) / n_more
        row["anonymous_bytes_per_picture"] = (
            row["peak_anonymous_bytes"] - before["peak_anonymous_bytes"]
        ) / n_more
    return result
