"""Labelled examples that a run did not record, and what an exported model says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tl_app.app.text_material import read_texts
from tl_app.data.scan import scan
from tl_app.data.source import Source
from tl_app.export.classifier import SavedModelClassifier
from tl_app.inputs.inspect import inspect_file
from tl_app.progress import Reporter
from tl_app.records import Dataset, Preprocessing
from tl_app.run import RunFolder


def read_labelled(
    source: Source, run: RunFolder, recorded: Dataset[Any], reporter: Reporter
) -> Dataset[Any]:
    """The examples of `source`, read as the run reads, with labels in the run's class order.

    Raises:
        DataError: the source cannot be used, or has a class that the run does not know.
    """
    source.require(recorded.modality)
    settings = run.read_config().data
    processing = run.read_processing()
    if not isinstance(processing, Preprocessing):
        return read_texts(
            source,
            settings,
            reporter=reporter,
            test_required=False,
            known_class_names=recorded.class_names,
            materialise_to=run.output / "data",
            purpose="evaluation",
        )
    return scan(
        source.name,
        settings,
        inspect=lambda path: inspect_file(path, max_pixels=processing.max_pixels),
        reporter=reporter,
        test_required=False,
        data_dir=source.data_dir,
        materialise_to=run.output / "data",
        known_class_names=recorded.class_names,
        table=source.table,
        purpose="evaluation",
    )


def tell_labelled(
    classifier: SavedModelClassifier, dataset: Dataset[Any], reporter: Reporter
) -> tuple[np.ndarray, np.ndarray]:
    """What a model says of the examples.

    Returns:
        int64, shape (n_told,): positions of the examples that could be told, ascending; and
        float32, shape (n_told, n_classes), probabilities in the model's class order.
    """
    examples = dataset.examples
    if dataset.modality == "text":
        texts = [example.text for example in examples]
        return np.arange(len(texts)), classifier.predict_texts(texts, reporter=reporter)
    files = [Path(dataset.root) / example.path for example in examples]
    predictions, set_aside = classifier.predict_files(files, reporter=reporter)
    left_out = {entry.path for entry in set_aside}
    told = [position for position, file in enumerate(files) if str(file) not in left_out]
    return np.array(told, dtype=np.int64), predictions.probabilities
