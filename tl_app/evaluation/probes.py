"""What the frozen backbone's features tell by themselves, beside the model that was trained.

Each probe costs seconds on kept features: a cross-validated linear head, the same on fewer
examples, and two plain rivals of the model on the side that it is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tl_app.evaluation import metrics
from tl_app.evaluation.resampling import metric_differences
from tl_app.evaluation.scoring import HEADLINE, Outcome, evaluate
from tl_app.heads.cross_validation import HeldOut
from tl_app.records import Dataset, Evaluation, Interval, Predictions

ENOUGH_TESTED = 200
"""Test parts of fewer examples say so little that cross-validation leads."""

HARDLY = 0.005
"""A gain of less, for twice the examples, is hardly worth collecting them."""

N_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """The linear head on frozen features, each example told by a head that has not seen it.

    Attributes:
        evaluation: of all answers together; its side is None.
        folds: of each fold alone, headline metric -> value.
        n_train: mean number of examples that a head was trained on.
    """

    evaluation: Evaluation
    folds: tuple[Mapping[str, float], ...]
    n_train: int

    def spread(self, name: str) -> float:
        """Standard deviation of a headline metric over the folds (n - 1)."""
        return float(np.std([fold[name] for fold in self.folds], ddof=1))

    def to_dict(self) -> dict[str, Any]:
        return {
            "evaluation": self.evaluation.to_dict(),
            "folds": [dict(fold) for fold in self.folds],
            "n_train": self.n_train,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CrossValidation:
        return cls(
            Evaluation.from_dict(values["evaluation"]),
            tuple(dict(fold) for fold in values["folds"]),
            values["n_train"],
        )


@dataclass(frozen=True, slots=True)
class SizePoint:
    """How right heads are that were trained on so many examples, told as in cross-validation."""

    n_train: int
    accuracy: Interval

    def to_dict(self) -> dict[str, Any]:
        return {"n_train": self.n_train, "accuracy": self.accuracy.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SizePoint:
        return cls(values["n_train"], Interval.from_dict(values["accuracy"]))


@dataclass(frozen=True, slots=True)
class SizeCurve:
    """Accuracy against the number of training examples.

    Attributes:
        points: from few to all.
        gain: accuracy of the last point less that of the one before, on the same examples.
        verdict: "more" examples would help, "hardly", or it is "unclear".
    """

    points: tuple[SizePoint, ...]
    gain: Interval
    verdict: Literal["more", "hardly", "unclear"]

    def to_dict(self) -> dict[str, Any]:
        return {
            "points": [point.to_dict() for point in self.points],
            "gain": self.gain.to_dict(),
            "verdict": self.verdict,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SizeCurve:
        return cls(
            tuple(SizePoint.from_dict(point) for point in values["points"]),
            Interval.from_dict(values["gain"]),
            values["verdict"],
        )


@dataclass(frozen=True, slots=True)
class Probes:
    """All of it, as a run keeps it.

    Attributes:
        cross_validation, by_size: None where not run.
        leads: whether cross-validation says more than the test part, and stands first.
        rivals: "head_only", "nearest_neighbours" -> headline on the evaluated side.
        not_run: name -> why.
    """

    cross_validation: CrossValidation | None = None
    by_size: SizeCurve | None = None
    leads: bool = False
    rivals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        cross, curve = self.cross_validation, self.by_size
        return {
            "cross_validation": None if cross is None else cross.to_dict(),
            "by_size": None if curve is None else curve.to_dict(),
            "leads": self.leads,
            "rivals": {
                name: {metric: value.to_dict() for metric, value in headline.items()}
                for name, headline in self.rivals.items()
            },
            "not_run": dict(self.not_run),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Probes:
        cross, curve = values["cross_validation"], values["by_size"]
        return cls(
            cross_validation=None if cross is None else CrossValidation.from_dict(cross),
            by_size=None if curve is None else SizeCurve.from_dict(curve),
            leads=values["leads"],
            rivals={
                name: {metric: Interval.from_dict(value) for metric, value in headline.items()}
                for name, headline in values["rivals"].items()
            },
            not_run=dict(values["not_run"]),
        )


def cross_validated(dataset: Dataset[Any], held_out: HeldOut) -> CrossValidation:
    """Figures of answers that were given fold by fold.

    Args:
        dataset: the examples, in the order of the answers.
        held_out: on all training examples of each fold.
    """
    labels, n_classes = dataset.labels, len(dataset.class_names)
    folds = []
    for fold in np.unique(held_out.folds).tolist():
        rows = held_out.folds == fold
        y_true, told = labels[rows], held_out.probabilities[rows]
        matrix = metrics.confusion_matrix(y_true, told.argmax(axis=1), n_classes)
        outcome = Outcome(y_true, told, matrix)
        folds.append({metric.name: float(metric.value(outcome)) for metric in HEADLINE})
    shares = np.bincount(labels, minlength=n_classes) / len(labels)
    evaluation = evaluate(
        Predictions(
            tuple(example.path for example in dataset.examples),
            labels,
            held_out.probabilities,
            dataset.class_names,
        ),
        class_shares=shares,
        side=None,
        modality=dataset.modality,
    )
    return CrossValidation(evaluation, tuple(folds), held_out.n_train)


def size_curve(labels: np.ndarray, groups: np.ndarray, held_out: Sequence[HeldOut]) -> SizeCurve:
    """Accuracy by size, and whether more examples would help.

    The gain is that of the same examples told by heads of both sizes, so most of what makes the
    points themselves doubtful cancels.

    Args:
        labels: int64, shape (n_examples,).
        groups: int64, shape (n_examples,), any numbers.
        held_out: from few training examples to all, two at least.
    """
    n_classes = held_out[0].probabilities.shape[1]
    points = []
    for one in held_out:
        matrix = metrics.confusion_matrix(labels, one.probabilities.argmax(axis=1), n_classes)
        outcome = Outcome(labels, one.probabilities, matrix)
        points.append(SizePoint(one.n_train, HEADLINE[0].interval(outcome)))
    numbers = np.unique(groups, return_inverse=True)[1]
    fewer, every = (one.probabilities for one in held_out[-2:])
    gain = metric_differences(labels, fewer, every, numbers)[0].difference
    return SizeCurve(tuple(points), gain, _verdict(gain))


def _verdict(gain: Interval) -> Literal["more", "hardly", "unclear"]:
    if gain.low is None or gain.high is None:
        return "unclear"
    if gain.low > 0:
        return "more"
    return "hardly" if gain.high < HARDLY else "unclear"


def nearest_neighbours(
    features: np.ndarray, labels: np.ndarray, asked: np.ndarray, *, n_classes: int
) -> np.ndarray:
    """What the closest training examples are, float32, shape (n_asked, n_classes).

    Args:
        features: float32, shape (n_train, n_features).
        labels: int64, shape (n_train,).
        asked: float32, shape (n_asked, n_features).
        n_classes: columns of the answer.

    Each of ten neighbours (by cosine of centred features) has a vote, and one vote more is
    shared out over all classes, so that no class is impossible.
    """
    from sklearn.neighbors import NearestNeighbors

    n_neighbours = min(N_NEIGHBOURS, len(labels))
    centre = features.mean(axis=0)
    known = NearestNeighbors(n_neighbors=n_neighbours, metric="cosine", algorithm="brute")
    rows = known.fit(features - centre).kneighbors(asked - centre, return_distance=False)
    votes = np.full((len(asked), n_classes), 1 / n_classes)
    np.add.at(votes, (np.arange(len(asked))[:, None], labels[rows]), 1)
    return (votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)
