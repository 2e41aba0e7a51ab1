"""`tl-app compare`: its one number, its JSON document and its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tl_app.cli.render import figure, interval_text, probability_text, table
from tl_app.console import printable
from tl_app.data.listing import counted
from tl_app.data.wording import WORDINGS
from tl_app.errors import ConfigError

if TYPE_CHECKING:
    from tl_app.evaluation.comparison import ClassChange, Comparison

MOST_CLASSES = 30
"""Rows of the table of classes on screen; the JSON document has all."""

MOST_LOST = 20
"""Likewise, of the examples that B gets wrong."""


def margin_of(text: str) -> float:
    """
    Raises:
        ConfigError: it is no number. Its range is the verb's to judge.
    """
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            "This is no margin for the accuracy.",
            received=f"--margin {text}",
            allowed="a fraction from 0, below 1; 0.01 is one point",
            next_step="tl-app compare RUN_A RUN_B --margin 0.01",
        ) from None


def comparison_document(comparison: Comparison, of: Mapping[str, str | None]) -> dict[str, Any]:
    """JSON values; `of` says what was compared."""
    from tl_app.evaluation.comparison_words import mcnemar_sentence, verdict_sentence

    return {
        **of,
        "sentences": [verdict_sentence(comparison), mcnemar_sentence(comparison)],
        **comparison.to_dict(),
    }


def comparison_text(comparison: Comparison, of: Mapping[str, str | None]) -> str:
    """The verdict first, then what it rests on."""
    from tl_app.evaluation.comparison_words import mcnemar_sentence, verdict_sentence

    return "\n\n".join(
        [
            f"A  {printable(of['run_a'])}\nB  {printable(of['run_b'])}",
            verdict_sentence(comparison),
            _metrics_table(comparison),
            mcnemar_sentence(comparison),
            _classes_text(comparison.per_class),
            _lost_text(comparison),
            *map(printable, comparison.notes),
        ]
    )


def _metrics_table(comparison: Comparison) -> str:
    from tl_app.evaluation.resampling import METRICS

    titles = {metric.name: metric.title for metric in METRICS}
    rows = [
        (
            titles[metric.name],
            figure(metric.value_a),
            figure(metric.value_b),
            _signed(metric.difference.value),
            interval_text(metric.difference),
        )
        for metric in comparison.metrics
    ]
    noun = WORDINGS[comparison.modality].noun
    title = counted(comparison.n_examples, noun)
    return table((title, "A", "B", "B - A", "95 % interval"), rows, right=".rrrr")


def _classes_text(changes: Sequence[ClassChange]) -> str:
    """Recall by class; of many classes those that changed most, in class order."""
    seen = [change for change in changes if change.support]
    shown = sorted(seen, key=lambda change: (change.p_value, -abs(change.difference.value)))
    shown = shown[:MOST_CLASSES]
    rows = [
        (
            change.name,
            f"{change.support:,}",
            figure(change.recall_a),
            figure(change.recall_b),
            _signed(change.difference.value),
            interval_text(change.difference),
            "changed" if change.differs else "",
        )
        for change in seen
        if change in shown
    ]
    header = ("recall of", "support", "A", "B", "B - A", "95 % interval", "")
    n_changed = sum(change.differs for change in seen)
    text = table(header, rows, right=".rrrrr") + (
        f"\n{n_changed:,} of {counted(len(seen), 'class', 'classes')} changed beyond chance, all "
        "looked at together (Holm's correction, 5 %)."
    )
    if len(seen) > len(shown):
        text += f" Shown are the {len(shown):,} that changed most; --json has all."
    return text


def _lost_text(comparison: Comparison) -> str:
    """What A tells rightly and B does not, B's most confident first."""
    n_gained = comparison.disagreement.n_only_b
    lost, nouns = comparison.lost, WORDINGS[comparison.modality].nouns
    head = (
        f"{len(lost):,} {nouns} that A tells rightly and B wrongly; the other way round "
        f"{n_gained:,}."
    )
    if not lost:
        return head
    rows = [
        (
            example.path,
            example.label,
            probability_text(example.probability_a),
            example.said,
            probability_text(example.probability_b),
        )
        for example in lost[:MOST_LOST]
    ]
    text = f"{head}\n" + table(("path", "label", "by A", "B says", "by B"), rows, right="..r.r")
    if len(lost) > MOST_LOST:
        text += f"\nand {len(lost) - MOST_LOST:,} more; --json has all."
    return text


def _signed(value: float) -> str:
    return f"+{figure(value)}" if value > 0 else figure(value)
