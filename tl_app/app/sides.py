"""Giving every example its side: copies together, and told what a reader should know."""

from __future__ import annotations

from typing import Any

from tl_app.app.materials import Material
from tl_app.config import Config
from tl_app.data.calibration_part import hold_apart
from tl_app.data.listing import counted
from tl_app.data.side_checks import classes_missing, describe_leaks, leaks
from tl_app.data.splitting import make_split
from tl_app.data.ties import NO_TIES, fitting_ties
from tl_app.data.wording import WORDINGS
from tl_app.errors import DataError
from tl_app.features.store import FeatureStore
from tl_app.progress import Reporter
from tl_app.records import SIDES, Dataset, Split
from tl_app.run import RunFolder


def split_examples(
    dataset: Dataset[Any],
    material: Material,
    config: Config,
    *,
    previous: RunFolder | None,
    store: FeatureStore,
    reporter: Reporter,
) -> tuple[Dataset[Any], Split]:
    """Sides for all examples, near copies on one side; told, and checked to be enough.

    Args:
        dataset: what the scan found.
        material: knows near copies.
        config: fractions and seed matter.
        previous: a run whose assignments are kept.
        store: keeps what near copies are known by.
        reporter: gets messages and progress.

    Raises:
        DataError: a side has no examples, or a class none to train on.
    """
    wording = WORDINGS[dataset.modality]
    found = NO_TIES
    if config.data.near_copies_together:
        found = material.near_copies(dataset, store, reporter)
    ties, n_left_out = fitting_ties(dataset.examples, found)
    if len(ties):
        reporter.message(
            f"{counted(len(ties), 'pair')} of near copies ({wording.nearly}) stay on one side"
        )
    if n_left_out:
        reporter.warn(
            f"{counted(n_left_out, 'pair')} of near copies may part: kept together, they would "
            "leave a class too few groups for its sides, as those of a fixed camera do. If they "
            "show the same thing, the test figures promise too much: write what belongs together "
            "(product, patient, burst) into a column 'group' of a table."
        )
    dataset, split = make_split(
        dataset,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.seed,
        previous=None if previous is None else previous.read_split(),
        recorded_examples=() if previous is None else previous.read_dataset().examples,
        ties=[(i, j) for i, j in ties.tolist()],
    )
    _check_sides(dataset, split, config)
    split = hold_apart(dataset, split, fraction=config.data.calibration_fraction, seed=config.seed)
    _say_split(dataset, split, reporter)
    return dataset, split


def _check_sides(dataset: Dataset[Any], split: Split, config: Config) -> None:
    """Every side that the run needs has examples, and training has every class."""
    wording = WORDINGS[dataset.modality]
    needed = SIDES if config.data.test_fraction > 0 else SIDES[:2]
    empty = [side for side in needed if not len(split.indices(side))]
    if empty:
        raise DataError(
            f"A side of the split has no {wording.nouns}.",
            received=f"nothing for {' and '.join(empty)} out of "
            f"{counted(len(dataset.examples), wording.noun)}",
            allowed=f"at least one {wording.noun} a side; three groups a class give every class "
            "a place",
            next_step=f"bring more {wording.nouns}, or --no-test",
        )
    present = set(dataset.labels[split.indices("train")].tolist())
    missing = [n for i, n in enumerate(dataset.class_names) if i not in present]
    if missing:
        raise DataError(
            f"A class has no training {wording.noun}.",
            received=", ".join(missing[:10]) + (" ..." if len(missing) > 10 else ""),
            allowed="every class in the training part",
            next_step=f"bring {wording.nouns} of it, or take the class out",
        )


def _say_split(dataset: Dataset[Any], split: Split, reporter: Reporter) -> None:
    wording = WORDINGS[dataset.modality]
    counts = ", ".join(f"{len(split.indices(side)):,} {side}" for side in SIDES)
    reporter.message(
        f"{counted(len(dataset.examples), wording.noun)} in {len(dataset.class_names):,} "
        f"classes: {counts}"
    )
    leaked = describe_leaks(leaks(dataset, split), wording)
    if leaked is not None:
        reporter.warn(leaked)
    for side, names in classes_missing(dataset, split).items():
        reporter.warn(
            f"No {wording.noun} of {', '.join(names[:5])}{' ...' if len(names) > 5 else ''} is "
            f"on the {side} side; its figures say nothing about them"
        )
