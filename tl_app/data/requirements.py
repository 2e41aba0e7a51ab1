"""What the data must have before a run is worth starting. Each check names all that fails it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tl_app.data.checking import counts_by_kind, set_aside_summary
from tl_app.data.listing import Listing, counted, named, quoted, shown, suffix_summary
from tl_app.data.table import COLUMNS
from tl_app.data.walk import visible_entries
from tl_app.data.wording import PICTURES, Wording
from tl_app.errors import DataError
from tl_app.records import Dataset, ExampleT, SetAside

if TYPE_CHECKING:
    from tl_app.config import DataSettings


def require_classes(
    listing: Listing, class_names: Sequence[str], wording: Wording = PICTURES
) -> None:
    if not listing.candidates:
        raise no_files(listing, wording) if listing.file is None else no_lines(listing, wording)
    if len(class_names) < 2:
        inner = class_names and listing.file is None and listing.root.joinpath(class_names[0])
        deeper = visible_entries(inner)[0] if inner and inner.is_dir() else []
        others = ""
        if listing.file is not None and listing.set_aside:
            others = f"; {counts_by_kind(listing.set_aside)} set aside"
        next_step = f"add {wording.nouns} of another class"
        if listing.file is None:
            next_step = f"add a folder with {wording.nouns} of another class"
        if len(deeper) >= 2:
            next_step = f"tl-app train {quoted(inner)}   if its sub-folders are the classes"
        raise DataError(
            "There is only one class, so there is nothing to tell apart.",
            received=f"{shown(listing.file or listing.root)}: {named(class_names)} "
            f"({counted(len(listing.candidates), wording.noun)})" + others,
            allowed=f"at least two classes: {wording.layouts}",
            next_step=next_step,
        )


def no_lines(listing: Listing, wording: Wording) -> DataError:
    """What to tell of a table of which no line can be used."""
    reasons = dict.fromkeys(entry.reason for entry in listing.set_aside)
    told = f": {counts_by_kind(listing.set_aside)} ({named(reasons, n=3)})" if reasons else ""
    return DataError(
        "No line of the table can be used."
        if reasons
        else "The table has no lines below its columns.",
        received=f"{shown(listing.file)}{told}",
        allowed=wording.layouts,
        next_step=f"head {quoted(listing.file)}",
    )


def no_files(listing: Listing, wording: Wording) -> DataError:
    """What to tell of a folder that has no file of a class."""
    root = listing.root
    folders, files = visible_entries(root)
    next_step = f"put {wording.nouns} into one sub-folder per class"
    if not folders and not files:
        problem, received = "The folder is empty.", shown(root)
    elif listing.set_aside:
        problem = f"No file in the folder can be used as a {wording.noun}."
        summary = set_aside_summary(listing.set_aside, len(listing.set_aside), wording.noun)
        received = f"{shown(root)}: {summary}"
    elif folders:
        problem = f"The folders hold no {wording.nouns}."
        found = suffix_summary(listing.other_suffixes) or "empty folders"
        received = f"{shown(root)}: {counted(len(folders), 'folder')} ({found})"
    else:
        problem = "The folder has no class folders."
        suffixes = Counter(os.path.splitext(name)[1].lower() for name in files)
        received = f"{shown(root)}: {suffix_summary(suffixes)}"
        if wording is not PICTURES:
            next_step += ", or name a table with them"
        elif suffixes.keys() & {".csv", ".tsv"}:
            columns = f"the columns {COLUMNS}"
            problem += f" It has tables, but none with {columns}."
            next_step = f"give one table {columns}"
    return DataError(problem, received=received, allowed=wording.layouts, next_step=next_step)


def require_enough(
    class_names: Sequence[str],
    usable: Counter[int],
    candidates: Counter[int],
    set_aside: Sequence[SetAside],
    settings: DataSettings,
    wording: Wording = PICTURES,
) -> None:
    """Refuse classes with too few examples, all of them at once."""
    minimum = settings.min_examples_per_class
    few = [label for label in range(len(class_names)) if usable[label] < minimum]
    if not few:
        return
    lower = max(2, min(usable[label] for label in few))
    next_step = f"add {wording.nouns}, or {wording.leave_out}"
    if lower < minimum and all(usable[label] >= lower for label in few):
        next_step += f", or allow fewer: --set data.min_examples_per_class={lower}"
    raise DataError(
        f"{len(few):,} of {counted(len(class_names), 'class', 'classes')} "
        f"{'has' if len(few) == 1 else 'have'} fewer than {minimum} usable {wording.nouns}.",
        received=named(
            f"{class_names[label]} ({usable[label]}"
            + (f" of {candidates[label]}" if candidates[label] > usable[label] else "")
            + ")"
            for label in few
        )
        + (f"; {counts_by_kind(set_aside)} set aside" if set_aside else ""),
        allowed=f"at least {minimum} {wording.nouns} of every class",
        next_step=next_step,
    )


def require_usable(dataset: Dataset[ExampleT], place: object, wording: Wording = PICTURES) -> None:
    if not dataset.examples:
        reasons = dict.fromkeys(entry.reason for entry in dataset.set_aside)
        raise DataError(
            f"No {wording.noun} can be used.",
            received=f"{shown(place)}: {named(reasons, n=3) or f'no {wording.nouns}'}",
            allowed=wording.layouts,
            next_step=wording.look,
        )


def require_sides(
    dataset: Dataset[ExampleT], *, test_required: bool, wording: Wording = PICTURES
) -> None:
    """Given sides must leave something to learn from and, if wanted, to test on."""
    given = dataset.given_sides
    if not given:
        return
    # Rows without a side are free to fill any; folders have none such.
    trainable = {e.label for e in dataset.examples if e.given_side in (None, "train")}
    untrained = [n for i, n in enumerate(dataset.class_names) if i not in trainable]
    if untrained:
        raise DataError(
            f"{counted(len(untrained), 'class', 'classes')} without a usable "
            f"{wording.noun} in train.",
            received=named(untrained),
            allowed=f"{wording.nouns} of every class in train",
            next_step=f"add training {wording.nouns}, or remove these classes from the other sides "
            "(names that differ only by letter case: --merge-classes)",
        )
    if test_required and "test" not in given and all(e.given_side for e in dataset.examples):
        raise DataError(
            f"There is no usable {wording.noun} for the test side.",
            received=f"{shown(dataset.source)}: sides {named(given)}",
            allowed="train and test (validation may be missing)",
            next_step=f"assign test {wording.nouns}, or train without them: --no-test",
        )
