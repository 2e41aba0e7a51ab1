"""`train` and `resume`: from pictures or texts to a finished run.

Everything that decides the outcome is on disk before the first step, so that a fresh run and
a resumed one go through the same code from there on.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import tensorflow as tf

from tl_app.app.beginning import say_hardware, write_beginning
from tl_app.app.finished import TrainedRun, finished_run
from tl_app.app.finishing import evaluate_and_export, train_phases
from tl_app.app.materials import Material, load_material, require_modality
from tl_app.app.sides import split_examples
from tl_app.app.stages import StageClock
from tl_app.backbones.registry import PRESET_PREFIX, find_spec
from tl_app.config import Config, require_fitting
from tl_app.data.source import Source
from tl_app.errors import Interrupted, RunError, StorageError, TlAppError
from tl_app.features.store import GB, FeatureStore
from tl_app.progress import Reporter
from tl_app.records import HUB_PREFIX
from tl_app.run import RunFolder, default_run_name
from tl_app.training.decisions import Decisions
from tl_app.training.fitting import require_trainable
from tl_app.training.hardware import Hardware, choose_hardware, require_devices
from tl_app.training.trackers import require_trackers

# --- the two verbs -------------------------------------------------------------------------


def train(
    source: Source,
    *,
    config: Config,
    output: Path,
    name: str | None = None,
    split_from: str | None = None,
    command: str = "",
    reporter: Reporter,
) -> TrainedRun:
    """Read, split, train, evaluate, export and report.

    Args:
        source: pictures or texts.
        config: all settings.
        output: gets `models/` and `reports/`.
        name: of the run; None makes one out of source, backbone and time.
        split_from: a run whose assignment to sides is kept.
        command: how to do it again, for the report.
        reporter: gets messages and progress.

    Raises:
        TlAppError: before anything is written, for bad settings, data or weights; afterwards
            with how to resume.
    """
    source.require_existing()
    clock = StageClock()
    config = _with_absolute_paths(config)
    require_modality(config.backbone, source.modality)
    require_fitting(config, source.modality)
    previous = None if split_from is None else RunFolder.open(split_from, output)
    before = None if previous is None else previous.read_dataset()
    if before is not None:
        source.require(before.modality)
    require_trackers(config)
    if name is not None:
        RunFolder.require_free(output, name)
    spec = find_spec(config.backbone, source.modality)
    hardware = choose_hardware(config, one_device=spec.is_hub)
    say_hardware(hardware, reporter)
    strategy = hardware.build_strategy()
    # Before the examples are looked at: what is wrong with settings or weights shows at once.
    with clock.stage("load"):
        material = load_material(source.modality, config, hardware, strategy, reporter)
        require_trainable(material.backbone, config.phases, hardware)
    store = FeatureStore.open(output, reporter)
    with clock.stage("read"):
        dataset = material.read(
            source, before=before, output=output, store=store, reporter=reporter
        )
        dataset, split = split_examples(
            dataset, material, config, previous=previous, store=store, reporter=reporter
        )
    material.settle(dataset, reporter)
    folder = RunFolder.create(
        output, name or default_run_name(source.name, config.backbone), exact=name is not None
    )
    try:
        write_beginning(
            folder,
            config,
            dataset,
            split,
            material.processing,
            hardware,
            material.backbone,
            command,
        )
    except BaseException:
        folder.remove()
        raise
    clock.attach(folder)
    reporter.message(f"Run {folder.path}")
    with folder.lock():
        return _finish(folder, material, strategy, store, clock, reporter)


def _with_absolute_paths(config: Config) -> Config:
    """A resumed run may be started from another folder."""
    if config.weights is not None:
        config = config.model_copy(update={"weights": os.path.abspath(config.weights)})
    for key in ("backbone", "preprocessor"):
        name = getattr(config, key) or ""
        for prefix in (HUB_PREFIX, PRESET_PREFIX):
            path = name.removeprefix(prefix)
            is_named = path != name or (key == "preprocessor" and prefix == HUB_PREFIX)
            if path and is_named and os.path.exists(path):
                config = config.model_copy(update={key: prefix + os.path.abspath(path)})
    return config


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
        config = folder.read_config()
        decisions = Decisions(folder).read()
        if not {"hardware", "backbone"} <= set(decisions):
            raise RunError(
                "A file of the run is damaged: what was decided at its beginning is missing.",
                received=str(folder.decisions_file),
                next_step="train anew",
            )
        hardware = Hardware.from_dict(decisions["hardware"])
        require_devices(hardware)
        say_hardware(hardware, reporter)
        strategy = hardware.build_strategy()
        with clock.stage("load"):
            material = load_material(
                folder.read_dataset().modality,
                config,
                hardware,
                strategy,
                reporter,
                processing=folder.read_processing(),
            )
        backbone = material.backbone
        recorded = decisions["backbone"]["weights_sha256"]
        if backbone.weights_sha256 != recorded:
            raise RunError(
                "The backbone's weights are not those that the run began with.",
                received=f"{backbone.weights_file}: SHA-256 {backbone.weights_sha256}",
                allowed=f"SHA-256 {recorded}",
                next_step="bring the old weight file back, or train anew",
            )
        reporter.message(f"Resuming {folder.path}")
        store = FeatureStore.open(folder.output, reporter)
        return _finish(folder, material, strategy, store, clock, reporter)


def _finish(
    folder: RunFolder,
    material: Material,
    strategy: tf.distribute.Strategy,
    store: FeatureStore,
    clock: StageClock,
    reporter: Reporter,
) -> TrainedRun:
    how = f"tl-app train --resume {folder.path}"
    config = folder.read_config()
    try:
        train_phases(folder, material, strategy, store, clock, reporter)
        evaluate_and_export(folder, material, clock, reporter)
    except Interrupted as error:
        raise Interrupted(error.signal_number, next_step=how) from None
    except StorageError as error:
        raise StorageError(
            error.problem,
            received=error.received,
            allowed=error.allowed,
            next_step=_next_with_space(error, folder, how),
        ) from error
    except TlAppError as error:
        if error.next_step is None:
            error.next_step = how
        raise
    store.close()
    store.prune(config.cache_limit_gb * GB)
    folder.update_info(status="complete", finished=datetime.now(UTC).isoformat(timespec="seconds"))
    return finished_run(folder)


def _next_with_space(error: StorageError, folder: RunFolder, how: str) -> str:
    """A run cannot move to another place any more; the cache can."""
    fixed = (str(folder.path), str(folder.report.parent))
    if error.next_step is None or any(place in str(error.received) for place in fixed):
        return f"free some space, then {how}"
    return error.next_step.replace("run again", how)
