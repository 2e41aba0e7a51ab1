"""A comparison in plain sentences."""

from __future__ import annotations

from tl_app.data.listing import counted
from tl_app.data.wording import WORDINGS
from tl_app.evaluation.comparison import Comparison
from tl_app.records import Interval


def verdict_sentence(comparison: Comparison) -> str:
    """Whether B is better, not worse or worse, by how much, and what it would take to tell."""
    accuracy = comparison.accuracy.difference
    margin, found = _points(comparison.margin), f"its accuracy is {_difference(accuracy)}"
    if comparison.verdict == "better":
        return f"B is better than A: {found}."
    if comparison.verdict == "worse":
        return f"B is worse than A: {found}."
    if comparison.verdict == "not worse":
        text = f"B is not worse than A by more than {margin}: {found}."
        is_lower = accuracy.high is not None and accuracy.high < 0
        return text + (" It is worse, but by less than that." if is_lower else "")
    text = f"Whether B is worse than A by more than {margin} cannot be told: {found}."
    if comparison.n_examples_needed is not None:
        nouns = WORDINGS[comparison.modality].nouns
        text += (
            f" If A and B go on to differ like this, about {comparison.n_examples_needed:,} "
            f"{nouns} would tell."
        )
    return text


def mcnemar_sentence(comparison: Comparison) -> str:
    """Who tells which examples rightly, and how often chance alone would do that."""
    found = comparison.disagreement
    wording = WORDINGS[comparison.modality]
    if not found.n_only_a + found.n_only_b:
        return f"A and B tell the same {wording.nouns} rightly, so neither shows to be better."
    by_groups = ""
    if comparison.n_groups < comparison.n_examples:
        by_groups = f" (by groups: {found.n_groups_a:,} and {found.n_groups_b:,})"
    share, p_value = "fewer than 0.1 %", "p < 0.001"
    if found.p_value >= 0.001:
        share = f"{100 * found.p_value:.{0 if found.p_value >= 0.0095 else 1}f} %"
        p_value = f"p = {found.p_value:.3f}"
    return (
        f"Of {counted(comparison.n_examples, wording.noun)}, A alone tells {found.n_only_a:,} "
        f"rightly and B alone {found.n_only_b:,}{by_groups}. If neither were better, chance would "
        f"part them as unevenly in {share} of cases (McNemar's exact test, {p_value})."
    )


def _difference(accuracy: Interval) -> str:
    amount = "the same"
    if accuracy.value:
        amount = f"{_points(abs(accuracy.value))} {'higher' if accuracy.value > 0 else 'lower'}"
    if accuracy.low is None or accuracy.high is None:
        return f"{amount} (of a single group no interval can be given)"
    return f"{amount} (95 % interval {_signed(accuracy.low)} to {_signed(accuracy.high)} points)"


def _points(share: float) -> str:
    """ "1 point", "2.35 points", "0.048 points"."""
    points = f"{100 * share:.3g}"
    return f"{points} point" + ("" if points == "1" else "s")


def _signed(share: float) -> str:
    """ "-0.6", "+1.2"; a limit that is not 0 never reads as 0."""
    text = f"{100 * share:+.1f}"
    return f"{100 * share:+.1g}" if share and float(text) == 0 else text
