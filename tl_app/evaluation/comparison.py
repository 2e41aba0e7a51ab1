"""Two classifiers, A and B, on the same examples: is B better, not worse, or worse?

Differences are those of B less A throughout, so that above 0 (below, of a loss) B is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tl_app.data.listing import counted, named
from tl_app.data.wording import WORDINGS
from tl_app.evaluation.paired import ClassChange, Disagreement, class_changes, disagreement
from tl_app.evaluation.resampling import MetricDifference, metric_differences
from tl_app.records import Interval, Modality

Verdict = Literal["better", "not worse", "worse", "cannot tell"]

FEW_GROUPS = 30
"""With fewer, what groups of other examples would say is hard to tell."""

LEAST_ROOM = 1e-6
"""A difference that is so near to what it is judged against is never told from it."""


@dataclass(frozen=True, slots=True)
class PairedPredictions:
    """What two classifiers said of the same examples.

    Attributes:
        paths: one an example.
        y_true: int64, shape (n_examples,), from 0; one example at least.
        probabilities_a, probabilities_b: float32, shape (n_examples, n_classes), rows sum to 1.
        groups: int64, shape (n_examples,), numbers of groups from 0, none left out; examples
            with the same number belong together.
        class_names: one a column of both.
        modality: what the examples are.
        left_out: why examples do not count -> how many.
        notes: sentences on where the examples come from.
    """

    paths: tuple[str, ...]
    y_true: np.ndarray
    probabilities_a: np.ndarray
    probabilities_b: np.ndarray
    groups: np.ndarray
    class_names: tuple[str, ...]
    modality: Modality = "image"
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LostExample:
    """An example that A tells rightly and B does not.

    Attributes:
        path: of it.
        label: its class.
        probability_a: that A gives to its class.
        said: the class that B says.
        probability_b: that B gives to what it says.
    """

    path: str
    label: str
    probability_a: float
    said: str
    probability_b: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare_predictions` found.

    Attributes:
        verdict: on the interval of the accuracies' difference. "better": all of it is above 0;
            "not worse": above -margin; "worse": below 0 (and not above -margin); else "cannot
            tell".
        margin: by how much B may be worse, a fraction.
        n_examples_needed: of "cannot tell", about how many examples would tell if A and B went
            on to differ as they do; None otherwise, and where no number would.
        metrics: those of `resampling.METRICS`, in that order.
        disagreement: who tells which examples rightly.
        per_class: in class order.
        lost: what A tells rightly and B does not, B's most confident first.
        n_examples, n_groups: what all this rests on.
        modality: what the examples are.
        left_out: why examples do not count -> how many.
        notes: sentences that a reader should know before trusting a figure.
    """

    verdict: Verdict
    margin: float
    n_examples_needed: int | None
    metrics: tuple[MetricDifference, ...]
    disagreement: Disagreement
    per_class: tuple[ClassChange, ...]
    lost: tuple[LostExample, ...]
    n_examples: int
    n_groups: int
    modality: Modality
    left_out: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether B was shown to be not worse."""
        return self.verdict in ("better", "not worse")

    @property
    def accuracy(self) -> MetricDifference:
        return next(metric for metric in self.metrics if metric.name == "accuracy")

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "passes": self.passes,
            "margin": self.margin,
            "n_examples_needed": self.n_examples_needed,
            "n_examples": self.n_examples,
            "n_groups": self.n_groups,
            "modality": self.modality,
            "left_out": dict(self.left_out),
            "metrics": [asdict(metric) for metric in self.metrics],
            "disagreement": asdict(self.disagreement),
            "per_class": [asdict(change) for change in self.per_class],
            "lost": [asdict(example) for example in self.lost],
            "notes": list(self.notes),
        }


def compare_predictions(
    pairs: PairedPredictions, *, margin: float = 0.01, n_resamples: int = 2000, seed: int = 0
) -> Comparison:
    """Compare A and B on the same examples.

    Args:
        pairs: what both said.
        margin: by how much B's accuracy may be lower, a fraction from 0.
        n_resamples: draws of the bootstrap.
        seed: of the draws; the same seed gives the same intervals.
    """
    right_a = pairs.probabilities_a.argmax(axis=1) == pairs.y_true
    right_b = pairs.probabilities_b.argmax(axis=1) == pairs.y_true
    n_examples, n_groups = len(pairs.y_true), int(pairs.groups.max()) + 1
    metrics = metric_differences(
        pairs.y_true,
        pairs.probabilities_a,
        pairs.probabilities_b,
        pairs.groups,
        n_resamples=n_resamples,
        seed=seed,
    )
    per_class = class_changes(right_a, right_b, pairs.y_true, pairs.groups, pairs.class_names)
    accuracy = next(metric.difference for metric in metrics if metric.name == "accuracy")
    verdict = judge(accuracy, margin)
    needed = examples_needed(accuracy, margin, n_examples) if verdict == "cannot tell" else None
    return Comparison(
        verdict=verdict,
        margin=margin,
        n_examples_needed=needed,
        metrics=metrics,
        disagreement=disagreement(right_a, right_b, pairs.groups),
        per_class=per_class,
        lost=_lost(pairs, right_a & ~right_b),
        n_examples=n_examples,
        n_groups=n_groups,
        modality=pairs.modality,
        left_out=pairs.left_out,
        notes=(*pairs.notes, *_reading_notes(pairs.groups, per_class, pairs.modality)),
    )


def judge(accuracy: Interval, margin: float) -> Verdict:
    """The verdict on a difference of accuracies, B less A; see `Comparison.verdict`."""
    if accuracy.low is None or accuracy.high is None:
        return "cannot tell"
    if accuracy.low > 0:
        return "better"
    if accuracy.low > -margin:
        return "not worse"
    return "worse" if accuracy.high < 0 else "cannot tell"


def examples_needed(accuracy: Interval, margin: float, n_examples: int) -> int | None:
    """About how many examples would tell, rounded up to two digits; None if no number would.

    The doubt shrinks with the root of the number of examples. If the accuracy that was seen is
    within the margin, so many would show B to be not worse; else, to be worse.
    """
    if accuracy.low is None or accuracy.high is None:
        return None
    if accuracy.value > -margin:
        doubt, room = accuracy.value - accuracy.low, accuracy.value + margin
    else:
        doubt, room = accuracy.high - accuracy.value, -accuracy.value
    if room < LEAST_ROOM:
        return None
    needed = max(n_examples * (doubt / room) ** 2, n_examples + 1)
    step = 10 ** max(0, math.floor(math.log10(needed)) - 1)
    return math.ceil(needed / step) * step


def _lost(pairs: PairedPredictions, is_lost: np.ndarray) -> tuple[LostExample, ...]:
    said = pairs.probabilities_b.argmax(axis=1)
    confidence = pairs.probabilities_b.max(axis=1)
    rows = np.flatnonzero(is_lost)
    rows = rows[np.argsort(-confidence[rows], kind="stable")]
    return tuple(
        LostExample(
            path=pairs.paths[row],
            label=pairs.class_names[pairs.y_true[row]],
            probability_a=float(pairs.probabilities_a[row, pairs.y_true[row]]),
            said=pairs.class_names[said[row]],
            probability_b=float(confidence[row]),
        )
        for row in rows.tolist()
    )


def _reading_notes(
    groups: np.ndarray, per_class: Sequence[ClassChange], modality: Modality
) -> list[str]:
    """What limits the figures, wherever the examples come from."""
    wording = WORDINGS[modality]
    notes = []
    n_groups = int(groups.max()) + 1
    if n_groups < FEW_GROUPS:
        few = counted(n_groups, wording.noun)
        if n_groups < len(groups):
            few = f"{counted(n_groups, 'group')} of {wording.nouns}"
        notes.append(f"Too few to rely on: {few}; take more.")
    absent = [change.name for change in per_class if not change.support]
    if absent:
        notes.append(f"No {wording.noun} is of: {named(absent, n=5)}; their recall is unknown.")
    return notes


def joint_groups(groups_a: np.ndarray, groups_b: np.ndarray) -> np.ndarray:
    """Groups of examples that belong together by either of two groupings, directly or not.

    Args:
        groups_a, groups_b: int64, shape (n_examples,), from 1 example; any numbers from 0.

    Returns:
        int64, shape (n_examples,), numbers from 0, none left out.
    """
    n_a, n_b = int(groups_a.max()) + 1, int(groups_b.max()) + 1
    links = coo_array((np.ones(len(groups_a)), (groups_a, n_a + groups_b)), (n_a + n_b,) * 2)
    _, component = connected_components(links, directed=False)
    return np.unique(component[groups_a], return_inverse=True)[1].astype(np.int64)
