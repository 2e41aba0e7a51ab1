"""Folders of pictures or texts: one sub-folder a class, or train/, validation/, test/ with those.

Which of the two it is: a split layout has `train` and, besides, only folders named `val`,
`valid`, `validation` or `test` (in any case of letters), and `train` has folders below. Any
other folder of folders is one class each, whatever their names, so a class may be called
"test". Files may lie deeper inside a class folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tl_app.data.listing import Candidate, Listing, counted, named, shown
from tl_app.data.walk import (
    PICTURE_FILES,
    FileId,
    FileKind,
    Found,
    ancestor_ids,
    file_id,
    sort_file,
    visible_entries,
    walk,
)
from tl_app.errors import DataError
from tl_app.records import Side

SIDE_NAMES: dict[str, Side] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Names of folders and of `split` values, to be compared case-folded."""


class ClassFolder(NamedTuple):
    """A folder whose files are of one class; `path` is relative to the source folder."""

    path: str
    name: str
    side: Side | None


def side_folders(root: Path, folders: list[str]) -> dict[Side, str] | None:
    """The folder of each side if `root` has a split layout, else None.

    Raises:
        DataError: two folders stand for one side, or a split layout has folders beside it.
    """
    named_so = [name for name in folders if name.casefold() in SIDE_NAMES]
    train = [name for name in named_so if name.casefold() == "train"]
    if not train or not visible_entries(root / train[0])[0]:
        return None
    if len(named_so) < len(folders):
        _refuse_mixed(root, train[0], named_so, folders)
        return None
    found: dict[Side, str] = {}
    for name in named_so:
        side = SIDE_NAMES[name.casefold()]
        if side in found:
            raise DataError(
                f"Two folders stand for the {side} side.",
                received=f"{shown(root)}: {named([found[side], name])}",
                allowed="one folder a side: train, val (or valid, validation), test",
                next_step="merge the two folders or move one away",
            )
        found[side] = name
    return found


def _refuse_mixed(root: Path, train: str, named_so: list[str], folders: list[str]) -> None:
    """Sides with the same class folders beside other folders cannot be meant as classes."""
    below = set(visible_entries(root / train)[0])
    twins = [
        name
        for name in named_so
        if name != train and len(below.intersection(visible_entries(root / name)[0])) >= 2
    ]
    if twins:
        others = [name for name in folders if name not in named_so]
        raise DataError(
            "Folders stand beside train and test that are neither.",
            received=f"{shown(root)}: {named([train, *twins])} with the same class folders, "
            f"and {named(others)}",
            allowed="train, val (or valid, validation) and test alone, or class folders alone",
            next_step=f"move {named(others)} out of the folder",
        )


def list_folder(root: Path, *, test_required: bool, wanted: FileKind = PICTURE_FILES) -> Listing:
    """All candidates of a folder of pictures or texts.

    Args:
        root: absolute.
        test_required: whether a split layout must have a test side.
        wanted: which files are tried.

    Raises:
        DataError: nothing in it can be read as classes of such files.
    """
    folders, _ = visible_entries(root)
    sides = side_folders(root, folders)
    listing = Listing(root, has_sides=sides is not None)
    found = Found()
    if sides is None:
        class_folders = [ClassFolder(name, name, None) for name in folders]
        parents = [""]
    else:
        _check_sides(root, sides, test_required, wanted)
        class_folders = [
            ClassFolder(f"{parent}/{name}", name, side)
            for side, parent in sides.items()
            for name in visible_entries(root / parent)[0]
        ]
        parents = list(sides.values())
    _walk_classes(listing, found, class_folders, [root / parent for parent in parents], wanted)
    for parent in parents:
        _count_loose(listing, found, parent, wanted)
    listing.set_aside = found.set_aside
    listing.other_suffixes = found.other_suffixes
    _tell(listing, found, sides)
    return listing


def _tell(listing: Listing, found: Found, sides: dict[Side, str] | None) -> None:
    n_classes = len(listing.class_names)
    if sides is None:
        listing.messages.append(f"Found {counted(n_classes, 'class folder')}.")
    else:
        listing.messages.append(
            f"Found sides as given: {named(sides.values())}, with "
            f"{counted(n_classes, 'class', 'classes')}."
        )
        if "validation" not in sides:
            listing.messages.append("There is no validation folder: it is taken from train.")
    if found.n_loops:
        listing.messages.append(
            f"{counted(found.n_loops, 'symbolic link')} not followed, which would lead in circles "
            "or to another class."
        )
    if found.n_outside:
        listing.messages.append(
            f"{counted(found.n_outside, 'symbolic link')} out of the folder followed."
        )


def _check_sides(root: Path, sides: dict[Side, str], test_required: bool, wanted: FileKind) -> None:
    if not test_required:
        return
    if "test" not in sides:
        raise DataError(
            "The folder has a train side but no test side.",
            received=f"{shown(root)}: {named(sides.values())}",
            allowed="train and test (val, valid or validation may be missing)",
            next_step="add a test folder, or train without one: --no-test",
        )
    if not visible_entries(root / sides["test"])[0]:
        raise DataError(
            f"The test side has no class folders, so its {wanted.noun}s have no labels.",
            received=shown(root / sides["test"]),
            allowed="one sub-folder per class, as in train",
            next_step=f"sort its {wanted.noun}s into class folders, or train without it: --no-test",
        )


def _walk_classes(
    listing: Listing,
    found: Found,
    class_folders: list[ClassFolder],
    parents: list[Path],
    wanted: FileKind,
) -> None:
    """Fill `listing` with what lies in each class folder."""
    root = listing.root
    closed: set[FileId] = set()
    for parent in parents:
        closed |= ancestor_ids(parent)
    # A link to another class folder would give its files two labels; real folders go first.
    kept: dict[ClassFolder, FileId] = {}
    all_classes: set[FileId] = set()
    for folder in sorted(class_folders, key=lambda f: ((root / f.path).is_symlink(), f.path)):
        identity = file_id(root / folder.path)
        if identity in closed or identity in all_classes:
            found.n_loops += 1
        else:
            kept[folder] = identity
            all_classes.add(identity)
    for folder in sorted(kept, key=lambda f: f.path):
        before = len(found.files)
        walk(root, folder.path, closed | (all_classes - {kept[folder]}), found, wanted)
        listing.class_names.add(folder.name)
        listing.candidates.extend(
            Candidate(path, folder.name, folder.side) for path in found.files[before:]
        )


def _count_loose(listing: Listing, found: Found, parent: str, wanted: FileKind) -> None:
    """Files beside the class folders belong to no class."""
    loose = Found()
    for name in visible_entries(listing.root / parent)[1]:
        # Here a file without suffix is a README or a Makefile rather than an example.
        if "." in name:
            sort_file(f"{parent}/{name}" if parent else name, "file", loose, wanted)
        else:
            loose.other_suffixes["without suffix"] += 1
    found.other_suffixes.update(loose.other_suffixes)
    outside = sorted([*loose.files, *(entry.path for entry in loose.set_aside)])
    if outside and listing.candidates:
        listing.warnings.append(
            f"{counted(len(outside), wanted.noun)} outside any class folder left out: "
            f"{named(outside, n=3)}."
        )
