"""Timing several ways through the same files in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Way = Callable[[Sequence[Path]], None]
"""Works through the files once."""


def measure(ways: Mapping[str, Way], files: Sequence[Path], repeats: int) -> dict[str, float]:
    """Median pictures a second of each way; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            started = time.perf_counter()
            work(files)
            seconds[name].append(time.perf_counter() - started)
    return {name: len(files) / statistics.median(found) for name, found in seconds.items()}


def with_ratios(rates: Mapping[str, float]) -> dict[str, Any]:
    """Add decoding and engine one after the other, and how the app stands to the others."""
    in_turn = 1 / (1 / rates["decode"] + 1 / rates["engine"])
    return {
        "pictures_per_second": {**rates, "decode_then_engine": in_turn},
        "app_to_tf_function": rates["app"] / rates["tf_function"],
        "app_to_bare": rates["app"] / rates["bare"],
        "app_to_decode_then_engine": rates["app"] / in_turn,
    }
