"""What the scans of pictures and of texts have in common: telling, counting, refusing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tl_app.data.checking import set_aside_summary
from tl_app.data.class_names import Purpose
from tl_app.data.json_lines import refuse_document
from tl_app.data.listing import (
    Candidate,
    Listing,
    by_place,
    counted,
    quoted,
    shown,
    suffix_summary,
)
from tl_app.data.places import require_regular
from tl_app.data.requirements import (
    no_files,
    require_classes,
    require_enough,
    require_sides,
    require_usable,
)
from tl_app.data.text_tables import is_table_file
from tl_app.data.walk import visible_entries
from tl_app.data.wording import PICTURES, TABLES, TEXTS, WORDINGS, Wording
from tl_app.errors import DataError, did_you_mean
from tl_app.progress import Reporter
from tl_app.records import SIDES, Dataset, ExampleT, Modality, SetAside

if TYPE_CHECKING:
    from tl_app.config import DataSettings

T = TypeVar("T")


def existing(source: str, wording: Wording) -> Path:
    """The absolute path of a folder or a file that can be read.

    Raises:
        DataError: it is not there, is a pipe, a device or one JSON document, or cannot hold classes
            of texts.
    """
    root = Path(os.path.abspath(Path(source).expanduser()))
    allowed = TABLES if is_table_file(root) else wording.layouts
    if "\0" in source or not root.exists():
        raise _missing(source, root, wording, allowed)
    if not root.is_dir():
        require_regular(root, allowed)
        refuse_document(root)
    elif wording is TEXTS and not visible_entries(root)[0]:
        raise no_files(Listing(root), TEXTS)
    return root


def _missing(source: str, root: Path, wording: Wording, allowed: str) -> DataError:
    is_table = is_table_file(root)
    parent = next((p for p in root.parents if "\0" not in str(p) and p.is_dir()), Path("/"))
    missing = root.relative_to(parent).parts[0]
    folders, files = visible_entries(parent)
    siblings = folders if wording is PICTURES and not is_table else [*folders, *files]
    hint = did_you_mean(missing, siblings)
    hint += did_you_mean(source, ["tfds:"]) if source.lower().startswith("tfds") else ""
    return DataError(
        f"There is no such {'table' if is_table else wording.place}." + hint,
        received=shown(source),
        allowed=allowed,
        next_step=f"ls {quoted(parent)}",
    )


def tell_listing(listing: Listing, reporter: Reporter) -> None:
    """Say what the reader of `listing` has to tell."""
    for text in listing.messages:
        reporter.message(text)
    for text in listing.warnings:
        reporter.warn(text)
    if listing.other_suffixes:
        n_others = sum(listing.other_suffixes.values())
        reporter.message(
            f"{counted(n_others, 'other file')} left alone: "
            f"{suffix_summary(listing.other_suffixes)}."
        )


def require_candidates(
    listing: Listing,
    class_names: Sequence[str],
    label_of: Mapping[str, int],
    settings: DataSettings,
    wording: Wording,
) -> None:
    """Refuse at once, before any file is opened, what cannot do for training."""
    counts = _count_candidates(listing, label_of)
    require_classes(listing, class_names, wording)
    require_enough(class_names, counts, counts, listing.set_aside, settings, wording)


def build_dataset(
    listing: Listing,
    results: Sequence[T | SetAside],
    make: Callable[[Candidate, int, T], ExampleT],
    *,
    source: str,
    class_names: tuple[str, ...],
    label_of: Mapping[str, int],
    modality: Modality,
) -> Dataset[ExampleT]:
    """The usable candidates as examples, the others set aside.

    Args:
        results: what a look at each of `listing.candidates` found.
        make: from a candidate, its label and what was found to an example.
        source: what the user named.
        label_of: the label of each spelling of a class.
    """
    examples, set_aside = [], list(listing.set_aside)
    for candidate, result in zip(listing.candidates, results, strict=True):
        if isinstance(result, SetAside):
            set_aside.append(result)
        else:
            examples.append(make(candidate, label_of[candidate.class_name], result))
    given_sides = {example.given_side for example in examples}
    return Dataset(
        root=str(listing.root),
        source=source,
        class_names=class_names,
        examples=tuple(examples),
        set_aside=tuple(sorted(set_aside, key=by_place)),
        given_sides=tuple(side for side in SIDES if side in given_sides),
        modality=modality,
    )


def require_dataset(
    dataset: Dataset[ExampleT],
    listing: Listing,
    label_of: Mapping[str, int],
    settings: DataSettings,
    *,
    test_required: bool,
    purpose: Purpose,
    reporter: Reporter,
) -> None:
    """Say what was set aside, and refuse what cannot do for the purpose."""
    wording = WORDINGS[dataset.modality]
    if dataset.set_aside:
        n_all = len(dataset.examples) + len(dataset.set_aside)
        reporter.warn(set_aside_summary(dataset.set_aside, n_all, wording.noun))
    require_usable(dataset, listing.file or listing.root, wording)
    if purpose == "training":
        usable = Counter(example.label for example in dataset.examples)
        candidates = _count_candidates(listing, label_of)
        names, set_aside = dataset.class_names, dataset.set_aside
        require_enough(names, usable, candidates, set_aside, settings, wording)
        require_sides(dataset, test_required=test_required, wording=wording)


def _count_candidates(listing: Listing, label_of: Mapping[str, int]) -> Counter[int]:
    return Counter(label_of[candidate.class_name] for candidate in listing.candidates)
