"""What is known of the evaluated examples beside their classes; see `evaluation.slices`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tl_app.app.materials import Material
from tl_app.evaluation.slices import LEAST_EXAMPLES, NO_PART, Naming, Traits
from tl_app.features.store import FeatureStore
from tl_app.progress import Reporter
from tl_app.records import Dataset

MOST_CLUSTERS = 8
CLUSTER_DIMENSIONS = 32
EXAMPLES_A_CLUSTER = 25
MOST_SHOWN = 3
"""Examples that stand for a cluster."""

MOST_FITTED = 20_000
"""Of more examples the clusters are found on as many, drawn at random."""


def find_traits(
    material: Material,
    dataset: Dataset[Any],
    rows: np.ndarray,
    features: np.ndarray | None,
    *,
    store: FeatureStore,
    reporter: Reporter,
) -> Traits:
    """Traits of the material, and which examples lie together in the features.

    Args:
        material: knows what its examples are like.
        dataset: of the run.
        rows: int64, the examples of the evaluated side.
        features: float32, shape (n_examples, n_features), of all examples; None where none are
            kept.
        store: keeps measurements.
        reporter: shows progress.
    """
    found = material.traits(dataset, rows, store, reporter)
    if features is None:
        return found
    together = clusters(features[rows], found.paths)
    if together is None:
        return found
    return replace(found, namings=(*found.namings, together))


def clusters(features: np.ndarray, paths: tuple[str, ...]) -> Naming | None:
    """Groups of examples that look alike to the backbone; None for too few examples.

    k-means on the leading principal components of the features, each example's scaled to unit
    length, so that a group is one of direction and not of strength.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.decomposition import PCA

    n_examples = len(features)
    n_clusters = min(MOST_CLUSTERS, n_examples // EXAMPLES_A_CLUSTER)
    if n_clusters < 2:
        return None
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, length, out=np.zeros_like(features), where=length > 0)
    fitted = np.arange(n_examples)
    if n_examples > MOST_FITTED:
        fitted = np.sort(np.random.default_rng(0).choice(n_examples, MOST_FITTED, replace=False))
    n_dimensions = min(CLUSTER_DIMENSIONS, *unit[fitted].shape)
    # Wide features are projected at random first, which is quicker and the same every time.
    reduce = PCA(n_dimensions, svd_solver="randomized", random_state=0).fit(unit[fitted])
    points = reduce.transform(unit)
    k_means = MiniBatchKMeans(n_clusters, n_init=4, batch_size=2048, random_state=0)
    k_means.fit(points[fitted])
    distances = k_means.transform(points)
    nearest = distances.argmin(axis=1)
    shown = {}
    names = np.empty(n_examples, object)
    sizes = np.bincount(nearest, minlength=n_clusters)
    for number, cluster in enumerate(np.argsort(-sizes, kind="stable").tolist(), start=1):
        mine = np.flatnonzero(nearest == cluster)
        if len(mine) < LEAST_EXAMPLES:
            names[mine] = NO_PART
            continue
        name = f"alike {number}"
        names[mine] = name
        closest = mine[np.argsort(distances[mine, cluster], kind="stable")[:MOST_SHOWN]]
        shown[name] = tuple(paths[row] for row in closest.tolist())
    return Naming("what the backbone finds alike", tuple(names.tolist()), shown)
