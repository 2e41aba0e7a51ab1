"""From what the user named to a `Dataset`: list, check every file once, name the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tl_app.data.assembling import (
    build_dataset,
    existing,
    require_candidates,
    require_dataset,
    tell_listing,
)
from tl_app.data.checking import check_pictures
from tl_app.data.class_names import Purpose, fold, resolve_class_names
from tl_app.data.layout import list_folder, side_folders
from tl_app.data.listing import Candidate, Listing, named, quoted, shown
from tl_app.data.table import columns_of, list_table
from tl_app.data.tfds import TFDS_PREFIX, materialise
from tl_app.data.walk import visible_entries
from tl_app.data.wording import PICTURES
from tl_app.errors import ConfigError, DataError
from tl_app.progress import Reporter
from tl_app.records import Dataset, Example, Inspection

if TYPE_CHECKING:
    from tl_app.config import DataSettings


def scan(
    source: str,
    settings: DataSettings,
    *,
    inspect: Callable[[Path], Inspection],
    reporter: Reporter,
    test_required: bool,
    data_dir: Path | None = None,
    materialise_to: Path | None = None,
    known_class_names: Sequence[str] = (),
    table: Path | None = None,
    purpose: Purpose = "training",
) -> Dataset:
    """Find the pictures of `source`, look at each once and say what there is.

    Args:
        source: a folder, a CSV file whose paths are relative to its folder, or `tfds:NAME`.
        settings: `merge_classes` and `min_examples_per_class` matter here.
        inspect: tries one file; thread-safe; raises UnusablePicture.
        test_required: whether given sides must include a test side (False: --no-test).
        data_dir: where prepared tensorflow-datasets sets are; None takes their default.
        materialise_to: where pictures of such a set are unpacked; None takes the user's cache.
        known_class_names: of an earlier run or of the model; kept first, in their order.
        table: a CSV file with labels for `source`, which is then the folder of its paths.
        purpose: "training" needs two classes and enough pictures of each; "evaluation"
            takes any picture of `known_class_names` and needs no test side.

    Returns:
        Examples sorted by path; files that cannot be used are in `set_aside`, by path too.

    Raises:
        DataError: the source cannot be used for the purpose.
        ConfigError: `tfds:` is misspelt or combined with a table.
    """
    for_training = purpose == "training"
    listing = _list(
        source,
        table,
        data_dir=data_dir,
        materialise_to=materialise_to,
        test_required=test_required and for_training,
        reporter=reporter,
    )
    tell_listing(listing, reporter)
    class_names, label_of = resolve_class_names(
        listing.class_names,
        merge=settings.merge_classes,
        known=known_class_names,
        purpose=purpose,
        reporter=reporter,
    )
    listing.candidates.sort(key=lambda candidate: candidate.path)
    if for_training:
        require_candidates(listing, class_names, label_of, settings, PICTURES)

    paths = [candidate.path for candidate in listing.candidates]
    dataset = build_dataset(
        listing,
        check_pictures(listing.root, paths, inspect, reporter),
        _example,
        source=source,
        class_names=class_names,
        label_of=label_of,
        modality="image",
    )
    require_dataset(
        dataset,
        listing,
        label_of,
        settings,
        test_required=test_required,
        purpose=purpose,
        reporter=reporter,
    )
    return dataset


def _example(candidate: Candidate, label: int, found: Inspection) -> Example:
    return Example(
        path=candidate.path,
        label=label,
        given_side=candidate.side,
        given_group=candidate.group,
        **{name: getattr(found, name) for name in Inspection.__slots__},
    )


def _list(
    source: str,
    table: Path | None,
    *,
    data_dir: Path | None,
    materialise_to: Path | None,
    test_required: bool,
    reporter: Reporter,
) -> Listing:
    """Choose the reader that fits `source`."""
    if source.startswith(TFDS_PREFIX):
        if table is not None:
            raise ConfigError(
                "A prepared set brings its own labels and takes no table.",
                received=f"{source} with {shown(table)}",
                allowed="tfds:NAME alone, or a folder with a table",
                next_step="leave out --table",
            )
        folder = materialise(
            source.removeprefix(TFDS_PREFIX), data_dir, materialise_to, reporter=reporter
        )
        if not (folder / "table.csv").is_file():
            raise DataError(
                "The set has texts, and was prepared just now.",
                received=source,
                allowed="a set of pictures, or one of texts that is prepared already",
                next_step="run the same command again",
            )
        return list_table(folder / "table.csv", folder)

    root = existing(source, PICTURES)
    if root.is_file():
        if columns_of(root) is None and root.suffix.lower() not in (".csv", ".tsv"):
            raise DataError(
                "This is a file, not a folder of pictures.",
                received=shown(root),
                allowed=PICTURES.layouts,
                next_step=f"tl-app train {quoted(root.parent)}",
            )
        return list_table(root, root.parent) if table is None else list_table(table, root.parent)
    if table is not None:
        return list_table(table, root)

    folders, files = visible_entries(root)
    tables = [name for name in files if columns_of(root / name) is not None]
    if len(folders) >= 2 or side_folders(root, folders) is not None:
        listing = list_folder(root, test_required=test_required)
        if len(tables) == 1 and side_folders(root, folders) is None:
            labelled = _labels_of_no_folder(root, tables[0], folders)
            if labelled is not None and 2 * len(labelled.candidates) >= len(listing.candidates):
                return labelled
        if tables:
            listing.warnings.append(
                f"Classes come from the folders; {named(tables)} not used "
                f"(use it with --table {shown(root / tables[0])})."
            )
        return listing
    if len(tables) > 1:
        raise DataError(
            "More than one table could hold the labels.",
            received=f"{shown(root)}: {named(tables)}",
            allowed="one table",
            next_step=f"name it: --table {shown(root / tables[0])}",
        )
    if tables:
        return list_table(root / tables[0], root)
    return list_folder(root, test_required=test_required)


def _labels_of_no_folder(root: Path, table: str, folders: Sequence[str]) -> Listing | None:
    """The listing of a table whose labels are other words than the folders' names, or None.

    Folders such as site_a/ and site_b/ beside a table hold pictures and are no classes.
    """
    try:
        listing = list_table(root / table, root)
    except DataError:
        return None
    labels = {fold(label) for label in listing.class_names}
    if len(labels) < 2 or labels & {fold(folder) for folder in folders}:
        return None
    listing.warnings.append(
        f"The folders' names ({named(folders, n=3)}) are no labels of {shown(root / table)}; "
        "take that table away if the folders are the classes."
    )
    return listing
