"""Shortcuts on the picture: a watermark, a border or a stamp at one place tells the label.

Thumbnails are cut into small patches, and each is asked for itself. What pictures are about fills
many patches; what tells the label in a few of them alone is no subject.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from tl_app.audit.inputs import AuditInputs, CheckNotRun
from tl_app.audit.measure import THUMBNAIL_PX, Measurements
from tl_app.audit.one_fact import MIN_MEMBERS, Telling, telling
from tl_app.audit.shortcuts import drawn_folds, telling_classes
from tl_app.findings import Evidence, Finding

PATCH_PX = 4
"""Side of a patch: an eighth of the thumbnail's."""

N_ACROSS = THUMBNAIL_PX // PATCH_PX

LOCAL_SHARE = 1 / 2
"""Where more of the patches tell a class, it is what the pictures show, and no mark on them; a
border takes 28 of 64."""

MOST_EXAMPLES = 5000
"""Of a larger set, as many drawn at random say as much, sixty-four times; every class by its share.
"""

RIDGE = 1e-2
"""Penalty of the small models, as a share of the mean variance."""

COVERED = 0.95
"""Share of its own pictures that a nearly constant patch of a class must hold."""


def patches(inputs: AuditInputs) -> list[Finding]:
    """One finding for the places that tell a class from the rest by themselves.

    Raises:
        CheckNotRun: there are too few pictures of every class.
    """
    measurements: Measurements = inputs.required("measurements")
    rows, folds = drawn_folds(inputs, len(inputs.dataset.examples))
    known = measurements.known[rows]
    rows, folds = rows[known], folds[known]
    drawn = evenly_drawn(inputs.dataset.labels[rows], MOST_EXAMPLES)
    rows, folds = rows[drawn], folds[drawn]
    names, labels = inputs.dataset.class_names, inputs.dataset.labels[rows]
    counts = np.bincount(labels, minlength=len(names))
    if not ((counts >= MIN_MEMBERS) & (len(labels) - counts >= MIN_MEMBERS)).any():
        raise CheckNotRun(
            f"no class has {MIN_MEMBERS} pictures, and the rest as many, among those looked at"
        )
    pixels = cut(measurements.thumbnails[rows])
    with threadpool_limits(1, "blas"):  # the matrices are too small to be shared out
        told = [tell_by_patch(patch, labels, folds, len(names)) for patch in pixels]
    accuracy = np.stack([one.accuracy for one in told])  # (n_patches, n_classes)
    cases: list[Evidence] = []
    for place, one in enumerate(told):
        cases += telling_classes(one, names, place=place_name(place), patch=place)
    labels_of = {name: label for label, name in enumerate(names)}
    local = [
        case for case in cases if _is_local(accuracy[:, labels_of[str(case.figures["class"])]])
    ]
    if not local:
        return []
    local.sort(key=lambda case: -float(case.figures["balanced_accuracy"]))
    first = local[0].figures
    return [
        Finding(
            kind="patch_shortcut",
            severity="warn",
            title=f"A small patch at the {first['place']} alone tells {first['class']} from the "
            f"rest with {first['balanced_accuracy']:.0%} balanced accuracy (95 % interval "
            f"{first['low']:.0%} to {first['high']:.0%}, chance 50%).",
            advice="Look there for a watermark, a stamp, a border or a caption; crop it away, or "
            "put it on all classes alike.",
            evidence=tuple(local),
        )
    ]


def evenly_drawn(labels: np.ndarray, most: int) -> np.ndarray:
    """int64, positions, ascending: all, or as many drawn at random, each class by its share.

    Args:
        labels: int64, shape (n,).
        most: how many at most.
    """
    n = len(labels)
    if n <= most:
        return np.arange(n)
    shuffled = np.random.default_rng(0).permutation(n)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Equal steps through the classes, one after the other, give each its share.
    return np.sort(by_class[np.arange(most) * n // most])


def cut(thumbnails: np.ndarray) -> np.ndarray:
    """float32, shape (n_patches, n, PATCH_PX * PATCH_PX * 3), in 0..1; patches row by row."""
    n = len(thumbnails)
    grid = thumbnails.reshape(n, N_ACROSS, PATCH_PX, N_ACROSS, PATCH_PX, 3)
    return grid.transpose(1, 3, 0, 2, 4, 5).reshape(N_ACROSS**2, n, -1) / np.float32(255)


def place_name(patch: int) -> str:
    """Where a patch is, for people: "bottom right", "left", "centre", "top"."""
    row, column = divmod(patch, N_ACROSS)
    last = N_ACROSS - 1
    vertical = "top" if row <= 1 else "bottom" if row >= last - 1 else ""
    horizontal = "left" if column <= 1 else "right" if column >= last - 1 else ""
    return f"{vertical} {horizontal}".strip() or "centre"


def tell_by_patch(
    pixels: np.ndarray, labels: np.ndarray, folds: np.ndarray, n_classes: int
) -> Telling:
    """The better of two small models, one for marks that shine through and one for opaque ones.

    The first is linear in the pixels. The second asks how far a patch is from the mean one of the
    class, and draws the line where it holds nearly all of the class: only what is nearly the same
    in a whole class lies so close together.

    Args:
        pixels: float32, shape (n, n_values).
        labels, folds: int64, shape (n,).
        n_classes: how many there are.
    """
    right = np.zeros((2, 2, n_classes))  # model; class and rest
    for fold in np.unique(folds):
        held = folds == fold
        seen, told = pixels[~held], pixels[held]
        member = labels[~held, None] == np.arange(n_classes)
        is_member = labels[held, None] == np.arange(n_classes)
        for model, said in enumerate(
            (_linear(seen, member, told), _near_the_mean(seen, member, told))
        ):
            right[model, 0] += (said & is_member).sum(axis=0)
            right[model, 1] += (~said & ~is_member).sum(axis=0)
    counts = np.bincount(labels, minlength=n_classes)
    both = [telling(one, counts) for one in right]
    second = both[1].accuracy > both[0].accuracy
    return Telling(
        *(
            np.where(second, getattr(both[1], name), getattr(both[0], name))
            for name in ("accuracy", "low", "high")
        )
    )


def _linear(seen: np.ndarray, member: np.ndarray, told: np.ndarray) -> np.ndarray:
    """bool, shape (n_told, n_classes): ridge regression on membership, cut half-way."""
    mean = seen.mean(axis=0)
    centred = (seen - mean).astype(np.float64)
    scatter = centred.T @ centred
    scatter[np.diag_indices_from(scatter)] += RIDGE * np.trace(scatter) / len(scatter) + 1e-9
    share = member.mean(axis=0)
    weights = np.linalg.solve(scatter, centred.T @ (member - share))
    scores = centred @ weights
    n_members = np.maximum(member.sum(axis=0), 1)
    of_class = (scores * member).sum(axis=0) / n_members
    of_rest = (scores * ~member).sum(axis=0) / np.maximum((~member).sum(axis=0), 1)
    return (told - mean) @ weights > (of_class + of_rest) / 2


def _near_the_mean(seen: np.ndarray, member: np.ndarray, told: np.ndarray) -> np.ndarray:
    """bool, shape (n_told, n_classes): as close to the class's mean patch as most of it is."""
    said = np.zeros((len(told), member.shape[1]), bool)
    for label in range(member.shape[1]):
        own = seen[member[:, label]]
        if len(own):
            mean = own.mean(axis=0)
            last = min(round(COVERED * len(own)), len(own) - 1)
            limit = np.partition(np.abs(own - mean).mean(axis=1), last)[last]
            said[:, label] = np.abs(told - mean).mean(axis=1) <= limit
    return said


def _is_local(accuracy: np.ndarray) -> bool:
    """Whether few of all patches come near the best."""
    best = np.nanmax(accuracy)
    near = accuracy >= 0.5 + (best - 0.5) / 2
    return bool(near.mean() <= LOCAL_SHARE)
