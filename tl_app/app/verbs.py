"""The verbs that use a finished run: predict, evaluate, report, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tl_app.app.adapters import export_adapter, is_adapter_file
from tl_app.app.exporting import SAVED_MODEL, Wanted, export_finished
from tl_app.app.finished import finished_run, tell
from tl_app.app.labelled import read_labelled, tell_labelled
from tl_app.app.reporting import keep_small_formats, write_report
from tl_app.data.listing import counted
from tl_app.data.source import Source
from tl_app.data.wording import WORDINGS
from tl_app.engines.litert_engine import Precision
from tl_app.errors import ConfigError, RunError
from tl_app.evaluation.scoring import evaluate as score
from tl_app.export.assets import read_facts
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.publish import ExportResult
from tl_app.export.serving_files import write_serving_files
from tl_app.export.small_export import MAX_ACCURACY_DROP
from tl_app.export.small_model import small_formats
from tl_app.export.versions import newest_version, taken_numbers
from tl_app.progress import Reporter
from tl_app.records import (
    Evaluation,
    Predictions,
    SetAside,
    Side,
)
from tl_app.run import RunFolder


def predict(
    model: str,
    paths: Sequence[Path],
    *,
    texts: Sequence[str] = (),
    text_column: str | None = None,
    output: Path,
    reporter: Reporter,
) -> tuple[Predictions, list[SetAside]]:
    """Classify pictures, or texts, as the model was trained on.

    Args:
        model: a run (folder or name) or an exported SavedModel's folder.
        paths: pictures and folders of them; or .txt files, folders of them, and tables.
        texts: to be told themselves.
        text_column: of the tables; None guesses.
        output: where runs are looked for by name.
        reporter: gets messages and progress.

    Raises:
        DataError: a path does not exist, or there is nothing to tell.
        RunError: there is no such run or SavedModel.
        ConfigError: what is given does not fit the model.
    """
    return tell(
        load_classifier(model, output),
        paths,
        texts=texts,
        text_column=text_column,
        reporter=reporter,
    )


def load_classifier(model: str, output: Path) -> SavedModelClassifier:
    """A run's own SavedModel, or one that stands alone.

    Raises:
        RunError: there is neither.
    """
    path = Path(model)
    if not (path / "run.json").exists():
        if newest_version(path) is not None:
            return SavedModelClassifier(path)
        versions = [path, *(path / str(number) for number in taken_numbers(path))]
        small = {name for version in versions for name in small_formats(version)}
        if small:
            raise RunError(
                "This export has no SavedModel to ask.",
                received=f"{path}: {', '.join(sorted(small))}",
                allowed="a run, or an export with --format savedmodel",
                next_step=f"tl-app serve {path}, which answers by {' or '.join(sorted(small))}",
            )
    return SavedModelClassifier(finished_run(RunFolder.open(model, output)).exported())


def evaluate(run: str, source: Source | None, *, output: Path, reporter: Reporter) -> Evaluation:
    """The run's recorded evaluation, or a new one on other labelled examples.

    Their classes must be among the run's; examples of the run's training side flatter the
    figures, and a warning counts them.

    Raises:
        RunError: there is no such run.
        DataError: the source cannot be evaluated.
    """
    opened = RunFolder.open(run, output)
    trained = finished_run(opened)
    if source is None:
        return opened.read_evaluation()
    recorded, split = opened.read_dataset(), opened.read_split()
    dataset = read_labelled(source, opened, recorded, reporter)
    wording = WORDINGS[recorded.modality]
    sides: tuple[tuple[Side, str], ...] = (
        ("train", "trained on"),
        ("validation", "used to choose the weights"),
    )
    for side, what in sides:
        seen = {recorded.examples[i].content for i in split.indices(side)}
        n_seen = sum(example.content in seen for example in dataset.examples)
        if n_seen:
            reporter.warn(
                f"{n_seen:,} of {counted(len(dataset.examples), wording.noun)} "
                f"{'was' if n_seen == 1 else 'were'} {what}; the figures flatter the model"
            )
    classifier = SavedModelClassifier(trained.exported())
    told, probabilities = tell_labelled(classifier, dataset, reporter)
    kept = [dataset.examples[position] for position in told.tolist()]
    labelled = Predictions(
        paths=tuple(example.path for example in kept),
        y_true=np.array([example.label for example in kept], dtype=np.int64),
        probabilities=probabilities,
        class_names=recorded.class_names,
    )
    counts = np.bincount(
        recorded.labels[split.indices("train")], minlength=len(recorded.class_names)
    )
    return score(
        labelled, class_shares=counts / counts.sum(), side=None, modality=recorded.modality
    )


def report(run: str, *, output: Path, images: bool | None = None, reporter: Reporter) -> Path:
    """Write the report of a finished run anew; `images` as for `reporting.write_report`.

    Raises:
        RunError: there is no such run, or it is not finished.
    """
    folder = RunFolder.open(run, output)
    finished_run(folder)
    return write_report(folder, images=images)


def export(
    run: str,
    destination: Path,
    *,
    backbone: str | None = None,
    formats: Sequence[str] = (SAVED_MODEL,),
    precision: Precision = "float32",
    max_accuracy_drop: float = MAX_ACCURACY_DROP,
    output: Path,
    reporter: Reporter,
) -> ExportResult:
    """Publish a model as the next version below `destination`, and files for servers there.

    How small formats compare is kept by the run, and shown in its report.

    Args:
        run: whose SavedModel is copied, or written where it has none; or the file of an adapter,
            which is put on its base.
        destination: holds the versions; made if it is not there.
        backbone: of an adapter, where its base is.
        formats, precision, max_accuracy_drop: see `exporting.Wanted`.
        output: where runs are looked for by name.
        reporter: shows progress.

    Raises:
        ConfigError: what is wanted cannot be had.
        ExportError: the export does not reproduce the recorded probabilities.
        DataError: a test picture is gone or has changed.
        StorageError: the destination cannot be written.
    """
    is_adapter = is_adapter_file(Path(run))
    if backbone is not None and not is_adapter:
        raise ConfigError(
            "A run knows its backbone.",
            received=f"--backbone {backbone} with {run}",
            allowed="--backbone with a file of RUN/adapters/",
            next_step="leave it out",
        )
    wanted = Wanted(tuple(formats), precision, max_accuracy_drop)
    if is_adapter:
        if wanted.small:
            raise ConfigError(
                "The updates of an adapter are exported as a SavedModel.",
                received=", ".join(wanted.small),
                allowed=SAVED_MODEL,
            )
        done = export_adapter(Path(run), destination, backbone=backbone, reporter=reporter)
    else:
        folder = RunFolder.open(run, output)
        done = export_finished(folder, destination, reporter, wanted)
        if done.small:
            with folder.lock():
                keep_small_formats(folder, done.small)
                write_report(folder)
    if SAVED_MODEL not in wanted.formats:
        return done
    beside = write_serving_files(destination, read_facts(done.version_folder)["modality"])
    reporter.message(f"For TensorFlow Serving and KServe: {beside / 'README.md'}")
    return done
