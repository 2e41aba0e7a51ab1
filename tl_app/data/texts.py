"""From a table or folder of texts to a `Dataset`, as `scan` does for pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tl_app.data.assembling import (
    build_dataset,
    existing,
    require_candidates,
    require_dataset,
    tell_listing,
)
from tl_app.data.checking import check_files
from tl_app.data.class_names import Purpose, resolve_class_names
from tl_app.data.delimited import first_line, parse_header
from tl_app.data.layout import list_folder, side_folders
from tl_app.data.line_tables import JSON_SUFFIXES
from tl_app.data.listing import Candidate, Listing, shown
from tl_app.data.requirements import require_classes
from tl_app.data.text_columns import EXPECTED, has_text_column
from tl_app.data.text_files import read_text_file
from tl_app.data.text_tables import DELIMITED_SUFFIXES, PARQUET_SUFFIXES, list_text_table
from tl_app.data.tfds import TEXTS_FILE, TFDS_PREFIX, materialise
from tl_app.data.walk import PICTURE_FILES, TEXT_FILES, visible_entries
from tl_app.data.wording import TEXTS
from tl_app.errors import ConfigError, DataError
from tl_app.progress import Bar, Reporter, SilentBar
from tl_app.records import Dataset, SetAside, TextExample

if TYPE_CHECKING:
    from tl_app.config import DataSettings

MAX_CHARACTERS = 200_000
BAR_FROM_FILES = 5_000
N_FIRST_FILES = 20
"""`is_text_source` looks at so many files of each class folder."""


def scan_texts(
    source: str,
    settings: DataSettings,
    *,
    reporter: Reporter,
    test_required: bool,
    known_class_names: Sequence[str] = (),
    text_column: str | None = None,
    label_column: str | None = None,
    data_dir: Path | None = None,
    materialise_to: Path | None = None,
    purpose: Purpose = "training",
    max_characters: int = MAX_CHARACTERS,
) -> Dataset[TextExample]:
    """Read the texts of `source`, each once, and say what there is.

    Args:
        source: a CSV, TSV, JSON lines or Parquet file, a folder of .txt files by class, or
            `tfds:NAME`.
        settings: `merge_classes` and `min_examples_per_class` matter here.
        test_required: whether given sides must include a test side (False: --no-test).
        known_class_names: of an earlier run or of the model; kept first, in their order.
        text_column, label_column: of a table, in any case of letters; None guesses.
        data_dir: where prepared tensorflow-datasets sets are; None takes their default.
        materialise_to: where texts of such a set are unpacked; None takes the user's cache.
        purpose: "training" needs two classes and enough texts of each; "evaluation" takes
            any text of `known_class_names` and needs no test side.
        max_characters: longer texts are set aside.

    Returns:
        Examples by line or path; what cannot be used is in `set_aside`.

    Raises:
        DataError: the source cannot be used for the purpose.
        ConfigError: columns are named for a folder.
    """
    for_training = purpose == "training"
    place = source
    if source.startswith(TFDS_PREFIX):
        folder = materialise(
            source.removeprefix(TFDS_PREFIX), data_dir, materialise_to, reporter=reporter
        )
        place = str(_texts_of(folder, source))
    root = existing(place, TEXTS)
    if root.is_dir():
        _refuse_columns(root, text_column, label_column)
        listing = list_folder(root, test_required=test_required and for_training, wanted=TEXT_FILES)
        listing.candidates.sort(key=lambda candidate: candidate.path)
        results = None
    else:
        listing, results = list_text_table(
            root,
            text_column=text_column,
            label_column=label_column,
            max_characters=max_characters,
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
    if for_training and results is not None:
        require_classes(listing, class_names, TEXTS)
    elif for_training:
        require_candidates(listing, class_names, label_of, settings, TEXTS)
    if results is None:
        results = _read_files(listing, max_characters, reporter)
    dataset = build_dataset(
        listing,
        results,
        _example,
        source=source,
        class_names=class_names,
        label_of=label_of,
        modality="text",
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


def _texts_of(folder: Path, source: str) -> Path:
    """The table of an unpacked set."""
    file = folder / TEXTS_FILE
    if not file.is_file():
        raise DataError(
            "The set has pictures, and texts are wanted.",
            received=source,
            allowed="a set with one Text and one ClassLabel for each example",
        )
    return file


def _read_files(listing: Listing, max_characters: int, reporter: Reporter) -> list[str | SetAside]:
    paths = [candidate.path for candidate in listing.candidates]
    bar: AbstractContextManager[Bar] = nullcontext(SilentBar())
    if len(paths) >= BAR_FROM_FILES:
        bar = reporter.bar("Reading texts", len(paths), "texts")
    with bar as running:
        read = partial(read_text_file, max_characters=max_characters)
        return check_files(listing.root, paths, read, running)


def _example(candidate: Candidate, label: int, text: str) -> TextExample:
    return TextExample(
        path=candidate.path,
        label=label,
        given_side=candidate.side,
        given_group=candidate.group,
        text=text,
        text_hash=_digest(text),
        normal_hash=_digest(" ".join(text.split())),
        n_characters=len(text),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_columns(root: Path, text_column: str | None, label_column: str | None) -> None:
    wanted = [f"--text-column {text_column}"] if text_column is not None else []
    wanted += [f"--label-column {label_column}"] if label_column is not None else []
    if wanted:
        raise ConfigError(
            "Columns can be named for a table only; this is a folder.",
            received=f"{shown(root)} with {shown(' '.join(wanted))}",
            allowed=TEXTS.layouts,
            next_step="name the table, or leave the columns out",
        )


def is_text_source(source: str) -> bool:
    """Whether a path is a table of texts, or a folder with .txt files and no pictures.

    A cheap look: at a table's name and first line, or at the first files of each class folder.
    False also for what is not there or cannot be read; the scans say why.
    """
    path = Path(source).expanduser()
    try:
        if not source or "\0" in source:
            return False
        if path.is_dir():
            return _is_text_folder(path)
        return path.is_file() and _is_text_table(path)
    except (OSError, DataError):
        return False


def _is_text_table(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix in (*JSON_SUFFIXES, *PARQUET_SUFFIXES):
        return True
    header = first_line(file)
    if header is None:
        return False
    return has_text_column(
        parse_header(header, (*EXPECTED, "path"))[0], is_table=suffix in DELIMITED_SUFFIXES
    )


def _is_text_folder(root: Path) -> bool:
    folders, loose = visible_entries(root)
    if not folders:  # no classes, as is then said
        return bool(loose) and {_suffix(name) for name in loose} <= TEXT_FILES.tried
    sides = side_folders(root, folders)
    parents = [root] if sides is None else [root / name for name in sides.values()]
    has_texts = False
    for parent in parents:
        for name in visible_entries(parent)[0]:
            files = (entry for _, _, names in os.walk(parent / name) for entry in sorted(names))
            for entry in islice(files, N_FIRST_FILES):
                suffix = _suffix(entry)
                if suffix in PICTURE_FILES.tried:
                    return False
                has_texts = has_texts or suffix in TEXT_FILES.tried
    return has_texts


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
