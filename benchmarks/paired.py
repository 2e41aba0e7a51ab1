"""Two classifiers on the same test pictures: the difference of their accuracies."""

from __future__ import annotations

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


def compare(first: dict[str, bool], second: dict[str, bool]) -> PairedDifference:
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
