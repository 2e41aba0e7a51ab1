"""The verbs that use a finished run: predict, evaluate, report, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tl_app.app.finished import finished_run, pictures_of
from tl_app.app.finishing import evaluated_side, evidence_of
from tl_app.app.reporting import write_report
from tl_app.data.scan import scan
from tl_app.evaluation.scoring import evaluate as score
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.publish import ExportResult, publish_copy
from tl_app.inputs.inspect import inspect_file
from tl_app.progress import Reporter
from tl_app.records import Evaluation, Predictions, SetAside, Side
from tl_app.run import RunFolder


def predict(
    model: str, paths: Sequence[Path], *, output: Path, reporter: Reporter
) -> tuple[Predictions, list[SetAside]]:
    """Classify files and all pictures below folders.

    Args:
        model: a run (folder or name) or an exported SavedModel's folder.
        paths: files and folders.
        output: where runs are looked for by name.
        reporter: gets messages and progress.

    Raises:
        DataError: a path does not exist, or a folder holds no picture.
        RunError: there is no such run or SavedModel.
    """
    files, left_out = pictures_of(paths)
    predictions, unusable = load_classifier(model, output).predict_files(files, reporter=reporter)
    return predictions, [*left_out, *unusable]


def load_classifier(model: str, output: Path) -> SavedModelClassifier:
    """A run's own SavedModel, or one that stands alone.

    Raises:
        RunError: there is neither.
    """
    path = Path(model)
    if not (path / "run.json").exists() and (
        (path / "saved_model.pb").exists() or any(path.glob("[0-9]*/saved_model.pb"))
    ):
        return SavedModelClassifier(path)
    return SavedModelClassifier(finished_run(RunFolder.open(model, output)).saved_model)


def evaluate(run: str, folder: str | None, *, output: Path, reporter: Reporter) -> Evaluation:
    """The run's recorded evaluation, or a new one on another labelled folder or table.

    The classes of the folder must be among the run's; pictures of the run's training side
    flatter the figures, and a warning counts them.

    Raises:
        RunError: there is no such run.
        DataError: the folder cannot be evaluated.
    """
    opened = RunFolder.open(run, output)
    trained = finished_run(opened)
    if folder is None:
        return opened.read_evaluation()
    recorded, split = opened.read_dataset(), opened.read_split()
    preprocessing = opened.read_preprocessing()
    config = opened.read_config()
    dataset = scan(
        folder,
        config.data,
        inspect=lambda path: inspect_file(path, max_pixels=preprocessing.max_pixels),
        reporter=reporter,
        test_required=False,
        materialise_to=output / "data",
        known_class_names=recorded.class_names,
        purpose="evaluation",
    )
    sides: tuple[tuple[Side, str], ...] = (
        ("train", "were trained on"),
        ("validation", "chose the weights"),
    )
    for side, what in sides:
        seen = {recorded.examples[i].pixel_hash for i in split.indices(side)}
        n_seen = sum(example.pixel_hash in seen for example in dataset.examples)
        if n_seen:
            reporter.warn(
                f"{n_seen:,} of {len(dataset.examples):,} pictures {what}; "
                "the figures flatter the model"
            )
    files = [Path(dataset.root) / example.path for example in dataset.examples]
    predictions, set_aside = SavedModelClassifier(trained.saved_model).predict_files(
        files, reporter=reporter
    )
    left_out = {entry.path for entry in set_aside}
    kept = [
        example
        for example, file in zip(dataset.examples, files, strict=True)
        if str(file) not in left_out
    ]
    labelled = Predictions(
        paths=tuple(example.path for example in kept),
        y_true=np.array([example.label for example in kept], dtype=np.int64),
        probabilities=predictions.probabilities,
        class_names=recorded.class_names,
    )
    counts = np.bincount(
        recorded.labels[split.indices("train")], minlength=len(recorded.class_names)
    )
    return score(labelled, class_shares=counts / counts.sum(), side="test")


def report(run: str, *, output: Path, reporter: Reporter) -> Path:
    """Write the report of a finished run anew.

    Raises:
        RunError: there is no such run, or it is not finished.
    """
    folder = RunFolder.open(run, output)
    finished_run(folder)
    return write_report(folder)


def export(run: str, destination: Path, *, output: Path, reporter: Reporter) -> ExportResult:
    """Publish the run's SavedModel as the next version below `destination`.

    Raises:
        ExportError: the copy does not reproduce the recorded probabilities.
        DataError: a test picture is gone or has changed.
        StorageError: the destination cannot be written.
    """
    folder = RunFolder.open(run, output)
    trained = finished_run(folder)
    dataset, split = folder.read_dataset(), folder.read_split()
    side = evaluated_side(split)
    return publish_copy(
        trained.saved_model,
        destination,
        evidence=evidence_of(dataset, split.indices(side), folder.read_preprocessing()),
        recorded=folder.read_predictions(side),
        reporter=reporter,
    )
