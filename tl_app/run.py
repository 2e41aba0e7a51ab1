"""The run folder: every artefact's name in one place, one writer at a time.

<output>/models/<run>/       what this module names
<output>/reports/<run>/      index.html
"""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tl_app.config import Config
from tl_app.errors import ConfigError, RunError
from tl_app.findings import Audit
from tl_app.records import (
    AnyProcessing,
    Dataset,
    Evaluation,
    Predictions,
    Side,
    Split,
    processing_from_dict,
)
from tl_app.storage import damaged, read_arrays, read_json, storage_errors, write_arrays, write_json

T = TypeVar("T")

RUN_FORMAT = 1
"""Raised when a newer tl_app writes what an older one would misread."""


def safe_name(text: str, *, limit: int = 60) -> str:
    """A folder name out of any text: letters, digits, '.', '_' and '-' only."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")
    return name[:limit] or "run"


class RunFolder:
    """One run on disk. Methods read and write; names of files stand here only."""

    def __init__(self, path: Path, output: Path) -> None:
        self.path = path
        self.output = output

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    # --- names -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def info_file(self) -> Path:
        return self.path / "run.json"

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def dataset_file(self) -> Path:
        return self.path / "dataset.json"

    @property
    def split_file(self) -> Path:
        return self.path / "split.json"

    @property
    def decisions_file(self) -> Path:
        """What was chosen by looking at the machine; read again, not chosen again, on resume."""
        return self.path / "decisions.json"

    @property
    def environment_file(self) -> Path:
        return self.path / "environment.json"

    @property
    def history_file(self) -> Path:
        return self.path / "history.json"

    @property
    def evaluation_file(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def audit_file(self) -> Path:
        """What is wrong with the data."""
        return self.path / "audit.json"

    @property
    def fixes_file(self) -> Path:
        """What is proposed for it, one file a row."""
        return self.path / "fixes.csv"

    @property
    def probes_file(self) -> Path:
        """What kept features tell by themselves: cross-validation, accuracy by size, rivals."""
        return self.path / "probes.json"

    @property
    def calibration_file(self) -> Path:
        """The temperature that is in the model's last layer, and what it was fitted on."""
        return self.path / "calibration.json"

    @property
    def telling_file(self) -> Path:
        """Of texts that were told wrongly: which words told the most."""
        return self.path / "telling.json"

    @property
    def heat_file(self) -> Path:
        """Of pictures that were told wrongly: where the model looked."""
        return self.path / "heat_maps.json"

    @property
    def traits_file(self) -> Path:
        """What the evaluated examples are like, beside their classes."""
        return self.path / "traits.json"

    @property
    def cost_file(self) -> Path:
        """Measured latency, sizes and memory."""
        return self.path / "cost.json"

    @property
    def small_formats_file(self) -> Path:
        """How the model in small formats compares; there where some were exported."""
        return self.path / "small_formats.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def mlflow_file(self) -> Path:
        """Which run of MLflow is this one's; there where that tracker is on."""
        return self.path / "mlflow.json"

    @property
    def keras_model(self) -> Path:
        return self.path / "model.keras"

    @property
    def saved_model(self) -> Path:
        """Versions of the export live below, as TensorFlow Serving wants them."""
        return self.path / "saved_model"

    @property
    def report(self) -> Path:
        return self.output / "reports" / self.name / "index.html"

    @property
    def model_card(self) -> Path:
        """Beside the report."""
        return self.report.with_name("model_card.md")

    def adapter_file(self, phase: str) -> Path:
        """The low-rank updates of a phase that trained some, and the head, on their own."""
        return self.path / "adapters" / f"{phase}.safetensors"

    def predictions_file(self, side: Side) -> Path:
        return self.path / "predictions" / f"{side}.npz"

    # --- life --------------------------------------------------------------------------

    @classmethod
    def create(cls, output: Path, name: str, *, exact: bool = False) -> RunFolder:
        """Make a new folder; an existing run is never touched.

        Args:
            output: holds `models/` and `reports/`.
            name: wished name; a number is appended when it is taken, unless `exact`.

        Raises:
            RunError: `exact` and the name is taken.
            StorageError: the folder cannot be made.
        """
        for attempt in range(1, 1000):
            path = output / "models" / (name if attempt == 1 else f"{name}-{attempt}")
            if (output / "reports" / path.name).exists() and not exact:
                continue
            with storage_errors(output):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    path.mkdir()
                except FileExistsError:
                    if exact:
                        raise _name_taken(path) from None
                    continue
            return cls(path, output)
        raise RunError("A thousand runs of this name exist.", received=name)

    @classmethod
    def require_free(cls, output: Path, name: str) -> None:
        """Look before the work whether a wished name can be had.

        Raises:
            ConfigError: it is no plain folder name.
            RunError: a run of this name exists.
        """
        if safe_name(name) != name:
            raise ConfigError(
                "This cannot be the name of a run.",
                received=name,
                allowed="at most 60 letters, digits, '.', '_' and '-', not beginning or ending "
                "with a sign",
                next_step=f"--name {safe_name(name)}",
            )
        for path in (output / "models" / name, output / "reports" / name):
            if path.exists():
                raise _name_taken(path)

    @classmethod
    def open(cls, reference: str | os.PathLike[str], output: Path) -> RunFolder:
        """A run by its folder, or by its name below `output`/models.

        Raises:
            RunError: there is none, it is no run, or a newer tl_app wrote it.
        """
        places = [Path(reference)]
        if os.sep not in os.fspath(reference):
            places.append(output / "models" / reference)
        path = next((p for p in places if (p / "run.json").is_file()), None)
        if path is None:
            known = sorted(p.parent.name for p in (output / "models").glob("*/run.json"))
            raise RunError(
                "There is no run here.",
                received=str(reference),
                allowed="a folder below models/ that tl-app train wrote"
                + (f": {', '.join(known[-5:])}" if known else ""),
                next_step="tl-app train FOLDER",
            )
        path = path.resolve()
        run = cls(path, path.parent.parent if path.parent.name == "models" else output)
        info = run.read_info()
        written = info.get("format") if isinstance(info, dict) else None
        if not isinstance(written, int):
            raise RunError(
                "A file of the run is damaged: it does not say which format the run has.",
                received=str(run.info_file),
                next_step="train anew",
            )
        if written > RUN_FORMAT:
            raise RunError(
                "This run was written by a newer tl_app.",
                received=f"{path}: format {written}",
                allowed=f"format {RUN_FORMAT} or older",
                next_step="pip install --upgrade tl_app",
            )
        return run

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; released by the system if the process dies.

        Raises:
            RunError: another process trains this run now.
        """
        import fcntl

        with storage_errors(self.path):
            file = (self.path / ".lock").open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    "Another process is working on this run.",
                    received=str(self.path),
                    next_step="wait for it, or stop it first",
                ) from None
            yield

    def remove(self) -> None:
        """Take the whole run away: only for a run that failed before it had anything to lose."""
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self.report.parent, ignore_errors=True)

    # --- records -----------------------------------------------------------------------

    def read_info(self) -> dict[str, Any]:
        return {"seconds": {}, "status": None, "command": "", **read_record(self.info_file, dict)}

    def update_info(self, **values: Any) -> None:
        """Merge `values` into run.json (`status`, `seconds`, ...)."""
        current = self.read_info() if self.info_file.exists() else {"format": RUN_FORMAT}
        write_json(self.info_file, {**current, **values})

    def write_dataset(self, dataset: Dataset[Any], processing: AnyProcessing) -> None:
        write_json(
            self.dataset_file,
            {**dataset.to_dict(), "preprocessing": processing.to_dict()},
        )

    def read_config(self) -> Config:
        return read_record(self.config_file, Config.model_validate)

    def read_dataset(self) -> Dataset[Any]:
        return read_record(self.dataset_file, Dataset.from_dict)

    def read_processing(self) -> AnyProcessing:
        return read_record(
            self.dataset_file,
            lambda values: processing_from_dict(
                values.get("modality", "image"), values["preprocessing"]
            ),
        )

    def read_split(self) -> Split:
        return read_record(self.split_file, Split.from_dict)

    def read_evaluation(self) -> Evaluation:
        return read_record(
            self.evaluation_file, lambda values: Evaluation.from_dict(values["evaluation"])
        )

    def read_audit(self) -> Audit | None:
        """The findings about the data; None where the run was made without."""
        return read_record(self.audit_file, Audit.from_dict) if self.audit_file.exists() else None

    def write_predictions(self, side: Side, predictions: Predictions) -> None:
        write_arrays(
            self.predictions_file(side),
            {
                "paths": np.array([os.fsencode(p) for p in predictions.paths], dtype=np.bytes_),
                "y_true": predictions.y_true,
                "probabilities": predictions.probabilities,
                "class_names": np.array(predictions.class_names, dtype=np.str_),
            },
        )

    def read_predictions(self, side: Side) -> Predictions:
        arrays = read_arrays(self.predictions_file(side))
        return Predictions(
            paths=tuple(os.fsdecode(bytes(p)) for p in arrays["paths"]),
            y_true=arrays["y_true"],
            probabilities=arrays["probabilities"],
            class_names=tuple(str(name) for name in arrays["class_names"]),
        )


def read_record(file: Path, build: Callable[[Any], T]) -> T:
    """What `build` makes of a JSON file.

    Raises:
        RunError: the file is missing, damaged, or holds something else.
    """
    values = read_json(file)
    try:
        return build(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(file, error) from error


def _name_taken(path: Path) -> RunError:
    return RunError(
        "A run of this name exists and is never overwritten.",
        received=str(path),
        allowed="a new name",
        next_step=f"another --name, or tl-app train --resume {path} if it was interrupted",
    )


def default_run_name(source: str, backbone: str, now: datetime | None = None) -> str:
    """`<folder>-<backbone>-<UTC time>`, safe as a folder name."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    stem = safe_name(Path(source.rstrip("/")).name or source, limit=30)
    return f"{stem}-{safe_name(backbone, limit=24)}-{stamp}"
