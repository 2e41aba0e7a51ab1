"""How long a batch takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tl_app.progress import Reporter, SilentReporter


def measure_latency(
    model: Callable[[np.ndarray], Any],
    sample: Callable[[int], np.ndarray],
    batch_sizes: Sequence[int] = (1, 32),
    *,
    repeats: int = 20,
    budget_seconds: float = 2.0,
    reporter: Reporter | None = None,
) -> dict[str, dict[str, float]]:
    """Usual and slow times of a batch of decoded pictures or tokenised texts, after a warm-up.

    Args:
        model: a function of a batch. A Keras model should come as a `tf.function` around it:
            called plainly, Python is what is measured.
        sample: gives a batch of n.
        batch_sizes: which n to measure.
        repeats: most runs for a batch size.
        budget_seconds: for all batch sizes together; a slow model gets fewer runs, at least one.
        reporter: shows progress.

    Returns:
        Batch size as text -> "p50" and "p95", milliseconds.
    """
    share_seconds = budget_seconds / max(len(batch_sizes), 1)
    result: dict[str, dict[str, float]] = {}
    reporter = reporter or SilentReporter()
    with reporter.bar("Measuring latency", len(batch_sizes), "batch sizes") as bar:
        for n in batch_sizes:
            batch = sample(n)
            started = time.perf_counter()
            np.asarray(model(batch))  # The first call may trace; it is not counted.
            seconds: list[float] = []
            while len(seconds) < repeats:
                before = time.perf_counter()
                np.asarray(model(batch))  # As an array: a GPU has then really finished.
                now = time.perf_counter()
                seconds.append(now - before)
                if now - started > share_seconds:
                    break
            p50, p95 = np.percentile(seconds, [50, 95])
            result[str(n)] = {"p50": float(p50) * 1000, "p95": float(p95) * 1000}
            bar.advance()
    return result
