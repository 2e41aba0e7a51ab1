"""Class names: one Unicode form, collisions told, a fixed order.

Names are compared and recorded in Unicode's composed form (NFC). Two spellings that
coincide after that cannot be two classes, since nobody could tell them apart: they are
merged with `--merge-classes` and refused without. Names that differ only by letter case
stay two classes, with a warning, unless merged. A merged class takes the name that an
earlier run recorded, else the first by code point ("Dog" before "dog").

Order: by code point; with `known` names, those first, as they were, then the new ones.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from tl_app.data.listing import N_NAMED, counted, named, shown
from tl_app.errors import DataError, did_you_mean
from tl_app.progress import Reporter

Purpose = Literal["training", "evaluation"]


def normalise(name: str) -> str:
    """`name` in NFC; bytes that are no UTF-8 become U+FFFD, so that every name can be written."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))


def fold(name: str) -> str:
    """Equal for names that differ by letter case or Unicode form only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def resolve_class_names(
    spellings: Iterable[str],
    *,
    merge: bool,
    known: Sequence[str],
    purpose: Purpose,
    reporter: Reporter,
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The class names in label order, and the label of every spelling.

    Args:
        spellings: as folders or tables write them.
        merge: whether names that differ by case or Unicode form only are one class.
        known: names of an earlier run (training) or of the model (evaluation), in its order.
        purpose: training needs pictures of every known class and may add classes;
            evaluation keeps the known classes as they are, with or without pictures.

    Raises:
        DataError: names coincide and are not merged; a known class is gone (training);
            a class is unknown (evaluation).
    """
    spelt: dict[str, list[str]] = defaultdict(list)
    for spelling in sorted(set(spellings)):
        spelt[normalise(spelling)].append(spelling)
    known = [normalise(name) for name in known]

    if not merge:
        _refuse_coinciding(spelt)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(spelt):
        alike[fold(name)].append(name)
    known_of = {fold(name): name for name in reversed(known)}
    final: dict[str, str] = {}
    for key, names in alike.items():
        merged = known_of.get(key, names[0])
        for name in names:
            final[name] = merged if merge else name
    _tell_alike(alike, spelt, final, merge, reporter)

    present = set(final.values())
    new = sorted(present.difference(known))
    missing = [name for name in known if name not in present]
    if purpose == "evaluation" and known:
        _refuse_unknown(new, known)
    elif known:
        _refuse_missing(missing)
        if new:
            reporter.warn(
                f"{counted(len(new), 'class', 'classes')} that the earlier run did not have, "
                f"appended after its own: {named(new)}."
            )
    class_names = (*known, *new)
    label_of = {name: label for label, name in enumerate(class_names)}
    labels = {
        spelling: label_of[final[name]] for name, group in spelt.items() for spelling in group
    }
    return class_names, labels


def _both(spellings: Sequence[str]) -> str:
    """Names that may look alike, told apart by their code points where they are not ASCII."""
    return " and ".join(
        shown(s) if s.isascii() else f"{shown(s)} ({ascii(s)[1:-1]})" for s in spellings
    )


def _refuse_coinciding(spelt: dict[str, list[str]]) -> None:
    doubles = [spellings for spellings in spelt.values() if len(spellings) > 1]
    if doubles:
        raise DataError(
            "Class names coincide: they are the same text in two Unicode forms.",
            received=named([_both(d) for d in doubles]),
            allowed="one form (NFC) for each class",
            next_step="rename one of each pair, or train on them as one class: --merge-classes",
        )


def _tell_alike(
    alike: dict[str, list[str]],
    spelt: dict[str, list[str]],
    final: dict[str, str],
    merge: bool,
    reporter: Reporter,
) -> None:
    groups = [[s for name in names for s in spelt[name]] for names in alike.values()]
    groups = [sorted(group) for group in groups if len(group) > 1]
    if not groups:
        return
    if merge:
        pairs = [f"{_both(g)} into {shown(final[normalise(g[0])])}" for g in groups]
        reporter.warn(f"Merged classes that differ by letter case or form only: {named(pairs)}.")
    else:
        reporter.warn(
            "Classes whose names differ only by letter case are kept apart: "
            f"{named(_both(g) for g in groups)}. One class each with --merge-classes."
        )


def _refuse_missing(missing: Sequence[str]) -> None:
    if missing:
        raise DataError(
            f"{counted(len(missing), 'class', 'classes')} of the earlier run are not in the data.",
            received=f"no folder or rows for {named(missing)}",
            allowed="every class of the earlier run; new ones may be added",
            next_step="bring the missing classes back, or train anew without --split-from",
        )


def _refuse_unknown(new: Sequence[str], known: Sequence[str]) -> None:
    if new:
        hints = "".join(
            f"\n  {shown(n)}:{h}" for n in new[:N_NAMED] if (h := did_you_mean(n, known))
        )
        raise DataError(
            f"{counted(len(new), 'class', 'classes')} that the model does not know.{hints}",
            received=named(new),
            allowed=named(known, n=30),
            next_step="rename the classes to the model's, or leave them out",
        )
