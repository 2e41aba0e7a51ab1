"""Kept activations: the same training as through the whole network, for a fraction of the work."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.small_model import (
    ArrayPictures,
    all_weights,
    build_trainer,
    head_phase,
    tune_phase,
)
from tl_app.config import Augmentation
from tl_app.errors import RunError
from tl_app.features.pictures import PICTURE_SCALE
from tl_app.features.store import FeatureStore
from tl_app.progress import SilentReporter
from tl_app.run import RunFolder
from tl_app.training import engine_choice, phase_inputs
from tl_app.training import estimate as estimate_module
from tl_app.training.decisions import Decisions, PhaseDecision

PLAIN = Augmentation(flip_horizontal=False)


def make(folder: RunFolder, *phases: Any, **settings: Any) -> Any:
    """A trainer; Any, since tests reach into it."""
    return build_trainer(folder, *phases, **settings)


def assert_same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def test_kept_activations_equal_the_full_network_bit_for_bit(tmp_path):
    """TensorFlow's own graph, float32, the plain view and the same batches: no bit differs."""
    plain = tune_phase(augmentation=PLAIN, views=1)
    exact = {"engine": "tensorflow", "kept_dtype": "float32"}
    kept = make(RunFolder.create(tmp_path, "kept"), head_phase(), plain, **exact)
    # The other runs through the whole network with only the top blocks trainable.
    streaming = RunFolder.create(tmp_path, "full")
    Decisions(streaming).record("phase tune", asdict(PhaseDecision("streamed", "float32", 1, 0)))
    full = make(streaming, head_phase(), plain, **exact)
    histories = []
    for trainer in (kept, full):
        trainer.checkpoints.restore_best = lambda *_: None  # the end of descent, whatever won
        histories.append([replace(r, seconds=0) for r in trainer.run().history])
    assert Decisions(kept.folder).read()["phase tune"]["source"] == "kept"
    assert len(full.data.items.loaded) > len(kept.data.items.loaded)
    assert histories[0] == histories[1]
    assert_same(all_weights(kept), all_weights(full))


@pytest.mark.parametrize("engine", ["folded", "litert"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_faster_engines_and_half_floats_change_little(tmp_path, engine, dtype):
    """Measured: losses differ by less than 1e-5 with float32, and than 1e-3 with float16."""
    plain = tune_phase(augmentation=PLAIN, views=1)
    losses: list[np.ndarray] = []
    for name, kept_dtype in (("tensorflow", "float32"), (engine, dtype)):
        trainer = make(
            RunFolder.create(tmp_path, f"{name}-{kept_dtype}-{len(losses)}"),
            head_phase(),
            plain,
            engine=name,
            kept_dtype=kept_dtype,
        )
        state = trainer.run()
        losses.append(
            np.array([(r.train_loss, r.validation_log_loss) for r in state.history], dtype=float)
        )
    bound = 1e-5 if dtype == "float32" else 1e-3
    np.testing.assert_allclose(losses[0], losses[1], rtol=bound)
    assert not np.array_equal(losses[0], losses[1])


def test_what_was_kept_is_not_computed_again(tmp_path):
    """Another seed, another head and a second run at the same settings load no picture."""
    store = FeatureStore(tmp_path / "store")
    first = make(RunFolder.create(tmp_path, "first"), head_phase(), tune_phase(), store=store)
    first.run()
    assert first.data.items.loaded
    for name, settings in (
        ("again", {}),
        ("seed", {"seed": 5}),
        ("head", {"head_hidden_units": (4,)}),
    ):
        trainer = make(
            RunFolder.create(tmp_path, name),
            head_phase(views=1),
            tune_phase(epochs=2),
            store=store,
            **settings,
        )
        trainer.run()
        assert not trainer.data.items.loaded, name
    assert_same(
        all_weights(first),
        all_weights(_run(make(RunFolder.create(tmp_path, "cold"), head_phase(), tune_phase()))),
    )


def _run(trainer):
    trainer.run()
    return trainer


def train_without_the_last_ten(folder: RunFolder, store: FeatureStore) -> Any:
    few = make(folder, head_phase(), store=store)
    few.data = few.inputs._data = replace(
        few.data,
        items=ArrayPictures(few.data.items.pictures[:-10]),
        train_rows=np.arange(14),
        validation_rows=np.arange(14, 19),
    )
    return _run(few)


def test_ten_more_pictures_cost_ten_looks(tmp_path):
    store = FeatureStore(tmp_path / "store")
    few = train_without_the_last_ten(RunFolder.create(tmp_path, "few"), store)
    assert len(set(few.data.items.loaded)) == 19
    more = make(RunFolder.create(tmp_path, "more"), head_phase(), store=store)
    more.run()
    assert more.data.items.loaded == list(range(19, 29))


@pytest.mark.parametrize(("views", "source"), [(2, "kept"), (30, "streamed")])
def test_more_views_than_epochs_would_use_are_not_kept(folder, views, source):
    trainer = make(folder, tune_phase(views=views))
    decision = trainer.inputs.decide(trainer.config.phases[0])
    assert decision.source == source
    other = "streaming" if source == "kept" else "keeping"
    assert re.search(rf"\(about .* s; {other}.*: .* s\)", decision.describe())


def test_what_the_disk_cannot_hold_is_streamed_and_not_kept_either(folder, monkeypatch):
    """Neither activations nor the larger pictures; without them the weights end the same."""
    trainers = []
    for name, free_bytes in (("room", 10**9), ("none", 1000)):
        monkeypatch.setattr(FeatureStore, "free_bytes", lambda self, n=free_bytes: n)
        run = RunFolder.create(folder.path, name)
        trainer = make(run, tune_phase(views=30 if name == "room" else 2, epochs=2))
        trainer.data.items.kept = []
        trainer.data.items.keep = lambda rows, _, t=trainer: t.data.items.kept.extend(rows)
        assert trainer.inputs.decide(trainer.config.phases[0]).source == "streamed"
        trainer.checkpoints.restore_best = lambda *_: None
        trainer.run()
        trainers.append(trainer)
    assert len(trainers[0].data.items.kept) == 29
    assert trainers[1].data.items.kept == []
    assert_same(all_weights(trainers[0]), all_weights(trainers[1]))


def test_what_one_phase_keeps_is_not_there_for_the_next(folder, monkeypatch):
    """Gradual unfreezing keeps activations at every boundary, all at once."""
    phases = [tune_phase(name=f"tune_{n}", unfreeze=n) for n in (1, 2)]
    alone = make(RunFolder.create(folder.path, "alone"), *phases)
    sizes = [alone.inputs.decide(phase).n_bytes for phase in alone.config.phases]
    assert all(sizes)
    # Room for the larger one, not for both.
    monkeypatch.setattr(FeatureStore, "free_bytes", lambda _: 2 * max(sizes) + 10)
    both = make(RunFolder.create(folder.path, "both"), *phases)
    assert [both.inputs.decide(p).source for p in both.config.phases] == ["kept", "streamed"]


def test_what_is_kept_already_needs_no_room_and_no_time(tmp_path, monkeypatch):
    """A second run takes what the first kept, though the disk is nearly full by it."""
    store = FeatureStore(tmp_path / "store")
    make(RunFolder.create(tmp_path, "first"), head_phase(), tune_phase(), store=store).run()
    monkeypatch.setattr(FeatureStore, "free_bytes", lambda _: 1000)
    second = make(RunFolder.create(tmp_path, "second"), head_phase(), tune_phase(), store=store)
    second.run()
    decision = second.decisions.read()["phase tune"]
    assert (decision["source"], decision["new_bytes"]) == ("kept", 0)
    assert not second.data.items.loaded
    # Many views that are there cost less than streaming a few epochs.
    monkeypatch.undo()
    views = tune_phase(views=12, epochs=20)
    make(RunFolder.create(tmp_path, "views"), head_phase(), views, store=store).run()
    short = make(
        RunFolder.create(tmp_path, "short"),
        head_phase(),
        tune_phase(views=12, epochs=3),
        store=store,
    )
    short.prepare()
    assert short.decisions.read()["phase tune"]["source"] == "kept"


def test_more_than_the_cache_may_hold_is_not_kept(folder):
    trainer = make(folder, tune_phase(), cache_limit_gb=1e-6)
    assert trainer.inputs.decide(trainer.config.phases[0]).source == "streamed"


def test_a_few_more_pictures_keep_the_engine(tmp_path, monkeypatch):
    """Another engine would look at all of them again, for the sake of ten."""
    monkeypatch.setattr(engine_choice, "FEW_LOOKS", 25)
    store = FeatureStore(tmp_path / "store")
    train_without_the_last_ten(RunFolder.create(tmp_path, "few"), store)
    more = make(RunFolder.create(tmp_path, "more"), head_phase(), store=store)
    more.run()
    assert more.data.items.loaded == list(range(19, 29))
    assert more.decisions.read()["engine"]["name"] == "folded"
    # Without what was kept there is nothing to be true to.
    fresh = make(
        RunFolder.create(tmp_path, "fresh"), head_phase(), store=FeatureStore(tmp_path / "other")
    )
    fresh.run()
    assert fresh.decisions.read()["engine"]["images_per_second"]


def test_one_engine_serves_drawn_views_where_building_another_costs_more(tmp_path, monkeypatch):
    """The drawn views need the boundary alone; their engine gives what the shared one gives."""
    found = []
    for name, seconds in (("shared", engine_choice.BUILD_SECONDS), ("own", 0.0)):
        monkeypatch.setattr(phase_inputs, "BUILD_SECONDS", seconds)
        trainer = make(RunFolder.create(tmp_path, name), head_phase(), tune_phase())
        trainer.prepare()
        trainer.run()
        found.append((len(trainer.inputs._built), trainer.predict_training_side()))
    assert [n for n, _ in found] == [1, 2]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_streamed_phases_are_told_with_the_disk_that_their_pictures_take(folder):
    trainer = make(folder, tune_phase(views=0))
    trainer.prepare()
    assert trainer.decisions.read()["estimate"]["disk_bytes"] == 29 * 6 * 16 * 16


@pytest.fixture
def few_steps_are_timed(monkeypatch):
    monkeypatch.setattr(estimate_module, "FEW_STEPS", 0)


@pytest.mark.usefixtures("few_steps_are_timed")
def test_the_estimate_is_told_before_the_run_and_kept_beside_what_happened(folder):
    class Listener(SilentReporter):
        def __init__(self):
            super().__init__()
            self.said = []

        def message(self, text):
            self.said.append(text)

    reporter = Listener()
    trainer = make(folder, head_phase(), tune_phase(), reporter=reporter)
    before = all_weights(trainer)
    trainer.prepare()
    assert_same(before, all_weights(trainer))  # measuring trains nothing
    [told] = [text for text in reporter.said if text.startswith("Ahead, about")]
    assert "(71 looks at pictures), head " in told
    assert ", tune " in told
    assert " of disk" in told
    estimate = trainer.decisions.read()["estimate"]
    assert estimate["n_looks"] == 29 + 2 * 21
    assert set(estimate["phases"]) == {"head", "tune"}
    on_disk = sum(path.stat().st_size for path in (folder.path / "store").rglob("*.rows"))
    assert estimate["disk_bytes"] == pytest.approx(on_disk, rel=0.2)


def test_training_side_predictions_from_what_was_kept(folder):
    trainer = make(folder, head_phase(), tune_phase())
    trainer.run()
    kept = trainer.predict_training_side()
    pictures = trainer.data.items.pictures[trainer.data.train_rows] / PICTURE_SCALE
    whole = trainer.classifier.probabilities()(pictures.astype(np.float32), training=False)
    # The boundary was kept in half floats.
    np.testing.assert_allclose(kept, whole, atol=5e-3)


def test_no_training_side_predictions_where_nothing_was_kept(folder):
    trainer = make(folder, head_phase(), tune_phase(unfreeze="all"))
    trainer.run()
    assert trainer.predict_training_side() is None


def test_activations_below_changed_weights_are_not_taken_from_before(folder):
    """The head is solved, blocks below it change, the head is solved again."""
    trainer = make(
        folder,
        head_phase(),
        tune_phase(learning_rate=1e-3, layer_decay=1.0),
        head_phase(name="again"),
    )
    # Whatever wins on validation: the second head must see the changed blocks.
    trainer.checkpoints.restore_best = lambda *_: None
    seen = []
    features = trainer.inputs.features

    def spy(phase):
        seen.append(features(phase))
        return seen[-1]

    trainer.inputs.features = spy
    trainer.run()
    assert np.abs(seen[0] - seen[1]).max() > 1e-4
    pictures = trainer.data.items.pictures[trainer.data.train_rows] / PICTURE_SCALE
    below = trainer.classifier.below(0)
    np.testing.assert_allclose(seen[1][0], below(pictures.astype(np.float32)), rtol=1e-4, atol=1e-5)


def test_activations_too_large_for_float16_are_kept_as_float32(folder):
    store = FeatureStore(folder.path / "store")
    for _ in range(2):  # the second trainer knows from the start
        trainer = make(folder, head_phase(), tune_phase(), store=store)
        bn = trainer.classifier.backbone.model.get_layer("block0_bn")
        bn.gamma.assign(np.full(6, 1e6))
        trainer.run()
        rows = trainer.inputs.plain_activations(2)
        assert rows is not None
        assert rows.dtype == np.float32
        assert np.abs(rows.all()).max() > 65_504


def test_values_that_are_no_numbers_are_an_error_that_says_what_to_do(folder):
    trainer = make(folder, head_phase(), tune_phase(), engine="tensorflow")
    bn = trainer.classifier.backbone.model.get_layer("block2_bn")
    bn.gamma.assign(np.full(6, np.inf))
    with pytest.raises(RunError, match="no numbers") as caught:
        trainer.run()
    assert "engine=tensorflow" in str(caught.value.next_step)


def test_what_another_run_finds_out_meanwhile_changes_no_type(folder):
    """A cut run goes on in half floats though the cache now asks for more."""
    store = FeatureStore(folder.path / "store")
    trainer = make(folder, head_phase(), tune_phase(), store=store)
    trainer.prepare()
    store.note({"wide": trainer.inputs._fingerprint(2)}, {"dtype": "float32"})
    resumed = make(folder, head_phase(), tune_phase(), store=store)
    resumed.run()
    assert resumed.inputs.plain_activations(2).dtype == np.float16
    assert not resumed.data.items.loaded


def test_training_side_predictions_do_not_depend_on_what_was_pruned(folder):
    store = FeatureStore(folder.path / "store")
    trainer = make(folder, head_phase(), tune_phase(), store=store)
    trainer.run()
    before = trainer.predict_training_side()
    store.close()
    assert store.prune(0)
    again = make(folder, head_phase(), tune_phase(), store=store)
    again.run()
    np.testing.assert_array_equal(again.predict_training_side(), before)


@pytest.mark.usefixtures("few_steps_are_timed")
def test_a_batch_too_large_for_the_memory_is_no_matter_for_the_estimate(folder, monkeypatch):
    def exhausted(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    trainer = make(folder, head_phase(), tune_phase())
    broken = SimpleNamespace(zeros=exhausted, errors=tf.errors, function=tf.function)
    monkeypatch.setattr(estimate_module, "tf", broken)
    trainer.prepare()
    assert set(trainer.decisions.read()["estimate"]["phases"]) == {"head"}


def test_a_phase_of_few_steps_is_not_timed(folder):
    trainer = make(folder, head_phase(), tune_phase())
    trainer.prepare()
    assert set(trainer.decisions.read()["estimate"]["phases"]) == {"head"}


@pytest.mark.usefixtures("few_steps_are_timed")
def test_a_phase_that_streams_is_estimated_too(folder):
    trainer = make(folder, tune_phase(views=0))
    trainer.prepare()
    assert trainer.decisions.read()["estimate"]["phases"]["tune"] > 0


def test_an_engine_is_measured_once_for_the_same_weights(tmp_path, monkeypatch):
    calls = []
    choose = engine_choice.choose_engine

    def counting(*args, **kwargs):
        calls.append(kwargs["names"])
        return choose(*args, **kwargs)

    monkeypatch.setattr(engine_choice, "choose_engine", counting)
    monkeypatch.setattr(engine_choice, "FEW_LOOKS", 5)
    store = FeatureStore(tmp_path / "store")
    for number, gamma in enumerate((1.0, 1.0, 3.0)):
        trainer = make(RunFolder.create(tmp_path, f"run-{number}"), head_phase(), store=store)
        trainer.classifier.backbone.model.get_layer("block0_bn").gamma.assign(np.full(6, gamma))
        trainer.prepare()
        assert trainer.decisions.read()["engine"]["name"] in ("litert", "folded")
    # ONNX Runtime takes longer to build than so few pictures take.
    assert calls == [("litert", "folded")] * 2
