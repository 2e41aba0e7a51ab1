"""The verb `compare`: two finished runs on the same examples.

TensorFlow is loaded only where the models have to be asked; what both runs recorded of a common
test part is read from their folders.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tl_app.app.copies import Part, groups_across
from tl_app.app.finished import TrainedRun, finished_run
from tl_app.data.groups import tokens_of
from tl_app.data.listing import counted, named, shown
from tl_app.data.source import Source
from tl_app.data.wording import WORDINGS, Wording
from tl_app.errors import ConfigError, DataError
from tl_app.evaluation.comparison import (
    Comparison,
    PairedPredictions,
    compare_predictions,
    joint_groups,
)
from tl_app.features.store import FeatureStore
from tl_app.libraries import loading
from tl_app.progress import Reporter
from tl_app.records import AnyExample, Dataset, Split
from tl_app.run import RunFolder


@dataclass(frozen=True)
class Contender:
    """One of the two runs.

    Attributes:
        letter: "A" or "B".
        run: where its records and its model are.
        dataset, split: what it was trained and tested on.
    """

    letter: str
    run: TrainedRun
    dataset: Dataset[Any]
    split: Split

    @cached_property
    def test_rows(self) -> np.ndarray:
        """int64, positions in the dataset; the recorded predictions are in this order."""
        return self.split.indices("test")

    @cached_property
    def test_examples(self) -> list[AnyExample]:
        return [self.dataset.examples[i] for i in self.test_rows.tolist()]

    @cached_property
    def test_keys(self) -> list[tuple[str, str]]:
        """Content and class name of each test example."""
        return [(e.content, self.dataset.class_names[e.label]) for e in self.test_examples]

    @cached_property
    def seen(self) -> list[AnyExample]:
        """What had a say in the weights."""
        rows = [i for side in ("train", "validation") for i in self.split.indices(side).tolist()]
        return [self.dataset.examples[i] for i in rows]


def compare(
    run_a: str,
    run_b: str,
    source: Source | None = None,
    *,
    margin: float,
    seed: int = 0,
    output: Path,
    reporter: Reporter,
) -> Comparison:
    """Compare two runs on the same examples.

    What either run was trained on, or chose its weights by, is left out, and a warning counts it.

    Args:
        run_a, run_b: folders or names; B is judged against A.
        source: labelled examples that both models are asked about; None takes what both recorded
            of the examples that are on the test side of both, whatever their paths.
        margin: by how much B's accuracy may be lower, a fraction from 0, below 1.
        seed: of the resampling.
        output: where runs are looked for by name.
        reporter: gets messages, warnings and progress.

    Raises:
        ConfigError: the margin is out of range, or the runs tell different classes or kinds of
            examples.
        DataError: there is no example that counts, or the source cannot be used.
        RunError: there is no such run, or it is not finished.
    """
    if not 0 <= margin < 1:
        raise ConfigError(
            "This is no margin for the accuracy.",
            received=f"{margin}",
            allowed="a fraction from 0, below 1; 0.01 is one point",
            next_step="tl-app compare RUN_A RUN_B --margin 0.01",
        )
    a, b = _open("A", run_a, output), _open("B", run_b, output)
    _require_alike(a, b)
    pairs = _recorded(a, b, reporter) if source is None else _told(a, b, source, reporter)
    return compare_predictions(pairs, margin=margin, seed=seed)


def _open(letter: str, reference: str, output: Path) -> Contender:
    run = finished_run(RunFolder.open(reference, output))
    return Contender(letter, run, run.folder.read_dataset(), run.folder.read_split())


def _require_alike(a: Contender, b: Contender) -> None:
    """
    Raises:
        ConfigError: the runs tell different classes or kinds of examples.
    """
    if a.dataset.modality != b.dataset.modality:
        raise ConfigError(
            "These runs tell different kinds of examples.",
            received=", ".join(f"{run.letter}: {_wording(run).nouns}" for run in (a, b)),
            allowed="two runs on pictures, or two on texts",
            next_step="name two runs of one kind",
        )
    names_a, names_b = set(a.dataset.class_names), set(b.dataset.class_names)
    if names_a != names_b:
        alone = (("A", names_a - names_b), ("B", names_b - names_a))
        raise ConfigError(
            "These runs do not tell the same classes.",
            received="; ".join(f"{x} alone: {named(sorted(names), n=5)}" for x, names in alone),
            allowed="the same class names, in any order",
            next_step="train one of them anew on the classes of the other",
        )


def _recorded(a: Contender, b: Contender, reporter: Reporter) -> PairedPredictions:
    """What both runs recorded of the examples that are on the test side of both.

    An example is known by its content and label. Of copies, as many count as both runs have.
    """
    wording = _wording(a)
    shared = _matched(a.test_keys, b.test_keys)
    tokens = [
        {*tokens_of(a.test_examples[i]), *tokens_of(b.test_examples[j])} for i, j in shared.tolist()
    ]
    known = [{token for e in run.seen for token in tokens_of(e)} for run in (a, b)]
    is_seen = [np.array([not own.isdisjoint(k) for own in tokens], dtype=bool) for k in known]
    counts, left_out = _unseen(is_seen, a, b, reporter)
    if not len(counts):
        raise DataError(
            f"These runs have no test {wording.noun} in common that counts.",
            received=f"test parts of {len(a.test_rows):,} and {len(b.test_rows):,}, "
            f"{len(shared):,} of them in common, {len(shared):,} of these left out",
            allowed=f"runs that share test {wording.nouns} (train --split-from RUN keeps them), or "
            f"other {wording.nouns} with labels",
            next_step="tl-app compare RUN_A RUN_B FOLDER",
        )
    in_a, in_b = shared[counts].T
    groups = (
        np.array(a.split.groups)[a.test_rows[in_a]],
        np.array(b.split.groups)[b.test_rows[in_b]],
    )
    said_a, said_b = (run.run.folder.read_predictions("test").probabilities for run in (a, b))
    matched = {a.test_keys[i][0] for i in shared[:, 0].tolist()}
    contents_a, contents_b = ({content for content, _ in run.test_keys} for run in (a, b))
    left_out |= {
        "only_in_a": len(a.test_rows) - len(shared),
        "only_in_b": len(b.test_rows) - len(shared),
        "labelled_differently": len((contents_a & contents_b) - matched),
    }
    return _paired(
        a,
        b,
        [a.test_examples[i] for i in in_a.tolist()],
        said_a[in_a],
        said_b[in_b],
        joint_groups(*groups),
        place=f"that both runs recorded as test {wording.nouns}",
        left_out=left_out,
        notes=_notes_on_the_rest(left_out, wording),
    )


def _matched(first: Sequence[Hashable], second: Sequence[Hashable]) -> np.ndarray:
    """int64, shape (n, 2): positions of equal keys in both, each position used once at most."""
    waiting: dict[Hashable, deque[int]] = defaultdict(deque)
    for position, key in enumerate(second):
        waiting[key].append(position)
    pairs = [(i, waiting[key].popleft()) for i, key in enumerate(first) if waiting[key]]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _notes_on_the_rest(left_out: dict[str, int], wording: Wording) -> list[str]:
    """What became of test examples that are not compared, but for those seen in training."""
    notes = []
    if left_out["only_in_a"] or left_out["only_in_b"]:
        notes.append(
            f"{left_out['only_in_a']:,} of A's and {left_out['only_in_b']:,} of B's test "
            f"{wording.nouns} have no match on the other's test side and do not count; "
            "train --split-from RUN keeps a test part."
        )
    if left_out["labelled_differently"]:
        notes.append(
            f"Of these, {counted(left_out['labelled_differently'], wording.noun)} had another "
            f"label in A than in B; to count them, name {wording.nouns} with the right labels."
        )
    return notes


def _told(a: Contender, b: Contender, source: Source, reporter: Reporter) -> PairedPredictions:
    """What both exported models say of the examples of a source."""
    reporter.message("Loading TensorFlow")
    with loading():
        from tl_app.app.labelled import read_labelled, tell_labelled
        from tl_app.export.classifier import SavedModelClassifier

    dataset = read_labelled(source, a.run.folder, a.dataset, reporter)
    groups, *seen = _groups_with_what_was_seen(dataset, a, b, reporter)
    is_seen = [np.isin(groups, known) for known in seen]
    counts, left_out = _unseen(is_seen, a, b, reporter)
    unseen = replace(dataset, examples=tuple(dataset.examples[i] for i in counts.tolist()))
    if not len(counts):
        raise _nothing_counts(source, len(groups), len(groups), _wording(a))
    told: list[tuple[np.ndarray, np.ndarray]] = []
    for contender in (a, b):
        reporter.message(f"Asking {contender.letter}")
        classifier = SavedModelClassifier(contender.run.exported())
        told.append(tell_labelled(classifier, unseen, reporter))
    (rows_a, said_a), (rows_b, said_b) = told
    rows, in_a, in_b = np.intersect1d(rows_a, rows_b, return_indices=True)
    if not len(rows):
        raise _nothing_counts(source, len(groups), len(groups) - len(counts), _wording(a))
    examples = [unseen.examples[i] for i in rows.tolist()]
    groups = np.unique(groups[counts[rows]], return_inverse=True)[1]
    return _paired(
        a,
        b,
        examples,
        said_a[in_a],
        said_b[in_b],
        groups,
        place=f"of {shown(source.name)}",
        left_out={**left_out, "not_told": len(counts) - len(rows)},
    )


def _groups_with_what_was_seen(
    dataset: Dataset[Any], a: Contender, b: Contender, reporter: Reporter
) -> list[np.ndarray]:
    """Numbers of groups: of the data set, of what A has seen, of what B has seen."""
    folder = a.run.folder
    parts = [
        Part(x.root, examples)
        for x, examples in ((dataset, dataset.examples), (a.dataset, a.seen), (b.dataset, b.seen))
    ]
    return groups_across(
        parts,
        max_pixels=folder.read_config().data.max_pixels,
        store=FeatureStore.open(folder.output, reporter),
        reporter=reporter,
    )


def _nothing_counts(source: Source, n_all: int, n_seen: int, wording: Wording) -> DataError:
    return DataError(
        f"There is no {wording.noun} here that counts.",
        received=f"{shown(source.name)}: {counted(n_all, wording.noun)}, {n_seen:,} of them seen "
        "in training",
        allowed=f"labelled {wording.nouns} that neither run has seen in training",
        next_step=f"name other {wording.nouns}",
    )


def _unseen(
    is_seen: Sequence[np.ndarray], a: Contender, b: Contender, reporter: Reporter
) -> tuple[np.ndarray, dict[str, int]]:
    """Which examples had no say in the weights of either run; a warning counts the others.

    Args:
        is_seen: bool, shape (n_examples,), by each run: the example, or one of its group.

    Returns:
        int64, positions of those that count; and how many each run has seen.
    """
    wording = _wording(a)
    counts = np.ones(len(is_seen[0]), dtype=bool)
    left_out = {}
    for run, seen in zip((a, b), is_seen, strict=True):
        counts &= ~seen
        left_out[f"seen_by_{run.letter.lower()}"] = int(seen.sum())
        if seen.any():
            reporter.warn(
                f"{seen.sum():,} of {counted(len(seen), wording.noun)} left out: {run.letter} "
                f"was trained on them or chose its weights by them ({wording.grouped})"
            )
    return np.flatnonzero(counts), left_out


def _paired(
    a: Contender,
    b: Contender,
    examples: Sequence[AnyExample],
    said_a: np.ndarray,
    said_b: np.ndarray,
    groups: np.ndarray,
    *,
    place: str,
    left_out: dict[str, int],
    notes: Sequence[str] = (),
) -> PairedPredictions:
    """All of it in A's class order, with a note on what the figures rest on.

    Args:
        examples: with labels in A's order.
        said_a, said_b: float32, shape (n_examples, n_classes), each in its run's class order.
        groups: int64, shape (n_examples,), from 0.
        place: where the examples are, for the note.
        left_out, notes: see `PairedPredictions`.
    """
    wording = _wording(a)
    column = {name: number for number, name in enumerate(b.dataset.class_names)}
    basis = counted(len(examples), wording.noun)
    n_groups = int(groups.max()) + 1
    if n_groups < len(examples):
        basis += f" in {counted(n_groups, 'group')} ({wording.grouped}; resampled whole)"
    n_seen = left_out["seen_by_a"], left_out["seen_by_b"]
    if any(n_seen):
        place += f", without {n_seen[0]:,} that A and {n_seen[1]:,} that B has seen in training"
    return PairedPredictions(
        paths=tuple(example.path for example in examples),
        y_true=np.array([example.label for example in examples], dtype=np.int64),
        probabilities_a=said_a,
        probabilities_b=said_b[:, [column[name] for name in a.dataset.class_names]],
        groups=groups,
        class_names=a.dataset.class_names,
        modality=a.dataset.modality,
        left_out=left_out,
        notes=(f"The figures rest on {basis} {place}.", *notes),
    )


def _wording(run: Contender) -> Wording:
    return WORDINGS[run.dataset.modality]
