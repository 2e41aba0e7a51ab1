"""Whether a SavedModel answers faster when the rows of several requests are computed together.

    python -m benchmarks.serving_batches EXPORT [--repeats 5]

Without a web: the servable is asked by as many threads as it takes, as the server asks it. The
ways take turns in one process; `tl-app serve` does the same at its start and takes what is faster.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np

from tl_app.environment import usable_cores
from tl_app.libraries import loading
from tl_app.serving import trial
from tl_app.serving.loading import MAX_PIXELS
from tl_app.serving.signatures import DEFAULT, Servable


def alone_ms(servable: Servable, rows: list[bytes]) -> float:
    """One request at a time."""
    seconds = []
    for row in rows:
        started = time.perf_counter()
        servable.run(DEFAULT, {servable.input_name: [row]})
        seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("export", type=Path, help="a folder of versions with a SavedModel")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with loading():
        from tl_app.serving.saved_model import load_saved_model

        ways = load_saved_model(arguments.export, MAX_PIXELS)
    turns = [trial.rows_per_second(ways, usable_cores()) for _ in range(arguments.repeats)]
    rates = np.concatenate(turns)
    rows = trial.rows_for(ways[0])
    for i, way in enumerate(ways):
        mine = rates[:, i]
        ratio = np.median(mine / rates[:, 0])
        print(
            f"{way.engine:22} {np.median(mine):7.1f} answers/s ({mine.min():.1f} to "
            f"{mine.max():.1f}, {len(mine)} turns), "
            f"{ratio:.2f} times the first; alone {alone_ms(way, rows):.1f} ms"
        )


if __name__ == "__main__":
    main()
