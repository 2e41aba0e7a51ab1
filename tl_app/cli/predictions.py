"""Predictions as JSON values and as a file of comma-separated values."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tl_app.errors import ConfigError

if TYPE_CHECKING:
    from tl_app.records import Predictions


def refuse_existing(file: Path, *, force: bool) -> None:
    """Raises: ConfigError: `file` exists: an hour of labelling may be in it; or is a folder."""
    if file.is_dir():
        raise ConfigError(
            "The predictions need a file, and this is a folder.",
            received=f"--csv {file}",
            allowed="the name of a file",
            next_step=f"--csv {file / 'predictions.csv'}",
        )
    if not force and os.path.lexists(file):
        raise ConfigError(
            "The file for the predictions exists already.",
            received=f"--csv {file}",
            allowed="a new file",
            next_step="give another name, or add --force to write over it",
        )


def prediction_rows(predictions: Predictions) -> list[dict[str, Any]]:
    """One row a picture or text; of a text, with the text itself."""
    rows: list[dict[str, Any]] = []
    columns = predictions.paths, predictions.labels, predictions.probabilities.tolist()
    for i, (path, label, values) in enumerate(zip(*columns, strict=True)):
        said = dict(zip(predictions.class_names, values, strict=True))
        text = {} if predictions.texts is None else {"text": predictions.texts[i]}
        rows.append(
            {
                "path": path,
                **text,
                "label": label,
                "probability": said[label],
                "probabilities": said,
            }
        )
    return rows


def write_csv(path: Path, predictions: Predictions) -> None:
    """path, of texts the text, label, probability, then `p_<class>` in class order."""
    from tl_app.storage import write_atomic

    text = io.StringIO(newline="")
    # A lone carriage return, as a text may hold, is not quoted by itself.
    writer = csv.writer(
        text,
        lineterminator="\n",
        quoting=csv.QUOTE_MINIMAL if predictions.texts is None else csv.QUOTE_ALL,
    )
    columns = {"path": predictions.paths}
    if predictions.texts is not None:
        columns["text"] = predictions.texts
    names = [f"p_{name}" for name in predictions.class_names]
    writer.writerow([*columns, "label", "probability", *names])
    for *given, best, row in zip(
        *columns.values(), predictions.y_pred, predictions.probabilities, strict=True
    ):
        figures = [format(float(value), ".7g") for value in row]
        writer.writerow([*given, predictions.class_names[best], figures[best], *figures])
    # File names that are no UTF-8 are written as the bytes that they are.
    content = text.getvalue().encode("utf-8", "surrogateescape")

    def write(file: IO[bytes]) -> None:
        file.write(content)

    write_atomic(Path(os.path.abspath(path)), write, elsewhere="name another file with --csv FILE")
