"""Two classifiers on the same test pictures: the difference of their accuracies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tl_app.evaluation.paired import mcnemar_p_value, tango_limits


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Accuracy of the first classifier less that of the second.

    Attributes:
        n_pictures: that both have told.
        n_first_only, n_second_only: told rightly by one of the two.
        difference: a fraction, in [-1, 1].
        low, high: its 95 % interval (Tango's score interval).
        p_value: of McNemar's exact test that neither is better.
    """

    n_pictures: int
    n_first_only: int
    n_second_only: int
    difference: float
    low: float
    high: float
    p_value: float


def compare(first: Mapping[str, bool], second: Mapping[str, bool]) -> PairedDifference:
    """Compare what was told rightly, picture by picture.

    Args:
        first, second: picture to whether it was told rightly; the same pictures.

    Raises:
        ValueError: the pictures are not the same.
    """
    if first.keys() != second.keys():
        apart = sorted(first.keys() ^ second.keys())
        raise ValueError(f"{len(apart)} pictures are in one of the two only, such as {apart[0]}")
    n_first = sum(right and not second[picture] for picture, right in first.items())
    n_second = sum(right and not first[picture] for picture, right in second.items())
    n_pictures = len(first)
    low, high = tango_limits(n_first, n_second, n_pictures)
    return PairedDifference(
        n_pictures,
        n_first,
        n_second,
        (n_first - n_second) / n_pictures,
        low,
        high,
        mcnemar_p_value(n_first, n_second),
    )


def compare_rounds(
    first: Sequence[Mapping[str, bool]], second: Sequence[Mapping[str, bool]]
) -> tuple[float, float, float]:
    """Difference of the accuracies over several test sides together, which may share examples.

    Tango's interval with as many examples as would alone give the difference the variance that it
    has where the answers on one example belong together: of examples that are tested once it is
    the interval of `compare`, and it gets wider the more answers on the same examples agree. That
    the answers of a round come from one training is not counted.

    Args:
        first, second: of each round, example to whether it was told rightly; the same examples in
            the same rounds.

    Returns:
        The difference and its 95 % interval, low and high.

    Raises:
        ValueError: the examples are not the same.

    Source: effective sample size after Korn and Graubard, 1998.
    """
    rounds = [compare(a, b) for a, b in zip(first, second, strict=True)]
    n = sum(each.n_pictures for each in rounds)
    n_first = sum(each.n_first_only for each in rounds)
    n_second = sum(each.n_second_only for each in rounds)
    difference = (n_first - n_second) / n
    residuals: defaultdict[str, list[float]] = defaultdict(list)
    for a, b in zip(first, second, strict=True):
        for example, right in a.items():
            residuals[example].append(right - b[example] - difference)
    apart = _variance_of_sum([[r] for each in residuals.values() for r in each])
    together = _variance_of_sum(list(residuals.values()))
    # Where the two never differ, every example counts once.
    shrunk = max(1.0, together / apart) if apart else n / len(residuals)
    return difference, *tango_limits(n_first / shrunk, n_second / shrunk, n / shrunk)


def _variance_of_sum(clusters: Sequence[Sequence[float]]) -> float:
    """Of all residuals, where those of different clusters are independent."""
    n_clusters = len(clusters)
    return sum(sum(each) ** 2 for each in clusters) * n_clusters / max(1, n_clusters - 1)
