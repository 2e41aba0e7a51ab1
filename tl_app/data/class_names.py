"""Class names: one Unicode form, collisions told, a fixed order.

Names are compared and recorded in Unicode's composed form (NFC). Names that differ only by
letter case, or that coincide in that form, stay classes of their own, with a warning, unless
`--merge-classes` makes them one. A merged class takes the name that an earlier run recorded,
else the first by code point ("Dog" before "dog"). Of names that coincide, the one that is
written in NFC keeps the plain name and the others are numbered ("café (2)"), since on screen
and in the report nobody could tell them apart.

Order: by code point; with `known` names, those first, as they were, then the new ones.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
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
        DataError: a known class is gone (training); a class is unknown (evaluation).
    """
    distinct = sorted(set(spellings))
    known = [normalise(name) for name in known]
    alike: dict[str, list[str]] = defaultdict(list)
    for spelling in distinct:
        alike[fold(spelling)].append(spelling)
    if merge:
        known_of = {fold(name): name for name in reversed(known)}
        final = {
            spelling: known_of.get(key, min(map(normalise, group)))
            for key, group in alike.items()
            for spelling in group
        }
    else:
        final = name_apart(distinct)
    _tell_alike([group for group in alike.values() if len(group) > 1], final, merge, reporter)

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
    return class_names, {spelling: label_of[name] for spelling, name in final.items()}


def name_apart(spellings: Sequence[str]) -> dict[str, str]:
    """A name of its own for each of the sorted, distinct `spellings`: spelling -> name."""
    coinciding: dict[str, list[str]] = defaultdict(list)
    for spelling in spellings:
        coinciding[normalise(spelling)].append(spelling)
    names = {}
    taken = set(coinciding)
    for plain, group in coinciding.items():
        first, *others = sorted(group, key=lambda spelling: (spelling != plain, spelling))
        names[first] = plain
        for spelling in others:
            free = (f"{plain} ({number})" for number in count(2))
            names[spelling] = next(name for name in free if name not in taken)
            taken.add(names[spelling])
    return names


def _both(spellings: Sequence[str]) -> str:
    """Names that may look alike, told apart by their code points where they are not ASCII."""
    return " and ".join(
        shown(s) if s.isascii() else f"{shown(s)} ({ascii(s)[1:-1]})" for s in spellings
    )


def _tell_alike(
    groups: Sequence[Sequence[str]], final: dict[str, str], merge: bool, reporter: Reporter
) -> None:
    """Warn of `groups` of spellings that differ by letter case or Unicode form only."""
    if not groups:
        return
    if merge:
        pairs = [f"{_both(group)} into {shown(final[group[0]])}" for group in groups]
        reporter.warn(f"Merged classes that differ by letter case or form only: {named(pairs)}.")
        return
    reporter.warn(
        "Classes whose names differ only by letter case or Unicode form are kept apart: "
        f"{named(_both(group) for group in groups)}. "
        "--merge-classes makes one class of them."
    )
    numbered = [s for group in groups for s in group if final[s] != normalise(s)]
    if numbered:
        pairs = [f"{_both([s])} is called {shown(final[s])}" for s in numbered]
        reporter.warn(f"Names that are one text in two Unicode forms: {named(pairs)}.")


def _refuse_missing(missing: Sequence[str]) -> None:
    if missing:
        raise DataError(
            f"{counted(len(missing), 'class', 'classes')} of the earlier run not in the data.",
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
