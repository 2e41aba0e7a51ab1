"""What the app is meant to reach, and whether a benchmark's figures reach it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TIMES_FASTER = {"published": 15.0, "repaired": 4.0}
"""A whole training with the defaults against the recipe's."""

MAX_ACCURACY_LOSS = 0.01
FIRST_BAR_SECONDS = 8.0


def judge(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a target: name, wanted, measured, and `met`: True, False or None.

    None where the figures cannot tell: a recipe of fewer epochs has not reached its accuracy,
    and on few pictures the start of the process is most of the time.
    """
    is_sized = document["settings"]["max_pictures"] is None
    return [row for one_set in document["sets"] for row in _of_set(one_set, is_sized)]


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
    for row in one_set["comparisons"]:
        wanted = TIMES_FASTER[row["against"]]
        yield {
            "name": f"{name}: times faster than the {row['against']} recipe",
            "wanted": f"at least {wanted:g}",
            "measured": f"{row['times_faster']:.1f}",
            "met": row["times_faster"] >= wanted if is_sized else None,
        }
        yield {
            "name": f"{name}: accuracy less that of the {row['against']} recipe",
            "wanted": f"at least {-100 * MAX_ACCURACY_LOSS:+.0f} points",
            "measured": f"{100 * row['difference']:+.1f} points",
            "met": row["difference"] >= -MAX_ACCURACY_LOSS
            if is_sized and row["is_whole_recipe"]
            else None,
        }
