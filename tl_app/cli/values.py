"""From the words of a command line to what the app takes."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_app.errors import ConfigError

if TYPE_CHECKING:
    from tl_app.config import Config
    from tl_app.data.source import Source
    from tl_app.records import Modality

# Flags of `train` that are settings: attribute of the parsed arguments -> key of the Config.
SETTING_FLAGS = {
    "backbone": "backbone",
    "weights": "weights",
    "seed": "seed",
    "batch_size": "batch_size",
    "image_size": "data.image_size_px",
    "aspect": "data.aspect",
    "cv": "cross_validation",
}
# Everything else that a resumed run has already decided.
FIXED_BY_RUN = (
    *("source", "table", "data_dir", "text_column", "label_column"),
    *("split_from", "name", "config"),
)


def path_or_none(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def source_of(arguments: Namespace) -> Source:
    """Where the labelled examples are, without TensorFlow."""
    from tl_app.data.source import Source

    return Source(
        arguments.source,
        table=path_or_none(getattr(arguments, "table", None)),
        data_dir=path_or_none(getattr(arguments, "data_dir", None)),
        text_column=arguments.text_column,
        label_column=arguments.label_column,
    )


def train_config(arguments: Namespace, modality: Modality) -> Config:
    """What `tl-app train` was told, by flags of its own as well."""
    from tl_app.config import without_mirroring

    more: dict[str, Any] = {}
    if arguments.no_test:
        more["data.test_fraction"] = 0.0
    if arguments.merge_classes:
        more["data.merge_classes"] = True
    if arguments.no_images:
        more["report_images"] = False
    loaded = config_of(arguments, modality, more)
    return without_mirroring(loaded) if arguments.no_flip else loaded


def config_of(
    arguments: Namespace, modality: Modality, more: Mapping[str, Any] | None = None
) -> Config:
    """The configuration of a file, of flags, of `more` and of --set, in this order."""
    from tl_app.cli.settings import judged

    given = {
        key: getattr(arguments, flag)
        for flag, key in SETTING_FLAGS.items()
        if getattr(arguments, flag, None) is not None
    }
    values = {**given, **(more or {})}
    return judged(path_or_none(arguments.config), arguments.overrides, values, modality=modality)


def refuse_settings_with_resume(arguments: Namespace) -> None:
    """
    Raises:
        ConfigError: something is given that the run has decided.
    """
    given = [
        "SOURCE" if name == "source" else f"--{name.replace('_', '-')}"
        for name in (*FIXED_BY_RUN, *SETTING_FLAGS)
        if getattr(arguments, name) is not None
    ]
    given += [
        f"--{name.replace('_', '-')}"
        for name in ("no_test", "merge_classes", "no_flip", "no_images")
        if getattr(arguments, name)
    ]
    given += ["--set"] if arguments.overrides else []
    if given:
        raise ConfigError(
            "A resumed run keeps its data and settings.",
            received=", ".join(given),
            allowed="--resume with --output, --json and --quiet only",
            next_step=f"tl-app train --resume {shlex.quote(arguments.resume)}",
        )


def labels_of(given: Sequence[str]) -> dict[str, int]:
    """
    Raises:
        ConfigError: one names no version.
    """
    found = {}
    for text in given:
        label, _, number = text.rpartition("=")
        if not label.rpartition("/")[2] or not (number.isascii() and number.isdigit()):
            raise ConfigError(
                "This label names no version.",
                received=f"--label {text}",
                allowed="LABEL=VERSION or MODEL/LABEL=VERSION, such as stable=3",
            )
        found[label] = int(number)
    return found


def gigabytes(text: str | None) -> float | None:
    """
    Raises:
        ConfigError: it is no size.
    """
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(
            "This is no size.",
            received=f"--limit-gb {text}",
            allowed="a number of gigabytes, 0 or more",
            next_step="tl-app cache prune --limit-gb 5",
        )
    return value
