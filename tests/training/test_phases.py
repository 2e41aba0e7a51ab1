from __future__ import annotations

import itertools
import signal
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.small_model import all_weights, build_trainer, head_phase, tune_phase
from tl_app import interrupt
from tl_app.config import Augmentation
from tl_app.errors import Interrupted, RunError
from tl_app.progress import SilentReporter
from tl_app.run import RunFolder
from tl_app.training.step import Forward, TrainStep


def assert_same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def moving_averages(model: keras.Model) -> list[np.ndarray]:
    return [
        keras.ops.convert_to_numpy(v)
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        for v in (layer.moving_mean, layer.moving_variance)
    ]


@pytest.mark.parametrize("unfreeze", [1, 2, "all"])
def test_moving_averages_never_move_and_only_unfrozen_blocks_do(folder, unfreeze, monkeypatch):
    trainer = build_trainer(folder, head_phase(), tune_phase(unfreeze=unfreeze))
    model = trainer.classifier.backbone.model
    before = moving_averages(model)
    kernels = {
        f"block{i}_conv": keras.ops.convert_to_numpy(model.get_layer(f"block{i}_conv").kernel)
        for i in (0, 1, 2)
    }
    # Whatever wins on validation, the weights at the end of descent are what is looked at.
    monkeypatch.setattr(trainer.checkpoints, "restore_best", lambda *_: None)
    trainer.run()
    assert_same(before, moving_averages(model))
    n_free = 3 if unfreeze == "all" else unfreeze
    for i in range(3):
        moved = not np.array_equal(
            kernels[f"block{i}_conv"],
            keras.ops.convert_to_numpy(model.get_layer(f"block{i}_conv").kernel),
        )
        assert moved == (i >= 3 - n_free), f"block{i}"


def test_best_over_all_phases_wins_when_tuning_hurts(folder):
    trainer = build_trainer(folder, head_phase(), tune_phase(learning_rate=3.0, warmup_fraction=0))
    state = trainer.run()
    head_record = state.history[0]
    assert state.best == "best-head-1.npz"
    assert state.best_loss == head_record.validation_log_loss
    assert all(not r.is_best for r in state.history[1:])
    kernel = trainer.classifier.head.get_layer("logits").get_weights()[0]
    saved = np.load(trainer.checkpoints.folder / "best-head-1.npz")
    np.testing.assert_array_equal(saved["variable/0"], kernel)


def test_early_stopping(folder):
    trainer = build_trainer(
        folder, head_phase(), tune_phase(epochs=9, learning_rate=1e-12, patience_epochs=2)
    )
    state = trainer.run()
    # The first epoch counts as a gain over nothing; the next two bring none.
    assert [r.epoch for r in state.history if r.phase == "tune"] == [1, 2, 3]


VARIANTS = {
    "kept": tune_phase(),
    "streamed": tune_phase(views=0),
    "whole network": tune_phase(unfreeze="all"),
    "mixup and smoothing": tune_phase(
        views=0, mixup_alpha=0.3, cutmix_alpha=0.5, label_smoothing=0.1
    ),
    "dropout": tune_phase(dropout=0.3),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_stopped_anywhere_and_resumed_is_the_same_bit_for_bit(tmp_path, name, monkeypatch):
    """A signal after any number of steps: the resumed run ends with the same weights."""
    phases = (head_phase(), VARIANTS[name])
    whole = build_trainer(RunFolder.create(tmp_path, "whole"), *phases)
    expected_state = whole.run()
    expected = all_weights(whole)
    for stop_after in (1, 5) if name == "kept" else (5,):
        folder = RunFolder.create(tmp_path, f"cut-{stop_after}")
        counter = itertools.count(1)
        with monkeypatch.context() as patch:
            patch.setattr(
                interrupt,
                "requested",
                lambda counter=counter, n=stop_after: (
                    signal.SIGTERM if next(counter) == n else None
                ),
            )
            with pytest.raises(Interrupted):
                build_trainer(folder, *phases).run()
        resumed = build_trainer(folder, *phases)
        state = resumed.run()
        assert_same(expected, all_weights(resumed))
        assert [replace(r, seconds=0) for r in state.history] == [
            replace(r, seconds=0) for r in expected_state.history
        ]


def test_a_kill_after_any_checkpoint_loses_nothing(tmp_path, monkeypatch):
    """Every state that was ever on disk leads to the same end."""
    phases = (head_phase(), tune_phase(patience_epochs=1, epochs=2))
    whole = build_trainer(RunFolder.create(tmp_path, "whole"), *phases)
    expected_state = whole.run()
    expected = all_weights(whole)

    class Killed(BaseException):
        pass

    for kill_after in itertools.count(1):
        folder = RunFolder.create(tmp_path, f"killed-{kill_after}")
        trainer = build_trainer(folder, *phases)
        saves = itertools.count(1)
        save = trainer.checkpoints.save

        def dying_save(*args, save=save, saves=saves, kill_after=kill_after):
            save(*args)
            if next(saves) == kill_after:
                raise Killed

        monkeypatch.setattr(trainer.checkpoints, "save", dying_save)
        try:
            trainer.run()
        except Killed:
            resumed = build_trainer(folder, *phases)
            state = resumed.run()
            assert state.best_loss == expected_state.best_loss
            assert [replace(r, seconds=0) for r in state.history] == [
                replace(r, seconds=0) for r in expected_state.history
            ]
            assert_same(expected, all_weights(resumed))
        else:
            break
    assert kill_after > 4


def test_two_runs_are_the_same(tmp_path):
    runs = [
        build_trainer(RunFolder.create(tmp_path, name), head_phase(), tune_phase())
        for name in ("a", "b")
    ]
    for run in runs:
        run.run()
    assert_same(all_weights(runs[0]), all_weights(runs[1]))


def test_another_seed_trains_otherwise(tmp_path, monkeypatch):
    runs = [
        build_trainer(RunFolder.create(tmp_path, f"seed-{seed}"), tune_phase(epochs=1), seed=seed)
        for seed in (0, 1)
    ]
    for run in runs:
        monkeypatch.setattr(run.checkpoints, "restore_best", lambda *_: None)
        run.run()
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(all_weights(runs[0]), all_weights(runs[1]), strict=True)
    )


@pytest.mark.parametrize("n_good_steps", [0, 4, 7])
def test_out_of_memory_halves_the_batch(folder, monkeypatch, n_good_steps):
    """At the first step, and in later epochs, when better weights were found already."""
    reporter = SilentReporter()
    trainer = build_trainer(folder, head_phase(), tune_phase(), reporter=reporter)
    call = TrainStep.__call__

    steps = itertools.count()

    def exhausted(self, inputs, targets, weights):
        if len(inputs) > 4 and next(steps) >= n_good_steps:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return call(self, inputs, targets, weights)

    monkeypatch.setattr(TrainStep, "__call__", exhausted)
    state = trainer.run()
    assert state.batch_size == 4
    assert "8 pictures a batch" in reporter.warnings[0]
    assert [r.epoch for r in state.history if r.phase == "tune"] == [1, 2, 3]
    assert all(np.isfinite(r.validation_log_loss) for r in state.history)
    assert state == trainer.checkpoints.restore_state()


def test_out_of_memory_in_validation_shrinks_its_batches_too(folder, monkeypatch):
    trainer = build_trainer(folder, head_phase(), tune_phase())
    call = Forward.__call__

    def exhausted(self, batches):
        batches = list(batches)
        if any(len(batch) > 2 for batch in batches):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return call(self, batches)

    monkeypatch.setattr(Forward, "__call__", exhausted)
    state = trainer.run()
    assert state.batch_size == 2
    assert [r.epoch for r in state.history if r.phase == "tune"] == [1, 2, 3]


def test_out_of_memory_with_one_picture_is_an_error(folder, monkeypatch):
    trainer = build_trainer(folder, head_phase(), tune_phase())

    def exhausted(self, *_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(TrainStep, "__call__", exhausted)
    with pytest.raises(RunError, match="too small for a single picture") as caught:
        trainer.run()
    assert "--image-size 160 --set phases.1.unfreeze=1" in str(caught.value.next_step)


def test_divergence_ends_the_phase_and_keeps_the_best(folder, monkeypatch):
    reporter = SilentReporter()
    trainer = build_trainer(folder, head_phase(), tune_phase(), reporter=reporter)
    monkeypatch.setattr(TrainStep, "__call__", lambda self, *_: (float("nan"), 0.0))
    state = trainer.run()
    assert state.best == "best-head-1.npz"
    assert "diverged" in reporter.warnings[0]


def test_divergence_before_anything_was_kept_is_an_error(folder, monkeypatch):
    trainer = build_trainer(folder, tune_phase())
    monkeypatch.setattr(TrainStep, "__call__", lambda self, *_: (float("nan"), 0.0))
    with pytest.raises(RunError, match="diverged before"):
        trainer.run()


def test_frozen_blocks_drop_nothing_out_when_pictures_are_streamed(tmp_path):
    plain = Augmentation()
    histories = []
    for name, drop in (("with", 0.5), ("without", 0.0)):
        trainer = build_trainer(
            RunFolder.create(tmp_path, name),
            head_phase(),
            tune_phase(unfreeze=1, views=0, augmentation=plain, epochs=1),
            drop=drop,
        )
        # The top block keeps its own dropout, which is not the question.
        trainer.classifier.backbone.model.get_layer("block2_out").rate = 0.0
        histories.append([r.train_loss for r in trainer.run().history])
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)


def test_a_truncated_checkpoint_is_an_error_that_says_what_to_do(folder):
    trainer = build_trainer(folder, head_phase(), tune_phase())
    trainer.run()
    latest = trainer.checkpoints.latest
    latest.write_bytes(latest.read_bytes()[:-300])
    with pytest.raises(RunError) as caught:
        build_trainer(folder, head_phase(), tune_phase()).run()
    assert str(latest) in str(caught.value)
    assert "--resume" in str(caught.value)


def test_hidden_units_and_gradual_unfreezing(folder):
    phases = [
        head_phase(l2=1e-4, learning_rate=1e-2, epochs=2, dropout=0.2),
        tune_phase(name="one", unfreeze=1, epochs=1),
        tune_phase(name="two", unfreeze=2, epochs=1),
        tune_phase(name="three", unfreeze="all", epochs=1),
    ]
    trainer = build_trainer(folder, *phases, head_hidden_units=(5,))
    state = trainer.run()
    assert [r.phase for r in state.history] == ["head", "head", "one", "two", "three"]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(folder, precision):
    trainer = build_trainer(folder, head_phase(), tune_phase(), precision=precision)
    state = trainer.run()
    assert all(np.isfinite(r.validation_log_loss) for r in state.history)
    assert trainer.classifier.backbone.model.get_layer("block2_conv").compute_dtype in precision
