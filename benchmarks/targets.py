"""What the app is meant to reach, and whether a benchmark's figures reach it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TIMES_FASTER = {"published": 15.0, "repaired": 4.0}
"""A whole training with the defaults against the recipe's."""

EPOCH_TIMES_FASTER = 3.5
"""An epoch of fine-tuning against one of the repaired recipe, which trains the same blocks."""

MAX_ACCURACY_LOSS = 0.01
FIRST_BAR_SECONDS = 8.0
HEAD_SECONDS = 2.0
"""To solve the head on some 1,100 pictures, after extraction."""

SECOND_HEAD_SECONDS = 5.0
"""From the end of the imports of a second training until its head phase begins."""

EXTRACTION_TO_TF_FUNCTION, EXTRACTION_TO_PARTS = 1.4, 0.9
"""Decoding included: against the same through `tf.function`, and against its parts alone."""

ESTIMATE_FACTOR = 1.5
"""Between what a training tells beforehand and what it then takes."""

ESTIMATED_SECONDS = 2.0
"""Parts that take less are judged in the sum alone."""

GROWTH_BYTES, GROWTH_SLOPE = 2.5e9, 1.15
"""Anonymous memory at the largest size; what a picture costs there against before."""


def judge(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a target: name, wanted, measured, and `met`: True, False or None.

    None where the figures cannot tell: a recipe of fewer epochs has not reached its accuracy,
    and on few pictures the start of the process is most of the time.
    """
    is_sized = document["settings"]["max_pictures"] is None
    rows = [row for one_set in document["sets"] for row in _of_set(one_set, is_sized)]
    rows += _of_extraction(document.get("extraction"))
    return rows + list(_of_growth(document.get("growth") or []))


def _row(name: str, wanted: str, measured: str, met: bool | None) -> dict[str, Any]:
    return {"name": name, "wanted": wanted, "measured": measured, "met": met}


def _of_extraction(extraction: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if extraction is None:
        return
    for name, key, wanted in (
        ("through tf.function", "app_to_tf_function", EXTRACTION_TO_TF_FUNCTION),
        ("decoding and engine alone, added up", "app_to_decode_then_engine", EXTRACTION_TO_PARTS),
    ):
        ratio = extraction[key]
        yield _row(
            f"extraction: times as fast as {name}",
            f"at least {wanted:g}",
            f"{ratio:.2f}",
            ratio >= wanted,
        )


def _of_growth(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Judged at 32,000 pictures alone, against what came before."""
    if len(rows) < 3 or rows[-1]["n_pictures"] < 32_000:
        return
    last, before = rows[-1], rows[-2]
    n_bytes = last["peak_anonymous_bytes"]
    yield _row(
        f"growth: anonymous memory at {last['n_pictures']:,} pictures",
        f"under {GROWTH_BYTES / 1e9:g} GB",
        f"{n_bytes / 1e9:.2f} GB",
        n_bytes < GROWTH_BYTES,
    )
    ratio = last["seconds_per_picture"] / before["seconds_per_picture"]
    yield _row(
        "growth: seconds of one more picture, against the size before",
        f"at most {GROWTH_SLOPE:g} times",
        f"{ratio:.2f}",
        ratio <= GROWTH_SLOPE,
    )


def _of_estimate(name: str, app: dict[str, Any]) -> Iterator[dict[str, Any]]:
    pairs = {part: (told, app["phases"][part]) for part, told in app["told"].items()}
    if not pairs:
        return
    everything = tuple(map(sum, zip(*pairs.values(), strict=True)))
    for part, (told, taken) in {"all": everything, **pairs}.items():
        if part == "all" or max(told, taken) >= ESTIMATED_SECONDS:
            yield _row(
                f"{name}, {part}: seconds told beforehand, of those that it took",
                f"{1 / ESTIMATE_FACTOR:.2f} to {ESTIMATE_FACTOR:g}",
                f"{told / max(taken, 0.01):.2f}",
                taken <= ESTIMATE_FACTOR * told and told <= ESTIMATE_FACTOR * taken,
            )


def _of_set(one_set: dict[str, Any], is_sized: bool) -> Iterator[dict[str, Any]]:
    name = one_set["name"]
    first_bar = one_set["ways"]["tl_app"]["milestones"].get("first_bar")
    if first_bar is not None:
        yield {
            "name": f"{name}: start to the first bar",
            "wanted": f"under {FIRST_BAR_SECONDS:g} s",
            "measured": f"{first_bar:.1f} s",
            "met": first_bar < FIRST_BAR_SECONDS,
        }
    yield from _of_estimate(name, one_set["ways"]["tl_app"])
    head = one_set["ways"]["tl_app"]["phases"].get("phase head")
    if head is not None and one_set["n_train"] <= 1200:
        yield _row(
            f"{name}: the head solved, after extraction",
            f"under {HEAD_SECONDS:g} s",
            f"{head:.1f} s",
            head < HEAD_SECONDS,
        )
    second = one_set["second_training"]["milestones"]
    if {"imported", "head_begins"} <= second.keys():
        seconds = second["head_begins"] - second["imported"]
        yield _row(
            f"{name}: imports of a second training to its head phase",
            f"under {SECOND_HEAD_SECONDS:g} s",
            f"{seconds:.1f} s",
            seconds < SECOND_HEAD_SECONDS,
        )
    for row in one_set["comparisons"]:
        wanted = TIMES_FASTER[row["against"]]
        yield {
            "name": f"{name}: times faster than the {row['against']} recipe",
            "wanted": f"at least {wanted:g}",
            "measured": f"{row['times_faster']:.1f}",
            "met": row["times_faster"] >= wanted if is_sized else None,
        }
        if row["against"] == "repaired" and row["epoch_times_faster"] is not None:
            yield _row(
                f"{name}: an epoch of fine-tuning, times faster than the repaired recipe's",
                f"at least {EPOCH_TIMES_FASTER:g}",
                f"{row['epoch_times_faster']:.1f}",
                row["epoch_times_faster"] >= EPOCH_TIMES_FASTER if is_sized else None,
            )
        yield {
            "name": f"{name}: accuracy less that of the {row['against']} recipe",
            "wanted": f"at least {-100 * MAX_ACCURACY_LOSS:+.0f} points",
            "measured": f"{100 * row['difference']:+.1f} points ({100 * row['low']:+.1f} to "
            f"{100 * row['high']:+.1f})",
            "met": row["difference"] >= -MAX_ACCURACY_LOSS
            if is_sized and row["is_whole_recipe"]
            else None,
        }
