"""From the first step to the end: train, save, predict, evaluate, export, measure, report.

Each part looks first at what the run's folder holds already: a resumed run does what is left.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_app.app.auditing import audit_run
from tl_app.app.calibrating import fit_calibration
from tl_app.app.exporting import export_trained
from tl_app.app.materials import Material
from tl_app.app.probing import probe_features
from tl_app.app.reporting import read_slices, read_trust, write_report
from tl_app.app.stages import StageClock
from tl_app.app.traits import find_traits
from tl_app.backbones.policy import dtype_policy
from tl_app.config import Config
from tl_app.data.listing import counted
from tl_app.data.wording import WORDINGS, Wording
from tl_app.engines.fold import fold_batch_normalization
from tl_app.evaluation.leaked import leaked_rows, with_figures_unleaked
from tl_app.evaluation.learning import best_record
from tl_app.evaluation.scoring import evaluate
from tl_app.evaluation.worst import worst_rows
from tl_app.export.latency import measure_latency
from tl_app.export.parity import exact_float32
from tl_app.export.versions import newest_version
from tl_app.features.extract import FrozenPart
from tl_app.features.items import Items
from tl_app.features.store import FeatureStore
from tl_app.progress import Reporter
from tl_app.records import (
    SIDES,
    AnyExample,
    Dataset,
    Predictions,
    Side,
    Split,
)
from tl_app.run import RunFolder
from tl_app.storage import build_file, write_json
from tl_app.training.classifier import Classifier, load_model
from tl_app.training.decisions import Decisions
from tl_app.training.hardware import Hardware
from tl_app.training.lora import replace_head
from tl_app.training.phase_inputs import TrainingData
from tl_app.training.phases import PhaseTrainer
from tl_app.training.trackers import build_trackers

PREDICTION_BATCH = 32
"""Examples a batch in the final predictions; the export's parity check uses the same."""


def train_phases(
    folder: RunFolder,
    material: Material,
    strategy: tf.distribute.Strategy,
    store: FeatureStore,
    clock: StageClock,
    reporter: Reporter,
) -> None:
    """Train, and write the final float32 Keras model; nothing to do where that is there."""
    if folder.keras_model.exists():
        return
    config = folder.read_config()
    dataset, split = folder.read_dataset(), folder.read_split()
    hardware = Hardware.from_dict(Decisions(folder).read()["hardware"])
    keras.utils.set_random_seed(config.seed)
    with strategy.scope(), dtype_policy(hardware.precision):
        classifier = Classifier(material.backbone, len(dataset.class_names), config)
    data = _training_data(dataset, split, material.items(dataset, store))
    trackers = build_trackers(config, folder)
    trainer = PhaseTrainer(
        classifier, data, config, hardware, strategy, folder, store, trackers, reporter
    )
    try:
        with clock.stage("features"):
            trainer.prepare()
        # As the frozen backbone gave them; training may change it.
        kept = trainer.kept_features()

        def audit() -> None:
            if config.audit and not folder.audit_file.exists():
                with clock.stage("audit"):
                    audit_run(folder, dataset, split, kept, store=store, reporter=reporter)

        with clock.stage("train"):
            state = trainer.run(before_descent=audit)
    finally:
        for tracker in trackers:
            tracker.close()
    write_json(folder.history_file, [record.to_dict() for record in state.history])
    if not folder.probes_file.exists():
        with clock.stage("probe"):
            probes = probe_features(
                dataset,
                split,
                kept,
                config,
                class_weights=trainer.class_weights,
                side=split.evaluated_side,
                reporter=reporter,
            )
            write_json(folder.probes_file, probes.to_dict())
    if not folder.traits_file.exists():
        with clock.stage("traits"):
            traits = find_traits(
                material,
                dataset,
                split.indices(split.evaluated_side),
                kept,
                store=store,
                reporter=reporter,
            )
            write_json(folder.traits_file, traits.to_dict())
    with clock.stage("calibrate"):
        calibration = fit_calibration(
            dataset,
            split,
            config,
            state.history,
            predict=lambda rows: _predict_rows(
                FrozenPart(_final_model(classifier, config, material, hardware, reporter)),
                material,
                dataset,
                rows,
                "Predicting what is held apart",
                reporter,
            ),
            kept_features=trainer.kept_features,
            class_weights=trainer.class_weights,
        )
        # From here on it is part of the model: every prediction and every export has it.
        classifier.scale_logits(1 / calibration.temperature)
        best = best_record(state.history)
        adapter = None if best is None else folder.adapter_file(best.phase)
        if adapter is not None and adapter.exists():
            replace_head(adapter, classifier.head.get_weights())
        write_json(folder.calibration_file, calibration.to_dict())
    with clock.stage("predict"):
        _predict_training_side(trainer, folder, dataset, split)
    with clock.stage("save"):
        final = _final_model(classifier, config, material, hardware, reporter)
        build_file(folder.keras_model, final.save)


def _predict_training_side(
    trainer: PhaseTrainer, folder: RunFolder, dataset: Dataset[Any], split: Split
) -> None:
    """Nine tenths need not be read again; the other sides are, from the original examples."""
    probabilities = trainer.predict_training_side()
    if probabilities is None:
        return
    examples = [dataset.examples[i] for i in split.indices("train")]
    folder.write_predictions("train", _predictions(dataset, examples, probabilities))


def _predictions(
    dataset: Dataset[Any], examples: Sequence[AnyExample], probabilities: np.ndarray
) -> Predictions:
    return Predictions(
        paths=tuple(example.path for example in examples),
        y_true=np.array([example.label for example in examples], dtype=np.int64),
        probabilities=probabilities,
        class_names=dataset.class_names,
    )


def _training_data(dataset: Dataset[Any], split: Split, items: Items) -> TrainingData:
    return TrainingData(
        items=items,
        labels=dataset.labels,
        groups=np.array(split.groups, dtype=np.int64),
        train_rows=split.indices("train"),
        validation_rows=split.stopping,
        class_names=dataset.class_names,
    )


def _final_model(
    classifier: Classifier,
    config: Config,
    material: Material,
    hardware: Hardware,
    reporter: Reporter,
) -> keras.Model:
    """The classifier in float32 on one device, with the same weights."""
    if hardware.precision == "float32" and len(hardware.devices) == 1:
        return classifier.probabilities()
    final = Classifier(material.load_again(reporter), classifier.head.output.shape[-1], config)
    final.set_weights(classifier.get_weights())
    return final.probabilities()


def evaluate_and_export(
    folder: RunFolder, material: Material, clock: StageClock, reporter: Reporter
) -> None:
    dataset, split = folder.read_dataset(), folder.read_split()
    wording = WORDINGS[dataset.modality]
    model = load_model(folder.keras_model)
    # The record is what the trained model says itself; the export is held to it.
    forward = FrozenPart(model)
    with clock.stage("predict"):
        for side in SIDES:
            if len(split.indices(side)) and not folder.predictions_file(side).exists():
                folder.write_predictions(
                    side, predict_side(forward, material, dataset, split, side, reporter)
                )
    side = split.evaluated_side
    with clock.stage("explain"):
        predictions = folder.read_predictions(side)
        why = material.explain(dataset, predictions, worst_rows(predictions), forward, reporter)
        if why.telling:
            write_json(
                folder.telling_file,
                {path: [word.to_dict() for word in words] for path, words in why.telling.items()},
            )
        if why.heat is not None:
            write_json(folder.heat_file, why.heat.to_dict())
    with clock.stage("evaluate"):
        counts = np.bincount(
            dataset.labels[split.indices("train")], minlength=len(dataset.class_names)
        )
        recorded, shares = folder.read_predictions(side), counts / counts.sum()
        evaluation = with_figures_unleaked(
            evaluate(recorded, class_shares=shares, side=side, modality=dataset.modality),
            recorded,
            leaked_rows(split, side),
            class_shares=shares,
        )
        notes = _group_notes(split, side, wording)
        evaluation = replace(evaluation, notes=(*evaluation.notes, *notes))
        trust = read_trust(folder, split, recorded, side)
        write_json(
            folder.evaluation_file,
            {
                "evaluation": evaluation.to_dict(),
                "trust": None if trust is None else trust.to_dict(),
                "slices": [asdict(trait) for trait in read_slices(folder, recorded)],
            },
        )
    # The same function in fewer operations, a third faster; the export's check will tell.
    served = fold_batch_normalization(model)
    if folder.read_config().export:
        with clock.stage("export"):
            shutil.rmtree(folder.saved_model, ignore_errors=True)  # half of an earlier try
            result = export_trained(folder, served, material, folder.saved_model, reporter)
            reporter.message(
                "Exported; read back, it gives the same probabilities for "
                f"{counted(result.n_examples, wording.noun)} "
                f"(largest difference {result.largest_difference:.1g})"
            )
            if material.served().needs:
                reporter.message(
                    "The SavedModel uses operations of TensorFlow Text; NEEDS.txt beside it says "
                    "how to load it elsewhere (tl-app does so by itself)"
                )
    with clock.stage("measure"):
        write_json(folder.cost_file, _measure_cost(folder, model, served, material, reporter))
    with clock.stage("report"):
        write_report(folder)


def _group_notes(split: Split, side: Side, wording: Wording) -> list[str]:
    """What a reader must know where the evaluated examples are not independent."""
    indices = split.indices(side)
    n_groups = len({split.groups[i] for i in indices})
    if n_groups == len(indices):
        return []
    return [
        f"The {counted(len(indices), wording.noun)} belong to {counted(n_groups, 'group')} "
        f"({wording.grouped}). The intervals take every {wording.noun} for itself, so the true "
        "doubt is larger."
    ]


def predict_side(
    forward: FrozenPart,
    material: Material,
    dataset: Dataset[Any],
    split: Split,
    side: Side,
    reporter: Reporter,
) -> Predictions:
    """Probabilities of one side, from the original files or texts."""
    rows = split.indices(side)
    title = f"Predicting the {side} side"
    probabilities = _predict_rows(forward, material, dataset, rows, title, reporter)
    return _predictions(dataset, [dataset.examples[row] for row in rows], probabilities)


def _predict_rows(
    forward: FrozenPart,
    material: Material,
    dataset: Dataset[Any],
    rows: np.ndarray,
    title: str,
    reporter: Reporter,
) -> np.ndarray:
    """Probabilities from the original files or texts, float32, shape (n_rows, n_classes)."""
    probabilities = np.zeros((len(rows), len(dataset.class_names)), np.float32)
    unit = WORDINGS[dataset.modality].unit
    # TF32 on a GPU would differ from the export's check by more than its tolerance.
    with exact_float32(), reporter.bar(title, len(rows), unit) as bar:
        for positions, batch in material.batches(dataset, rows, PREDICTION_BATCH):
            probabilities[positions] = forward(batch)
            bar.advance(len(positions))
    return probabilities


def _latency_of(batch: np.ndarray) -> str | None:
    """What latency was measured on, where it is not pictures."""
    if batch.ndim == 1:
        return "short sentences"
    return f"texts of {batch.shape[1]} tokens" if batch.ndim == 2 else None


def _measure_cost(
    folder: RunFolder,
    model: keras.Model,
    served: keras.Model,
    material: Material,
    reporter: Reporter,
) -> dict[str, Any]:
    """Latency, sizes and memory, as the report shows them."""
    decisions = Decisions(folder).read()
    exported = newest_version(folder.saved_model)
    forward = FrozenPart(served)
    sample = partial(material.sample, folder.read_dataset())
    return {
        "latency_ms": measure_latency(lambda x: forward(tf.constant(x)), sample, reporter=reporter),
        "latency_of": _latency_of(sample(1)),
        "n_parameters": int(model.count_params()),
        "n_trainable_parameters": decisions.get("trainable", {}).get("n_parameters"),
        "model_bytes": folder.keras_model.stat().st_size,
        **({} if exported is None else {"saved_model_bytes": _n_bytes(exported)}),
        # ru_maxrss is in KiB on Linux.
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _n_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
