"""A finished run, and predicting with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tl_app.data.places import N_NAMED, as_list, require_paths
from tl_app.data.rows import check_text
from tl_app.data.texts import MAX_CHARACTERS
from tl_app.data.unlabelled import FoundTexts, find_texts
from tl_app.data.walk import Found, walk
from tl_app.data.wording import PICTURES
from tl_app.errors import ConfigError, DataError, RunError, UnusableText
from tl_app.evaluation.probes import CrossValidation, Probes
from tl_app.export.versions import newest_version
from tl_app.progress import Reporter, SilentReporter
from tl_app.records import Evaluation, Modality, Predictions, SetAside
from tl_app.run import RunFolder, read_record

if TYPE_CHECKING:
    from tl_app.export.classifier import SavedModelClassifier


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes:
        folder: where everything of it lies.
        evaluation: of the test side, or None without one.
        report: the HTML file.
        saved_model: the newest version folder; None of a run without an export.
        seconds: wall clock by stage.
        set_aside: files or texts that were not used.
        modality: of what it classifies.
        cross_validation: of the head on frozen features, or None where it was not run.
    """

    folder: RunFolder
    evaluation: Evaluation | None
    report: Path
    saved_model: Path | None
    seconds: dict[str, float]
    set_aside: tuple[SetAside, ...] = ()
    modality: Modality = "image"
    cross_validation: CrossValidation | None = None

    def exported(self) -> Path:
        """The SavedModel, where one is needed.

        Raises:
            RunError: the run has none.
        """
        if self.saved_model is None:
            raise RunError(
                "This run has no SavedModel.",
                received=str(self.folder.path),
                allowed="a run that was trained with export=true, and whose saved_model/ is there",
                next_step=f"tl-app export {self.folder.path} DEST, and name DEST in its place",
            )
        return self.saved_model

    def predict(
        self,
        paths: Sequence[str | os.PathLike[str]] = (),
        *,
        texts: Sequence[str] = (),
        text_column: str | None = None,
        reporter: Reporter | None = None,
    ) -> tuple[Predictions, list[SetAside]]:
        """As `tl_app.predict`, with this run."""
        # Late: what a run recorded is read without TensorFlow.
        from tl_app.export.classifier import SavedModelClassifier

        files = [Path(path) for path in as_list("paths", paths, (str, os.PathLike))]
        texts = as_list("texts", texts, str)
        return tell(
            SavedModelClassifier(self.exported()),
            files,
            texts=texts,
            text_column=text_column,
            reporter=reporter or SilentReporter(),
        )


def finished_run(folder: RunFolder) -> TrainedRun:
    """A complete run as `train` returned it.

    Raises:
        RunError: it is not complete.
    """
    info = folder.read_info()
    if info.get("status") != "complete":
        raise RunError(
            "This run was not finished.",
            received=str(folder.path),
            next_step=f"tl-app train --resume {folder.path}",
        )
    dataset = folder.read_dataset()
    evaluation = folder.read_evaluation()
    probes = read_probes(folder)
    return TrainedRun(
        folder=folder,
        evaluation=evaluation if evaluation.side == "test" else None,
        report=folder.report,
        saved_model=newest_version(folder.saved_model),
        seconds=info["seconds"],
        set_aside=dataset.set_aside,
        modality=dataset.modality,
        cross_validation=None if probes is None else probes.cross_validation,
    )


def read_probes(folder: RunFolder) -> Probes | None:
    """What kept features told by themselves; None of runs that did not ask."""
    if not folder.probes_file.exists():
        return None
    return read_record(folder.probes_file, Probes.from_dict)


def tell(
    classifier: SavedModelClassifier,
    paths: Sequence[Path],
    *,
    texts: Sequence[str] = (),
    text_column: str | None = None,
    reporter: Reporter,
) -> tuple[Predictions, list[SetAside]]:
    """What a model says of pictures, or of texts; `verbs.predict` says what is taken.

    Raises:
        DataError: a path does not exist, or there is nothing to tell.
        ConfigError: texts are given to a model for pictures, or nothing at all.
    """
    if not paths and not texts:
        raise ConfigError(
            "There is nothing to predict.",
            allowed="paths, or texts for a model of texts",
            next_step="tl-app predict --help",
        )
    if classifier.modality == "text":
        found = find_texts(paths, text_column=text_column) if paths else FoundTexts()
        for warning in found.warnings:
            reporter.warn(warning)
        for text in texts:
            try:
                found.add(text, check_text(text, MAX_CHARACTERS))
            except UnusableText as problem:
                found.set_aside.append(SetAside("--text", problem.reason, problem.kind))
        return _told(classifier, found, reporter), found.set_aside
    if texts or text_column is not None:
        raise ConfigError(
            "This model was trained on pictures, and cannot be asked about texts.",
            received="--text" if texts else f"--text-column {text_column}",
            allowed=PICTURES.unlabelled,
            next_step="tl-app predict RUN PICTURE...",
        )
    files, left_out = pictures_of(paths)
    predictions, unusable = classifier.predict_files(files, reporter=reporter)
    return predictions, [*left_out, *unusable]


def _told(classifier: SavedModelClassifier, found: FoundTexts, reporter: Reporter) -> Predictions:
    return Predictions(
        paths=tuple(found.names),
        y_true=np.full(len(found.names), -1, dtype=np.int64),
        probabilities=classifier.predict_texts(found.texts, reporter=reporter),
        class_names=classifier.class_names,
        texts=tuple(found.texts),
    )


def pictures_of(paths: Sequence[Path]) -> tuple[list[Path], list[SetAside]]:
    """Files as they are named, and all pictures below folders; and what below them is none.

    Raises:
        DataError: a path does not exist, or there is no picture at all.
    """
    require_paths(paths, PICTURES.unlabelled)
    files: list[Path] = []
    set_aside: list[SetAside] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found = Found()
        walk(path.absolute(), ".", set(), found)
        files += [path / name for name in sorted(found.files)]
        set_aside += [replace(entry, path=str(path / entry.path)) for entry in found.set_aside]
    if not files:
        raise DataError(
            "There are no pictures here.",
            received=", ".join(str(path) for path in paths[:N_NAMED]),
            allowed=PICTURES.unlabelled,
            next_step="name a picture, or a folder with some",
        )
    return files, set_aside
