"""Sets prepared by tensorflow-datasets, unpacked once into files and a table.

    tfds:NAME[/CONFIG][:VERSION]

The prepared set is looked for in the data folder first, so nothing is asked of the
network for one that is there. The encoded pictures are written as they are, to
`<name>-<version>-<digest>/<split>/<class>/<index>.<suffix>`, beside `table.csv`, which is
what the scan then reads; texts become `texts.jsonl`. A finished folder is used again; an
unfinished one has a hidden temporary name and is removed by the next attempt.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tl_app.data.layout import SIDE_NAMES
from tl_app.data.listing import counted, named, shown
from tl_app.data.tfds_download import download
from tl_app.errors import ConfigError, DataError
from tl_app.progress import Reporter
from tl_app.run import safe_name
from tl_app.storage import storage_errors

TFDS_PREFIX = "tfds:"
TEXTS_FILE = "texts.jsonl"
NAME = re.compile(r"([A-Za-z]\w*)(?:/([\w.+-]+))?(?::(\d+\.\d+\.\d+))?")
SIGNATURES = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"RIFF", ".webp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)


def materialise(
    name: str, data_dir: Path | None, materialise_to: Path | None, *, reporter: Reporter
) -> Path:
    """The folder that holds `table.csv` and the pictures of a prepared set, or `texts.jsonl`.

    Args:
        name: `NAME[/CONFIG][:VERSION]`; without a version the newest prepared one.
        data_dir: the data folder of tensorflow-datasets; None takes `TFDS_DATA_DIR` or its default.
        materialise_to: where the files go; None takes the user's cache.

    Raises:
        ConfigError: the name is malformed, or tensorflow-datasets is not installed.
        DataError: there is no such set, it cannot be had, or it is no set of labelled pictures
            or texts.
        StorageError: the disk is full or cannot be written.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ConfigError(
            "This is no name of a prepared set.",
            received=f"tfds:{shown(name)}",
            allowed="tfds:NAME, tfds:NAME:VERSION or tfds:NAME/CONFIG:VERSION (version as 1.2.3)",
            next_step="tl-app train tfds:tf_flowers",
        )
    set_name, config, version = match.groups()
    data_dir = _data_dir(data_dir)
    folder = _prepared_folder(data_dir, set_name, config, version)
    if folder is None:
        folder = download(import_tfds(), data_dir, set_name, config, version, reporter)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tl_app" / "tfds"
    return _unpack(folder, set_name, config, (materialise_to or cache).absolute(), reporter)


def holds_texts(name: str, data_dir: Path | None) -> bool:
    """Whether a set that is prepared on this machine has texts and no pictures.

    Needs no tensorflow-datasets. False also for what is not prepared yet.
    """
    match = NAME.fullmatch(name)
    if match is None:
        return False
    set_name, config, version = match.groups()
    try:
        folder = _prepared_folder(_data_dir(data_dir), set_name, config, version)
        if folder is None:
            return False
        features = json.loads((folder / "features.json").read_bytes())
        kinds = {
            str(feature["pythonClassName"]).rsplit(".", 1)[-1]
            for feature in features["featuresDict"]["features"].values()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError):
        return False
    return "Text" in kinds and "Image" not in kinds


def _data_dir(given: Path | None) -> Path:
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(given or default).expanduser().absolute()


def import_tfds() -> Any:
    """The package, imported late: it takes a second.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ConfigError(
            f"tensorflow-datasets cannot be imported: {error}.",
            allowed="an installed tensorflow-datasets",
            next_step="pip install tensorflow-datasets importlib_resources",
        ) from error
    return tensorflow_datasets


def _prepared_folder(
    data_dir: Path, name: str, config: str | None, version: str | None
) -> Path | None:
    """The newest matching folder with a finished set, or None.

    Raises:
        DataError: the set is prepared in several configurations and none was named.
    """
    base = data_dir / name
    found: list[tuple[tuple[int, ...], str, Path]] = []
    for info in [*base.glob("*/dataset_info.json"), *base.glob("*/*/dataset_info.json")]:
        folder = info.parent
        configured = folder.parent.name if folder.parent != base else None
        if not re.fullmatch(r"\d+\.\d+\.\d+", folder.name):
            continue
        if config in (None, configured) and version in (None, folder.name):
            order = tuple(int(part) for part in folder.name.split("."))
            found.append((order, configured or "", folder))
    configs = sorted({entry[1] for entry in found})
    if len(configs) > 1:
        raise DataError(
            "The set is prepared in several configurations.",
            received=f"tfds:{name}",
            allowed=named(f"tfds:{name}/{c}" for c in configs if c),
            next_step="name one of them",
        )
    return max(found)[2] if found else None


def _unpack(
    prepared: Path, name: str, config: str | None, destination: Path, reporter: Reporter
) -> Path:
    """Write the pictures of a prepared set below `destination`, or find them written."""
    config = config or (prepared.parent.name if prepared.parent.name != name else None)
    digest = hashlib.sha256((prepared / "dataset_info.json").read_bytes()).hexdigest()[:8]
    stem = "-".join(part for part in (name, config, prepared.name, digest) if part)
    final = destination / safe_name(stem, limit=120)
    if (final / "table.csv").is_file() or (final / TEXTS_FILE).is_file():
        reporter.message(f"The contents of tfds:{name} {prepared.name} are in {shown(final)}.")
        return final
    with storage_errors(destination):
        destination.mkdir(parents=True, exist_ok=True)
        with _locked(destination / f".{final.name}.lock"):
            if final.exists():
                return final
            prefix = f".{final.name}.partial-"
            for leftover in destination.glob(f"{prefix}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix=prefix, dir=destination))
            try:
                _write_files(prepared, partial, reporter)
                partial.chmod(0o755)
                partial.rename(final)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    return final


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process unpacks, others wait; the system releases the lock of a killed one."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_files(prepared: Path, folder: Path, reporter: Reporter) -> None:
    tfds = import_tfds()
    builder = tfds.builder_from_directory(os.fspath(prepared))
    is_text, content, label = _feature_names(tfds, builder)
    class_names = builder.info.features[label].names
    splits = {split: SIDE_NAMES.get(split.casefold()) for split in builder.info.splits}
    used = [split for split, side in splits.items() if side]
    if not used and len(splits) == 1:
        used = list(splits)
    if not used:
        raise DataError(
            "The set has no split that is called train.",
            received=f"{shown(prepared)}: splits {named(splits)}",
            allowed="train, validation, test, or a single split",
            next_step="export its pictures to a folder and train on that",
        )
    if left_out := [split for split in splits if split not in used]:
        reporter.message(f"Splits of the set that are not used: {named(left_out)}.")
    unsplit = len(used) == 1
    if is_text:
        _write_texts(
            tfds,
            builder,
            folder,
            {s: "" if unsplit else splits[s] for s in used},
            (content, label),
            reporter,
        )
        return

    sheet = io.StringIO()
    rows = csv.writer(sheet, lineterminator="\n")
    rows.writerow(["path", "label", "split"])
    n_unlabelled = 0
    for split in used:
        n_examples = builder.info.splits[split].num_examples
        with reporter.bar(f"Unpacking {split}", n_examples, "images") as bar:
            for i, (encoded, index) in enumerate(_encoded(tfds, builder, split, content, label)):
                bar.advance()
                if not 0 <= index < len(class_names):
                    n_unlabelled += 1
                    continue
                path = f"{split}/{_class_folder(class_names, index)}/{i:07d}{_suffix(encoded)}"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(encoded)
                rows.writerow([path, class_names[index], "" if unsplit else splits[split]])
    if n_unlabelled:
        reporter.warn(f"{counted(n_unlabelled, 'picture')} of the set without a label left out.")
    (folder / "table.csv").write_text(sheet.getvalue(), encoding="utf-8", newline="")


def _write_texts(
    tfds: Any,
    builder: Any,
    folder: Path,
    sides: Mapping[str, str | None],
    keys: tuple[str, str],
    reporter: Reporter,
) -> None:
    """One object a line, with text, label and split; what has no label is left out."""
    content, label = keys
    class_names = builder.info.features[label].names
    n_unlabelled = 0
    with (folder / TEXTS_FILE).open("w", encoding="utf-8") as file:
        for split, side in sides.items():
            with reporter.bar(
                f"Unpacking {split}", builder.info.splits[split].num_examples, "texts"
            ) as bar:
                for raw, index in _encoded(tfds, builder, split, content, label, decoded=True):
                    bar.advance()
                    if not 0 <= index < len(class_names):
                        n_unlabelled += 1
                        continue
                    text = raw.decode("utf-8", "surrogateescape")
                    row = {"text": text, "label": class_names[index], "split": side}
                    file.write(json.dumps(row) + "\n")
    if n_unlabelled:
        reporter.warn(f"{counted(n_unlabelled, 'text')} of the set without a label left out.")


def _feature_names(tfds: Any, builder: Any) -> tuple[bool, str, str]:
    """Whether it is a set of texts, and the keys of the picture or text and of its class."""
    features = builder.info.features
    is_text = not any(isinstance(value, tfds.features.Image) for value in features.values())
    kinds = {
        "content": tfds.features.Text if is_text else tfds.features.Image,
        "label": tfds.features.ClassLabel,
    }
    found = {
        what: [key for key, value in features.items() if isinstance(value, kind)]
        for what, kind in kinds.items()
    }
    supervised = builder.info.supervised_keys or ()
    chosen = {
        what: [key for key in keys if key in supervised] or keys for what, keys in found.items()
    }
    if len(chosen["content"]) != 1 or len(chosen["label"]) != 1:
        described = (f"{key} ({type(value).__name__})" for key, value in sorted(features.items()))
        raise DataError(
            "The set is not one of labelled pictures or texts.",
            received=f"{shown(builder.info.full_name)}: {named(described)}",
            allowed="one Image or one Text, and one ClassLabel, for each example",
            next_step="choose another set, or export it to a folder or a table",
        )
    return is_text, chosen["content"][0], chosen["label"][0]


def _encoded(
    tfds: Any, builder: Any, split: str, content: str, label: str, *, decoded: bool = False
) -> Iterator[tuple[bytes, int]]:
    """Encoded pictures (or texts, `decoded`) and class indices in the order of the files."""
    decoders = tfds.decode.PartialDecoding(
        {content: True, label: True},
        decoders=None if decoded else {content: tfds.decode.SkipDecoding()},
    )
    rows = builder.as_dataset(
        split=split,
        decoders=decoders,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    for row in tfds.as_numpy(rows):
        yield bytes(row[content]), int(row[label])


def _class_folder(class_names: list[str], index: int) -> str:
    """The class's own name where it can be a folder's; the table has the true one anyway."""
    name = class_names[index]
    return name if safe_name(name) == name else f"{index:04d}-{safe_name(name)}"


def _suffix(encoded: bytes) -> str:
    return next((suffix for start, suffix in SIGNATURES if encoded.startswith(start)), "")
