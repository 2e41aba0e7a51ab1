"""Examples that are unlike all others."""

from __future__ import annotations

import numpy as np

from tl_app.audit.inputs import AuditInputs, CheckNotRun
from tl_app.audit.neighbours import BLOCK_ROWS, unit_rows
from tl_app.data.listing import counted
from tl_app.findings import Evidence, Finding, Fix

N_NEIGHBOURS = 10
MIN_EXAMPLES = 50

MOST_NEIGHBOURS = 20_000
"""Of a larger set, as many drawn at random tell the crowd from who stands apart."""

FAR = 5.0
"""Robust deviations (median absolute deviation, scaled to a standard deviation) from the median
distance."""


def outliers(inputs: AuditInputs) -> list[Finding]:
    """By the mean distance to the nearest neighbours among the features."""
    features = inputs.required("features")
    if len(features) < MIN_EXAMPLES:
        raise CheckNotRun(f"there are fewer than {MIN_EXAMPLES} examples")
    distances = neighbour_distances(unit_rows(features))
    median = float(np.median(distances))
    deviation = 1.4826 * float(np.median(np.abs(distances - median)))
    far = np.flatnonzero(distances > median + FAR * max(deviation, 1e-6))
    if not len(far):
        return []
    far = far[np.argsort(-distances[far], kind="stable")]
    noun = inputs.wording.noun
    return [
        Finding(
            kind="outlier",
            severity="note",
            title=f"{counted(len(far), f'{noun} is', f'{noun}s are')} unlike all others.",
            advice="Look whether they belong to the task at all.",
            evidence=tuple(
                Evidence(
                    (inputs.path(i),),
                    {"distance": round(float(distances[i]), 4), "median": round(median, 4)},
                )
                for i in far.tolist()
            ),
            fixes=tuple(Fix(inputs.path(i), "unlike all others", "review") for i in far.tolist()),
        )
    ]


def neighbour_distances(units: np.ndarray) -> np.ndarray:
    """float32, shape (n,): 1 minus the mean cosine with the nearest of at most `MOST_NEIGHBOURS`.

    Args:
        units: float32, shape (n, d), rows of length 1.
    """
    others = np.arange(len(units))
    if len(units) > MOST_NEIGHBOURS:
        drawn = np.random.default_rng(0).choice(len(units), MOST_NEIGHBOURS, replace=False)
        others = np.sort(drawn)
    crowd = units[others]
    n_nearest = min(N_NEIGHBOURS, len(units) - 1)
    found = []
    for start in range(0, len(units), BLOCK_ROWS):
        block = units[start : start + BLOCK_ROWS]
        cosines = block @ crowd.T
        own = start + np.arange(len(block))
        cosines[own[:, None] == others] = -np.inf
        nearest = np.partition(cosines, -n_nearest, axis=1)[:, -n_nearest:]
        found.append(1 - nearest.mean(axis=1))
    return np.concatenate(found)
