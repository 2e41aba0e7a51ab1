"""What a SavedModel says about itself in plain files: its labels and its preprocessing.

assets/labels.txt           one class name a line, in class order
assets/preprocessing.json   modality, class names; image size, aspect policy, window and pixel
                            limit of pictures, vocabulary and most tokens of texts
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tl_app import __version__
from tl_app.errors import RunError
from tl_app.records import AnyProcessing, Modality, processing_from_dict

EXPORT_FORMAT = 2
"""Raised when a newer tl_app writes what an older one would misread."""

CLASSIFY = "classify"
"""The signature in TensorFlow Serving's own shape."""

REQUIRED_SIGNATURES = ("serving_default", "predict_tensor", "probabilities", "class_names")
"""Those of every format; `graph.build_serving_module` has all of the newest."""

STATUS_OK, STATUS_UNUSABLE = b"ok", b"unusable"
"""What a row is said to be; exports of format 1 do not say it."""

TOP_K = 5
"""Most labels that `serving_default` gives for a picture."""

LABELS_FILE = "labels.txt"
FACTS_FILE = "preprocessing.json"
NOTE_FILE = "NEEDS.txt"

# Whatever str.splitlines takes for the end of a line, and the escape character itself.
_ESCAPED = re.compile(r"[\\\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_ESCAPE = re.compile(r"\\(\\|u[0-9a-f]{4})")


def escape_label(name: str) -> str:
    r"""`name` on one line: a backslash as `\\`, an end of line as `\u000a` and the like."""
    return _ESCAPED.sub(lambda m: "\\\\" if m[0] == "\\" else f"\\u{ord(m[0]):04x}", name)


def unescape_label(line: str) -> str:
    """The inverse of `escape_label`."""
    return _ESCAPE.sub(lambda m: "\\" if m[1] == "\\" else chr(int(m[1][1:], 16)), line)


def encode_name(name: str) -> bytes:
    """UTF-8; names of folders that are not UTF-8 come out as the bytes they were."""
    return name.encode("utf-8", "surrogateescape")


def decode_name(name: bytes) -> str:
    """The inverse of `encode_name`."""
    return name.decode("utf-8", "surrogateescape")


def write_assets(
    folder: Path, modality: Modality, processing: AnyProcessing, class_names: Sequence[str]
) -> tuple[Path, Path]:
    """Write labels.txt and preprocessing.json into `folder`; returns their paths.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    labels, facts = folder / LABELS_FILE, folder / FACTS_FILE
    lines = "".join(escape_label(name) + "\n" for name in class_names)
    labels.write_bytes(encode_name(lines))
    values = {
        "format": EXPORT_FORMAT,
        "tl_app_version": __version__,
        "modality": modality,
        "preprocessing": processing.to_dict(),
        "class_names": list(class_names),
    }
    facts.write_text(json.dumps(values, indent=1) + "\n", encoding="ascii")
    return labels, facts


def write_note(version_folder: Path, needs: Sequence[str]) -> None:
    """Say beside the model what it cannot be loaded without; nothing where that is nothing.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    if not needs:
        return
    imports = "".join(f"    import {package}\n" for package in needs)
    installs = " ".join(package.replace("_", "-") for package in needs)
    (version_folder / NOTE_FILE).write_text(
        "This SavedModel uses operations that TensorFlow alone does not have. Before\n"
        f"tf.saved_model.load:\n\n{imports}\n(pip install {installs}). tl-app does it by itself.\n",
        encoding="ascii",
    )


def read_facts(version_folder: Path) -> dict[str, Any]:
    """What preprocessing.json of a version says.

    Returns:
        A dict with "format", "tl_app_version", "modality", "preprocessing" (a Preprocessing, of
        texts a TextProcessing) and "class_names" (a tuple of str).

    Raises:
        RunError: tl_app did not write this SavedModel, a newer one did, or it is damaged.
    """
    path = version_folder / "assets" / FACTS_FILE
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(
            f"{path.name} is not beside the model: tl-app export did not write it, or it is not "
            "wholly copied.",
            received=f"{path}: {error.strerror}",
            allowed="a version folder that tl-app export wrote",
            next_step="tl-app export RUN DEST",
        ) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    written = values.get("format") if isinstance(values, dict) else None
    if not isinstance(written, int):
        raise _damaged(path, "it has no format number")
    if written > EXPORT_FORMAT:
        raise RunError(
            "This SavedModel was written by a newer tl_app.",
            received=f"{version_folder}: format {written}",
            allowed=f"format {EXPORT_FORMAT} or older",
            next_step="pip install --upgrade tl_app",
        )
    try:
        # Those written before there were texts are for pictures.
        modality: Modality = values.get("modality", "image")
        return {
            **values,
            "modality": modality,
            "preprocessing": processing_from_dict(modality, values["preprocessing"]),
            "class_names": tuple(values["class_names"]),
        }
    except (KeyError, TypeError) as error:
        raise _damaged(path, f"{error} is missing or unknown") from error


def _damaged(path: Path, why: str) -> RunError:
    return RunError(
        f"A file of the SavedModel is damaged: {why}.",
        received=str(path),
        next_step="tl-app export RUN DEST",
    )
