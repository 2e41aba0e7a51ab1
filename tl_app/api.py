"""The Python API: the verbs of `tl_app.app` with defaults and plain values.

Names of verbs that are also rooms (`report`, `export`, `backbones`) are `write_report`,
`export_model` and `list_backbones` here. Every function is silent unless a `reporter` is
handed in (`tl_app.console.make_reporter()` draws the command line's bars).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tl_app.config import Config
from tl_app.config_loading import load_config
from tl_app.data.places import as_list
from tl_app.data.source import Source
from tl_app.libraries import loading
from tl_app.progress import LogReporter, Reporter, SilentReporter

if TYPE_CHECKING:
    from tl_app.app import AuditResult, CacheInfo, ExportResult, TrainedRun
    from tl_app.audit.quarantine import Moved
    from tl_app.evaluation.comparison import Comparison
    from tl_app.features.store import TableInfo
    from tl_app.records import Evaluation, Modality, Predictions, SetAside

PathLike = str | os.PathLike[str]


def train(
    source: PathLike,
    *,
    config: Config | PathLike | None = None,
    output: PathLike = ".",
    name: str | None = None,
    table: PathLike | None = None,
    data_dir: PathLike | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    split_from: PathLike | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> TrainedRun:
    """Train a classifier on the pictures or texts of `source`, evaluate, report and export it.

    Args:
        source: a folder with one sub-folder a class, a folder with train/validation/test
            parts, a folder beside a `table`, or `tfds:NAME`; for texts a CSV, TSV, JSON lines or
            Parquet file, or a folder of .txt files by class.
        config: a ready Config, or a TOML or JSON file. What it does not set is the default for
            pictures or for texts, whichever the source holds (`tl_app.config.default_settings`).
        output: gets `models/<run>/` and `reports/<run>/`.
        name: of the run; made from source, backbone and time when None.
        table: a CSV with the columns path, label and, where wanted, split and group.
        data_dir: where tensorflow-datasets keeps its sets.
        text_column, label_column: of a table of texts; None guesses.
        split_from: a run whose assignment to training, validation and test is kept.
        reporter: gets messages and progress.
        **settings: top-level settings of Config (`backbone="resnet50"`, `seed=1`,
            `data={"image_size_px": 160}`), over those of `config`.

    Raises:
        TlAppError: one of its kinds; see `tl_app.errors`.
    """
    verb = _verb("train")
    where = _source(
        source,
        table=_path(table),
        data_dir=_path(data_dir),
        text_column=text_column,
        label_column=label_column,
    )
    return verb(
        where,
        config=_config(config, settings, where.modality),
        output=Path(output),
        name=name,
        split_from=None if split_from is None else os.fspath(split_from),
        command="tl_app.train(...)",
        reporter=reporter or SilentReporter(),
    )


def resume(
    run: PathLike, *, output: PathLike = ".", reporter: Reporter | None = None
) -> TrainedRun:
    """Continue a run that was interrupted; it ends as if it never had been."""
    return _verb("resume")(
        os.fspath(run),
        output=Path(output),
        command="tl_app.resume(...)",
        reporter=reporter or SilentReporter(),
    )


def audit_data(
    source: PathLike,
    *,
    config: Config | PathLike | None = None,
    output: PathLike = ".",
    table: PathLike | None = None,
    data_dir: PathLike | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    strip_to: PathLike | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> AuditResult:
    """Look for copies, leaks, wrong labels, shortcuts, poor pictures and private metadata.

    Args:
        source, config, table, data_dir, text_column, label_column: as for `train`.
        output: gets `reports/<source>-audit-<time>/` with `audit.json` and `fixes.csv`.
        strip_to: a new folder for copies of the pictures without private metadata.
        reporter: gets messages and progress.
        **settings: as for `train`.
    """
    verb = _verb("audit")
    where = _source(
        source,
        table=_path(table),
        data_dir=_path(data_dir),
        text_column=text_column,
        label_column=label_column,
    )
    return verb(
        where,
        config=_config(config, settings, where.modality),
        output=Path(output),
        strip_to=_path(strip_to),
        reporter=reporter or SilentReporter(),
    )


def apply_fixes(
    fixes: PathLike, folder: PathLike | None = None, *, reporter: Reporter | None = None
) -> Moved:
    """Move the files that an audit's `fixes.csv` sends to quarantine, reversibly.

    Args:
        fixes: the table, maybe changed by a person.
        folder: of the data; None reads it in the `audit.json` beside the table.
        reporter: gets messages.
    """
    return _verb("audit_apply")(Path(fixes), _path(folder), reporter=reporter or SilentReporter())


def undo_fixes(folder: PathLike, *, reporter: Reporter | None = None) -> Moved:
    """Put every file of a data folder that is in quarantine back where it was."""
    return _verb("audit_undo")(Path(folder), reporter=reporter or SilentReporter())


def predict(
    model: PathLike,
    paths: Sequence[PathLike] = (),
    *,
    texts: Sequence[str] = (),
    text_column: str | None = None,
    output: PathLike = ".",
    reporter: Reporter | None = None,
) -> tuple[Predictions, list[SetAside]]:
    """Classify pictures or texts with a run or an exported SavedModel.

    Args:
        model: a run, or a SavedModel that `export_model` wrote.
        paths: pictures and folders of them; for a model of texts .txt files, folders of them,
            and tables.
        texts: for a model of texts, to be told themselves.
        text_column: of the tables; None guesses.
        output: where runs are looked for by name.
        reporter: gets messages and progress.

    Returns:
        One row a picture or text, and what had to be set aside.

    Raises:
        ConfigError: paths or texts are no lists, or do not fit the model.
        DataError: a path does not exist, or there is nothing to tell.
        RunError: there is no such run or SavedModel.
    """
    files = [Path(path) for path in as_list("paths", paths, (str, os.PathLike))]
    texts = as_list("texts", texts, str)
    return _verb("predict")(
        os.fspath(model),
        files,
        texts=texts,
        text_column=text_column,
        output=Path(output),
        reporter=reporter or SilentReporter(),
    )


def evaluate(
    run: PathLike,
    source: PathLike | None = None,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    output: PathLike = ".",
    reporter: Reporter | None = None,
) -> Evaluation:
    """Evaluate a run on its own test side, or on another labelled folder or table."""
    verb = _verb("evaluate")
    columns = {"text_column": text_column, "label_column": label_column}
    return verb(
        os.fspath(run),
        None if source is None else _source(source, **columns),
        output=Path(output),
        reporter=reporter or SilentReporter(),
    )


def compare(
    run_a: PathLike,
    run_b: PathLike,
    source: PathLike | None = None,
    *,
    margin: float = 0.01,
    text_column: str | None = None,
    label_column: str | None = None,
    seed: int = 0,
    output: PathLike = ".",
    reporter: Reporter | None = None,
) -> Comparison:
    """Judge run B against run A on the same examples.

    Args:
        run_a, run_b: folders or names of finished runs with the same classes.
        source: labelled examples that both models are asked about; None takes what both recorded
            of the examples that are on the test side of both.
        margin: by how much the accuracy of B may be lower, a fraction.
        text_column, label_column: of a table of texts; None guesses.
        seed: of the resampling behind the intervals.
        output: where runs are looked for by name.
        reporter: gets messages, warnings and progress.

    Returns:
        The verdict (`passes` says whether B was shown to be not worse), and what it rests on.
    """
    columns = {"text_column": text_column, "label_column": label_column}
    return _verb("compare")(
        os.fspath(run_a),
        os.fspath(run_b),
        None if source is None else _source(source, **columns),
        margin=margin,
        seed=seed,
        output=Path(output),
        reporter=reporter or SilentReporter(),
    )


def write_report(
    run: PathLike,
    *,
    output: PathLike = ".",
    images: bool | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Write the run's report anew from what the run recorded; returns the HTML file.

    Args:
        run: folder or name.
        output: where runs are looked for by name.
        images: whether pictures of the data may be on the page; None goes by the run's setting.
        reporter: gets messages and progress.
    """
    return _verb("report")(
        os.fspath(run), output=Path(output), images=images, reporter=reporter or SilentReporter()
    )


def export_model(
    run: PathLike,
    destination: PathLike,
    *,
    backbone: str | None = None,
    formats: Sequence[str] = ("savedmodel",),
    precision: Literal["float32", "float16", "dynamic-int8", "int8"] = "float32",
    max_accuracy_drop: float = 0.01,
    output: PathLike = ".",
    reporter: Reporter | None = None,
) -> ExportResult:
    """Write a versioned export that reproduces what the run recorded, or fail.

    Args:
        run: folder or name; or a file of its `adapters/`, which is put on its base.
        destination: gets the version folder.
        backbone: of an adapter whose base is no named one: where it is.
        formats: "savedmodel", "litert", "onnx"; all go into one version.
        precision: of litert's weights.
        max_accuracy_drop: a litert or onnx file that loses more accuracy is refused.
        output: where runs are looked for by name.
        reporter: gets messages and progress.
    """
    return _verb("export")(
        os.fspath(run),
        Path(destination),
        backbone=backbone,
        formats=as_list("formats", formats, str),
        precision=precision,
        max_accuracy_drop=max_accuracy_drop,
        output=Path(output),
        reporter=reporter or SilentReporter(),
    )


def serve(
    model: PathLike,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    name: str | None = None,
    labels: Mapping[str, int] | None = None,
    engine: Literal["auto", "litert", "onnx", "savedmodel"] = "auto",
    token_file: PathLike | None = None,
    without_token: bool = False,
    certificate: PathLike | None = None,
    key: PathLike | None = None,
    max_body_mb: float = 32.0,
    max_pixels: int = 25_000_000,
    queue: int = 256,
    timeout_seconds: float = 30.0,
    output: PathLike = ".",
    reporter: Reporter | None = None,
) -> None:
    """Answer TensorFlow Serving's REST interface until SIGINT or SIGTERM; in the main thread.

    Args:
        model: a run (folder or name), an export, or a folder of exports.
        host, port: where to listen; port 0 takes a free one.
        name: of a single model in addresses; None takes the folder's.
        labels: label, or MODEL/LABEL -> number of a version that it keeps.
        engine: "auto" takes the fastest that is there on this machine.
        token_file: holds the token that requests bear; None takes TL_APP_TOKEN, if that is set.
        without_token: let other machines ask without one.
        certificate, key: files in PEM, for TLS; both or none.
        max_body_mb: of a request, in MB of 10^6 bytes.
        max_pixels: larger pictures are unusable.
        queue: pictures or texts that wait, and of one request; more are told 429.
        timeout_seconds: of a request.
        output: where runs are looked for by name.
        reporter: is told what is served where; None tells the log `tl_app.serving`.
    """
    # Without `loading`: small formats are served without TensorFlow.
    from tl_app import app

    app.serve(
        os.fspath(model),
        host=host,
        port=port,
        name=name,
        labels=labels,
        engine=engine,
        token_file=_path(token_file),
        without_token=without_token,
        certificate=_path(certificate),
        key=_path(key),
        max_body_mb=max_body_mb,
        max_pixels=max_pixels,
        queue=queue,
        timeout_seconds=timeout_seconds,
        output=Path(output),
        reporter=reporter or LogReporter(logging.getLogger("tl_app.serving")),
    )


def list_backbones() -> list[Any]:
    """The registry's backbones, and whether their weights are here."""
    from tl_app import app

    return app.backbones()


def cache_info() -> CacheInfo:
    """What the feature cache holds."""
    from tl_app import app

    return app.cache_info()


def cache_prune(limit_gb: float | None = None) -> tuple[TableInfo, ...]:
    """Bring the feature cache down to `limit_gb` (10^9 bytes; None: the default limit)."""
    from tl_app import app

    return app.cache_prune(limit_gb)


def _verb(name: str) -> Any:
    """The app's function of this name; what it needs is imported here, quietly."""
    with loading():
        from tl_app import app

        return getattr(app, name)


def _path(value: PathLike | None) -> Path | None:
    return None if value is None else Path(value)


def _source(source: PathLike, **where: Any) -> Source:
    return Source(os.fspath(source), **where)


def _config(
    config: Config | PathLike | None, settings: Mapping[str, Any], modality: Modality
) -> Config:
    if not isinstance(config, Config):
        return load_config(_path(config), values=settings, modality=modality)
    values = config.model_dump(mode="json", include=config.model_fields_set)
    return load_config(values={**values, **settings}, modality=modality)
