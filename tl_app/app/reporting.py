"""Gathering what a run recorded into its report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tl_app.app.finished import read_probes
from tl_app.backbones.registry import find_spec
from tl_app.errors import UnusablePicture
from tl_app.evaluation.calibration import Calibration
from tl_app.evaluation.formats import SmallFormat
from tl_app.evaluation.learning import fit_verdict
from tl_app.evaluation.slices import SlicedTrait, Traits, find_slices
from tl_app.evaluation.trust import Trust, assess, held_apart_of
from tl_app.explain.heat import HeatMaps
from tl_app.explain.occlusion import TellingWord
from tl_app.inputs.files import read_encoded
from tl_app.inputs.pictures import traced_preprocess
from tl_app.records import EpochRecord, Predictions, Preprocessing, Side, Split
from tl_app.report.build import ReportContents, render_report
from tl_app.report.model_card import render_card
from tl_app.run import RunFolder, read_record
from tl_app.storage import read_json, write_atomic, write_json
from tl_app.training.decisions import Decisions

THUMBNAIL_PX = 144


def write_report(folder: RunFolder, *, images: bool | None = None) -> Path:
    """Write `reports/<run>/index.html` and `model_card.md` from the run's files.

    Args:
        folder: of the run.
        images: whether pictures may be on the page; None goes by the run's setting.

    Raises:
        RunError: the run has not got as far as an evaluation.
        StorageError: the disk is full or the folder cannot be written.
    """
    evaluation = folder.read_evaluation()
    history = [EpochRecord.from_dict(record) for record in read_json(folder.history_file)]
    dataset = folder.read_dataset()
    info = folder.read_info()
    processing = folder.read_processing()
    if images is None:
        images = folder.read_config().report_images
    split = folder.read_split()
    predictions = folder.read_predictions(evaluation.side or "test")
    contents = ReportContents(
        run_name=folder.name,
        config=read_json(folder.config_file),
        dataset=dataset,
        split=split,
        processing=processing,
        evaluation=evaluation,
        predictions=predictions,
        history=history,
        verdict=fit_verdict(history),
        cost=read_json(folder.cost_file),
        environment=read_json(folder.environment_file),
        decisions=Decisions(folder).read(),
        command=info["command"],
        seconds=info["seconds"],
        has_pictures=images,
        thumbnail=Thumbnails(Path(dataset.root), processing)
        if images and isinstance(processing, Preprocessing)
        else lambda path: None,
        telling=read_telling(folder),
        heat=read_record(folder.heat_file, HeatMaps.from_dict)
        if folder.heat_file.exists()
        else None,
        slices=read_slices(folder, predictions),
        audit=folder.read_audit(),
        probes=read_probes(folder),
        small_formats=read_small_formats(folder),
        trust=read_trust(folder, split, predictions, evaluation.side),
    )
    html = render_report(contents)
    card = render_card(
        contents, licence=find_spec(contents.config["backbone"], dataset.modality).licence
    )
    write_atomic(folder.report, lambda file: file.write(html.encode("utf-8", "replace")))
    write_atomic(folder.model_card, lambda file: file.write(card.encode("utf-8", "replace")))
    return folder.report


def read_small_formats(folder: RunFolder) -> list[SmallFormat]:
    """How the model in small formats compares; empty where none was exported."""
    if not folder.small_formats_file.exists():
        return []
    return read_record(
        folder.small_formats_file,
        lambda values: [SmallFormat.from_dict(value) for value in values],
    )


def keep_small_formats(folder: RunFolder, found: Sequence[SmallFormat]) -> None:
    """Keep what was found, in the place of what was found before of the same formats."""
    kept = {(each.format, each.precision): each for each in (*read_small_formats(folder), *found)}
    write_json(folder.small_formats_file, [each.to_dict() for each in kept.values()])


def read_trust(
    folder: RunFolder, split: Split, evaluated: Predictions, side: Side | None
) -> Trust | None:
    """How far the probabilities of a side can be trusted; None of runs from before it was asked."""
    if not folder.calibration_file.exists():
        return None
    calibration = read_record(folder.calibration_file, Calibration.from_dict)
    held_apart = None
    if side == "test" and split.calibration:
        held_apart = held_apart_of(split, folder.read_predictions("validation"))
    return assess(calibration, evaluated, held_apart)


def read_slices(folder: RunFolder, evaluated: Predictions) -> list[SlicedTrait]:
    """Accuracy on parts of the evaluated side; empty of runs from before it was asked."""
    if not folder.traits_file.exists():
        return []
    known = evaluated.y_true >= 0
    paths = [evaluated.paths[row] for row in np.flatnonzero(known).tolist()]
    examples, split = folder.read_dataset().examples, folder.read_split()
    group_of = {example.path: group for example, group in zip(examples, split.groups, strict=True)}
    groups = np.array([group_of[path] for path in paths], dtype=np.int64)
    return find_slices(
        read_record(folder.traits_file, Traits.from_dict),
        paths,
        (evaluated.y_true == evaluated.y_pred)[known],
        groups if len(np.unique(groups)) < len(groups) else None,
    )


def read_telling(folder: RunFolder) -> dict[str, tuple[TellingWord, ...]]:
    """Path -> its telling words; empty where the run recorded none."""
    if not folder.telling_file.exists():
        return {}
    return {
        path: tuple(TellingWord.from_dict(word) for word in words)
        for path, words in read_json(folder.telling_file).items()
    }


class Thumbnails:
    """Small JPEGs of what the model sees: the same decoding, orientation and aspect."""

    def __init__(self, root: Path, preprocessing: Preprocessing) -> None:
        self._root = root
        self._preprocessing = preprocessing
        self._to_picture = traced_preprocess(preprocessing)

    def __call__(self, path: str) -> bytes | None:
        """JPEG bytes, or None where the file is gone or cannot be read any more."""
        try:
            encoded = read_encoded(self._root / path, max_pixels=self._preprocessing.max_pixels)
            pixels = self._to_picture(encoded).numpy()
        except (UnusablePicture, tf.errors.OpError):
            return None
        picture = Image.fromarray(np.rint(pixels).astype(np.uint8))
        picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80)
        return buffer.getvalue()
