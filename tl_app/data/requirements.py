"""What the data must have before a run is worth starting. Each check names all that fails it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tl_app.data.checking import counts_by_kind, set_aside_summary
from tl_app.data.listing import Listing, counted, named, shown, suffix_summary
from tl_app.data.table import COLUMNS
from tl_app.data.walk import visible_entries
from tl_app.errors import DataError
from tl_app.records import Dataset, SetAside

if TYPE_CHECKING:
    from tl_app.config import DataSettings

LAYOUTS = (
    "a folder with one sub-folder per class; train/, val/, test/ with class folders; "
    f"a folder with a CSV ({COLUMNS}); or tfds:NAME"
)


def require_classes(listing: Listing, class_names: Sequence[str]) -> None:
    root = listing.root
    if not listing.candidates:
        raise _no_pictures(listing)
    if len(class_names) < 2:
        inner = class_names and root.joinpath(class_names[0])
        deeper = visible_entries(inner)[0] if inner and inner.is_dir() else []
        raise DataError(
            "There is only one class, so there is nothing to tell apart.",
            received=f"{shown(root)}: {named(class_names)} "
            f"({counted(len(listing.candidates), 'picture')})",
            allowed=f"at least two classes: {LAYOUTS}",
            next_step=f"tl-app train {shown(inner)}   if its sub-folders are the classes"
            if len(deeper) >= 2
            else "add a folder with pictures of another class",
        )


def _no_pictures(listing: Listing) -> DataError:
    root = listing.root
    folders, files = visible_entries(root)
    next_step = "put pictures into one sub-folder per class"
    if not folders and not files:
        problem, received = "The folder is empty.", shown(root)
    elif listing.set_aside:
        problem = "No file in the folder can be used as a picture."
        received = f"{shown(root)}: {set_aside_summary(listing.set_aside, len(listing.set_aside))}"
    elif folders:
        problem = "The folders hold no pictures."
        found = suffix_summary(listing.other_suffixes) or "empty folders"
        received = f"{shown(root)}: {counted(len(folders), 'folder')} ({found})"
    else:
        problem = "The folder has no class folders."
        suffixes = Counter(os.path.splitext(name)[1].lower() for name in files)
        received = f"{shown(root)}: {suffix_summary(suffixes)}"
        if suffixes.keys() & {".csv", ".tsv"}:
            columns = f"the columns {COLUMNS}"
            problem += f" It has tables, but none with {columns}."
            next_step = f"give one table {columns}"
    return DataError(problem, received=received, allowed=LAYOUTS, next_step=next_step)


def require_enough(
    class_names: Sequence[str],
    usable: Counter[int],
    candidates: Counter[int],
    set_aside: Sequence[SetAside],
    settings: DataSettings,
) -> None:
    """Refuse classes with too few pictures, all of them at once."""
    minimum = settings.min_examples_per_class
    few = [label for label in range(len(class_names)) if usable[label] < minimum]
    if not few:
        return
    lower = max(2, min(usable[label] for label in few))
    next_step = "add pictures, or move these folders away"
    if lower < minimum and all(usable[label] >= lower for label in few):
        next_step += f", or allow fewer: --set data.min_examples_per_class={lower}"
    raise DataError(
        f"{len(few):,} of {counted(len(class_names), 'class', 'classes')} "
        f"{'has' if len(few) == 1 else 'have'} fewer than {minimum} usable pictures.",
        received=named(
            f"{class_names[label]} ({usable[label]}"
            + (f" of {candidates[label]}" if candidates[label] > usable[label] else "")
            + ")"
            for label in few
        )
        + (f"; {counts_by_kind(set_aside)} set aside" if set_aside else ""),
        allowed=f"at least {minimum} pictures of every class",
        next_step=next_step,
    )


def require_usable(dataset: Dataset) -> None:
    if not dataset.examples:
        reasons = dict.fromkeys(entry.reason for entry in dataset.set_aside)
        raise DataError(
            "No picture can be used.",
            received=f"{shown(dataset.root)}: {named(reasons, n=3) or 'no pictures'}",
            allowed=LAYOUTS,
            next_step="look at one of the files with `file PATH`",
        )


def require_sides(dataset: Dataset, *, test_required: bool) -> None:
    """Given sides must leave something to learn from and, if wanted, to test on."""
    given = dataset.given_sides
    if not given:
        return
    # Rows without a side are free to fill any; folders have none such.
    trainable = {e.label for e in dataset.examples if e.given_side in (None, "train")}
    untrained = [n for i, n in enumerate(dataset.class_names) if i not in trainable]
    if untrained:
        raise DataError(
            f"{counted(len(untrained), 'class', 'classes')} without a usable picture in train.",
            received=named(untrained),
            allowed="pictures of every class in train",
            next_step="add training pictures, or remove these classes from the other sides "
            "(names that differ only by letter case: --merge-classes)",
        )
    if test_required and "test" not in given and all(e.given_side for e in dataset.examples):
        raise DataError(
            "There is no usable picture for the test side.",
            received=f"{shown(dataset.source)}: sides {named(given)}",
            allowed="train and test (validation may be missing)",
            next_step="assign test pictures, or train without them: --no-test",
        )
