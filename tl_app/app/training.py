"""`train` and `resume`: from a folder to a finished run.

Everything that decides the outcome is on disk before the first step, so that a fresh run and
a resumed one go through the same code from there on.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_app import environment
from tl_app.app.reporting import write_report
from tl_app.app.stages import StageClock
from tl_app.backbones.blocks import Backbone, count_blocks
from tl_app.backbones.loading import default_image_size_px, load_backbone
from tl_app.backbones.registry import get_spec
from tl_app.config import Config
from tl_app.data.scan import scan
from tl_app.data.side_checks import leaks
from tl_app.data.splitting import make_split
from tl_app.errors import DataError, Interrupted, RunError, StorageError, TlAppError
from tl_app.evaluation.scoring import evaluate
from tl_app.export.latency import measure_latency
from tl_app.export.publish import export_model
from tl_app.export.versions import find_version
from tl_app.features.extract import keep_pictures
from tl_app.inputs.inspect import inspect_file
from tl_app.inputs.preprocess import picture_batches
from tl_app.inputs.window import resolve_window
from tl_app.progress import Reporter
from tl_app.records import (
    SIDES,
    Dataset,
    Evaluation,
    Predictions,
    Preprocessing,
    SetAside,
    Side,
    Split,
)
from tl_app.run import RUN_FORMAT, RunFolder, default_run_name, read_json, write_json
from tl_app.training.classifier import Classifier, dtype_policy, load_model
from tl_app.training.decisions import Decisions
from tl_app.training.hardware import Hardware, choose_hardware
from tl_app.training.phases import PhaseTrainer, TrainingData
from tl_app.training.trackers import build_trackers

PREDICTION_BATCH = 32
"""Pictures a batch in the final predictions; the export's parity check uses the same."""


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes:
        folder: where everything of it lies.
        evaluation: of the test side, or None without one.
        report: the HTML file.
        saved_model: the newest version folder.
        seconds: wall clock by stage.
        set_aside: files that were not used.
    """

    folder: RunFolder
    evaluation: Evaluation | None
    report: Path
    saved_model: Path
    seconds: dict[str, float]
    set_aside: tuple[SetAside, ...] = ()

    def predict(
        self, paths: Sequence[str | os.PathLike[str]], *, reporter: Reporter | None = None
    ) -> tuple[Predictions, list[SetAside]]:
        """Classify files, or all pictures below folders."""
        from tl_app.app.verbs import predict
        from tl_app.progress import SilentReporter

        return predict(
            str(self.folder.path),
            [Path(path) for path in paths],
            output=self.folder.output,
            reporter=reporter or SilentReporter(),
        )


# --- the two verbs -------------------------------------------------------------------------


def train(
    source: str,
    *,
    config: Config,
    output: Path,
    name: str | None = None,
    table: Path | None = None,
    data_dir: Path | None = None,
    split_from: str | None = None,
    command: str = "",
    reporter: Reporter,
) -> TrainedRun:
    """Read, split, train, evaluate, export and report.

    Args:
        source: a folder, a CSV, or `tfds:NAME`.
        config: all settings.
        output: gets `models/` and `reports/`.
        name: of the run; None makes one out of source, backbone and time.
        table: a CSV that lists the pictures below `source`.
        data_dir: of tensorflow-datasets.
        split_from: a run whose assignment to sides is kept.
        command: how to do it again, for the report.
        reporter: gets messages and progress.

    Raises:
        TlAppError: before anything is written, for bad settings, data or weights; afterwards
            with how to resume.
    """
    clock = StageClock()
    spec = get_spec(config.backbone)
    previous = None if split_from is None else RunFolder.open(split_from, output)
    hardware = choose_hardware(config)
    _say_hardware(hardware, reporter)
    with clock.stage("read"):
        dataset = scan(
            source,
            config.data,
            inspect=lambda path: inspect_file(path, max_pixels=config.data.max_pixels),
            reporter=reporter,
            test_required=config.data.test_fraction > 0,
            data_dir=data_dir,
            materialise_to=output / "data",
            known_class_names=() if previous is None else previous.read_dataset().class_names,
            table=table,
        )
        dataset, split = make_split(
            dataset,
            validation_fraction=config.data.validation_fraction,
            test_fraction=config.data.test_fraction,
            seed=config.seed,
            previous=None if previous is None else previous.read_split(),
        )
        _check_sides(dataset, split, config)
        _say_split(dataset, split, reporter)
    preprocessing = Preprocessing(
        image_size_px=config.data.image_size_px or default_image_size_px(spec),
        aspect=config.data.aspect,
        window=resolve_window(config.data.window, dataset.examples),
        max_pixels=config.data.max_pixels,
    )
    strategy = hardware.build_strategy()
    with clock.stage("load"):
        backbone = _load(config, preprocessing, hardware, strategy, reporter)
        for phase in config.phases:
            count_blocks(backbone, phase.unfreeze)

    folder = RunFolder.create(
        output, name or default_run_name(source, config.backbone), exact=name is not None
    )
    try:
        _write_beginning(folder, config, dataset, split, preprocessing, hardware, backbone, command)
    except BaseException:
        folder.remove()
        raise
    clock.attach(folder)
    reporter.message(f"Run {folder.path}")
    with folder.lock():
        return _finish(folder, backbone, strategy, clock, reporter)


def resume(run: str, *, output: Path, command: str = "", reporter: Reporter) -> TrainedRun:
    """Go on with a run that was stopped; it ends as if it never had been.

    Raises:
        RunError: there is no such run, another process works on it, or it is damaged.
    """
    clock = StageClock()
    folder = RunFolder.open(run, output)
    with folder.lock():
        clock.attach(folder)
        if folder.read_info().get("status") == "complete":
            reporter.message(f"Run {folder.path} is complete; nothing is left to do.")
            return finished_run(folder)
        config = Config.model_validate(read_json(folder.config_file))
        hardware = Hardware.from_dict(Decisions(folder).read()["hardware"])
        _say_hardware(hardware, reporter)
        strategy = hardware.build_strategy()
        preprocessing = folder.read_preprocessing()
        with clock.stage("load"):
            backbone = _load(config, preprocessing, hardware, strategy, reporter)
        recorded = Decisions(folder).read()["backbone"]["weights_sha256"]
        if backbone.weights_sha256 != recorded:
            raise RunError(
                "The backbone's weights are not those that the run began with.",
                received=f"{backbone.weights_file}: SHA-256 {backbone.weights_sha256}",
                allowed=f"SHA-256 {recorded}",
                next_step="bring the old weight file back, or train anew",
            )
        reporter.message(f"Resuming {folder.path}")
        return _finish(folder, backbone, strategy, clock, reporter)


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
    return TrainedRun(
        folder=folder,
        evaluation=evaluation if evaluation.side == "test" else None,
        report=folder.report,
        saved_model=find_version(folder.saved_model),
        seconds=info["seconds"],
        set_aside=dataset.set_aside,
    )


# --- before the first step -----------------------------------------------------------------


def _load(
    config: Config,
    preprocessing: Preprocessing,
    hardware: Hardware,
    strategy: tf.distribute.Strategy,
    reporter: Reporter,
) -> Backbone:
    keras.utils.set_random_seed(config.seed)
    with strategy.scope(), dtype_policy(hardware.precision):
        return load_backbone(
            config.backbone,
            image_size_px=preprocessing.image_size_px,
            weights=config.weights,
            reporter=reporter,
        )


def _write_beginning(
    folder: RunFolder,
    config: Config,
    dataset: Dataset,
    split: Split,
    preprocessing: Preprocessing,
    hardware: Hardware,
    backbone: Backbone,
    command: str,
) -> None:
    write_json(folder.config_file, config.model_dump(mode="json"))
    folder.write_dataset(dataset, preprocessing)
    write_json(folder.split_file, split.to_dict())
    write_json(folder.environment_file, environment.describe())
    decisions = Decisions(folder)
    decisions.record("hardware", hardware.to_dict())
    decisions.record(
        "backbone",
        {
            "name": backbone.spec.name,
            "weights_file": None if backbone.weights_file is None else str(backbone.weights_file),
            "weights_sha256": backbone.weights_sha256,
        },
    )
    # Last: a folder with run.json can be resumed.
    write_json(
        folder.info_file,
        {
            "format": RUN_FORMAT,
            "status": "training",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "seconds": {},
        },
    )


def _check_sides(dataset: Dataset, split: Split, config: Config) -> None:
    """Every side that the run needs has pictures, and training has every class."""
    needed = SIDES if config.data.test_fraction > 0 else SIDES[:2]
    empty = [side for side in needed if not len(split.indices(side))]
    if empty:
        raise DataError(
            "A side of the split has no pictures.",
            received=f"nothing for {' and '.join(empty)} out of {len(dataset.examples)} pictures",
            allowed="at least one picture a side; three groups a class give every class a place",
            next_step="bring more pictures, or --no-test",
        )
    present = set(dataset.labels[split.indices("train")].tolist())
    missing = [n for i, n in enumerate(dataset.class_names) if i not in present]
    if missing:
        raise DataError(
            "A class has no training picture.",
            received=", ".join(missing[:10]) + (" ..." if len(missing) > 10 else ""),
            allowed="every class in the training part",
            next_step="bring pictures of it, or take the class out",
        )


def _say_hardware(hardware: Hardware, reporter: Reporter) -> None:
    problem = environment.gpu_problem()
    if problem is not None:
        reporter.warn(problem)
    reporter.message(f"Device: {hardware.describe()}")


def _say_split(dataset: Dataset, split: Split, reporter: Reporter) -> None:
    counts = ", ".join(f"{len(split.indices(side)):,} {side}" for side in SIDES)
    reporter.message(
        f"{len(dataset.examples):,} pictures in {len(dataset.class_names):,} classes: {counts}"
    )
    leaked = leaks(dataset, split)
    if leaked:
        reporter.warn(
            f"{len(leaked)} pictures or groups stand on more than one side of the split that was "
            "given; figures on them flatter the model"
        )


# --- from the first step to the end --------------------------------------------------------


def _finish(
    folder: RunFolder,
    backbone: Backbone,
    strategy: tf.distribute.Strategy,
    clock: StageClock,
    reporter: Reporter,
) -> TrainedRun:
    how = f"tl-app train --resume {folder.path}"
    try:
        _train_phases(folder, backbone, strategy, clock, reporter)
        _evaluate_and_export(folder, clock, reporter)
    except Interrupted as error:
        raise Interrupted(error.signal_number, next_step=how) from None
    except StorageError as error:
        raise StorageError(
            error.problem,
            received=error.received,
            allowed=error.allowed,
            next_step=f"free some space, then {how}",
        ) from error
    except TlAppError as error:
        if error.next_step is None:
            error.next_step = how
        raise
    shutil.rmtree(folder.work, ignore_errors=True)
    folder.update_info(status="complete", finished=datetime.now(UTC).isoformat(timespec="seconds"))
    return finished_run(folder)


def _train_phases(
    folder: RunFolder,
    backbone: Backbone,
    strategy: tf.distribute.Strategy,
    clock: StageClock,
    reporter: Reporter,
) -> None:
    """Train, and write the final float32 Keras model; nothing to do where that is there."""
    if folder.keras_model.exists():
        return
    config = Config.model_validate(read_json(folder.config_file))
    dataset, split = folder.read_dataset(), folder.read_split()
    preprocessing = folder.read_preprocessing()
    hardware = Hardware.from_dict(Decisions(folder).read()["hardware"])
    keras.utils.set_random_seed(config.seed)
    with strategy.scope(), dtype_policy(hardware.precision):
        classifier = Classifier(backbone, len(dataset.class_names), config)
    with clock.stage("prepare"):
        data = _training_data(folder, dataset, split, preprocessing, hardware, reporter)
    trackers = build_trackers(config, folder)
    with clock.stage("train"):
        trainer = PhaseTrainer(
            classifier, data, config, hardware, strategy, folder, trackers, reporter
        )
        try:
            state = trainer.run()
        finally:
            for tracker in trackers:
                tracker.close()
    write_json(folder.history_file, [record.to_dict() for record in state.history])
    with clock.stage("save"):
        final = _final_model(classifier, config, preprocessing, hardware, reporter)
        with tf.device("CPU:0"):
            temporary = folder.path / ".writing.keras"
            final.save(temporary)
            os.replace(temporary, folder.keras_model)


def _training_data(
    folder: RunFolder,
    dataset: Dataset,
    split: Split,
    preprocessing: Preprocessing,
    hardware: Hardware,
    reporter: Reporter,
) -> TrainingData:
    used = np.concatenate([split.indices("train"), split.indices("validation")])
    n_train = len(split.indices("train"))
    pictures = keep_pictures(
        [Path(dataset.root) / dataset.examples[i].path for i in used],
        preprocessing,
        folder.work / "pictures.npy",
        batch_size=hardware.extraction_batch,
        reporter=reporter,
    )
    return TrainingData(
        pictures=pictures,
        labels=dataset.labels[used],
        groups=np.array(split.groups, dtype=np.int64)[used],
        train_rows=np.arange(n_train),
        validation_rows=np.arange(n_train, len(used)),
        n_classes=len(dataset.class_names),
    )


def _final_model(
    classifier: Classifier,
    config: Config,
    preprocessing: Preprocessing,
    hardware: Hardware,
    reporter: Reporter,
) -> keras.Model:
    """The classifier in float32 on one device, with the same weights."""
    if hardware.precision == "float32" and len(hardware.devices) == 1:
        return classifier.probabilities()
    backbone = load_backbone(
        config.backbone,
        image_size_px=preprocessing.image_size_px,
        weights=config.weights,
        reporter=reporter,
    )
    final = Classifier(backbone, classifier.head.output.shape[-1], config)
    final.set_weights(classifier.get_weights())
    return final.probabilities()


def _evaluate_and_export(folder: RunFolder, clock: StageClock, reporter: Reporter) -> None:
    dataset, split = folder.read_dataset(), folder.read_split()
    preprocessing = folder.read_preprocessing()
    model = load_model(folder.keras_model)
    with clock.stage("predict"):
        for side in SIDES:
            if len(split.indices(side)) and not folder.predictions_file(side).exists():
                folder.write_predictions(
                    side, predict_side(model, dataset, split, side, preprocessing, reporter)
                )
    with clock.stage("evaluate"):
        side = evaluated_side(split)
        counts = np.bincount(
            dataset.labels[split.indices("train")], minlength=len(dataset.class_names)
        )
        evaluation = evaluate(
            folder.read_predictions(side), class_shares=counts / counts.sum(), side=side
        )
        write_json(folder.evaluation_file, {"evaluation": evaluation.to_dict()})
    with clock.stage("export"):
        indices = split.indices(side)
        shutil.rmtree(folder.saved_model, ignore_errors=True)  # half of an earlier try
        result = export_model(
            model,
            preprocessing,
            dataset.class_names,
            folder.saved_model,
            files=[Path(dataset.root) / dataset.examples[i].path for i in indices],
            recorded=folder.read_predictions(side),
            file_hashes=[dataset.examples[i].file_hash for i in indices],
            reporter=reporter,
        )
        reporter.message(
            f"Exported; the reloaded SavedModel reproduces {result.n_examples:,} pictures to "
            f"{result.largest_difference:.1e}"
        )
    with clock.stage("measure"):
        write_json(folder.cost_file, _measure_cost(folder, model, preprocessing))
    with clock.stage("report"):
        write_report(folder)


def evaluated_side(split: Split) -> Side:
    """The test side, or the validation side of a run without one."""
    return "test" if len(split.indices("test")) else "validation"


def predict_side(
    model: keras.Model,
    dataset: Dataset,
    split: Split,
    side: Side,
    preprocessing: Preprocessing,
    reporter: Reporter,
) -> Predictions:
    """Probabilities of one side, from the original files."""
    examples = [dataset.examples[i] for i in split.indices(side)]
    files = [Path(dataset.root) / example.path for example in examples]
    size = preprocessing.image_size_px
    compiled = tf.function(
        lambda batch: model(batch, training=False),
        input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32)],
    )
    rows = []
    with reporter.bar(f"Predicting the {side} side", len(files), "images") as bar:
        for batch in picture_batches(files, preprocessing, PREDICTION_BATCH):
            rows.append(compiled(batch).numpy())
            bar.advance(len(rows[-1]))
    return Predictions(
        paths=tuple(example.path for example in examples),
        y_true=np.array([example.label for example in examples], dtype=np.int64),
        probabilities=np.concatenate(rows).astype(np.float32),
        class_names=dataset.class_names,
    )


def _measure_cost(
    folder: RunFolder, model: keras.Model, preprocessing: Preprocessing
) -> dict[str, Any]:
    """Latency, sizes and memory, as the report shows them."""
    size = preprocessing.image_size_px
    compiled = tf.function(
        lambda batch: model(batch, training=False),
        input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32)],
    )
    decisions = Decisions(folder).read()
    exported = find_version(folder.saved_model)
    return {
        "latency_ms": measure_latency(lambda x: compiled(tf.constant(x)), size),
        "n_parameters": int(model.count_params()),
        "n_trainable_parameters": decisions.get("trainable", {}).get("n_parameters"),
        "model_bytes": folder.keras_model.stat().st_size,
        "saved_model_bytes": sum(p.stat().st_size for p in exported.rglob("*") if p.is_file()),
        # ru_maxrss is in KiB on Linux.
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
