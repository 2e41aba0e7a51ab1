"""Low-rank updates: what they change, what they leave, and what is kept of them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import safetensors
import safetensors.numpy
import tensorflow as tf
from pydantic import ValidationError
from scipy.special import log_softmax

from tests.training.small_encoder import (
    PIECES,
    SHAPE,
    build_encoder,
    make_text_data,
    tune_texts,
)
from tests.training.small_model import all_weights, build_trainer, head_phase
from tests.training.small_model import tune_phase as tune_pictures
from tl_app.config import Phase
from tl_app.errors import ConfigError, RunError
from tl_app.features.items import collate
from tl_app.run import RunFolder
from tl_app.training.checkpoint import TrainingState
from tl_app.training.fitting import require_trainable
from tl_app.training.hardware import Hardware
from tl_app.training.lora import Adapter, load_adapter, read_adapter, replace_head, rounded
from tl_app.training.phases import PhaseTrainer


def trainer_of(folder, *phases, **options):
    return build_trainer(
        folder, *phases, build=build_encoder, data=make_text_data(), engine="tensorflow", **options
    )


def lora_phase(**values) -> Phase:
    return tune_texts(**{"lora_rank": 2, "layer_decay": 1.0, "learning_rate": 3e-2, **values})


TOKENS = tf.constant([[2, 4, 6, 3, 0, 0], [2, 5, 6, 7, 8, 3]])


def test_updates_begin_as_nothing_and_leave_the_classifier_alone(folder):
    phase = lora_phase()
    trainer = trainer_of(folder, phase)
    before = all_weights(trainer)
    adapter = Adapter(trainer.classifier, phase, seed=3)
    plain = trainer.classifier.whole(phase.unfreeze)
    np.testing.assert_allclose(
        adapter.whole(TOKENS, False), plain(TOKENS, False), rtol=1e-5, atol=1e-6
    )
    for a, b in zip(before, all_weights(trainer), strict=True):
        np.testing.assert_array_equal(a, b)
    again = Adapter(trainer.classifier, phase, seed=3)
    for a, b in zip(adapter.variables, again.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("base_weights", "tolerance"), [("float32", 1e-5), ("int8", 0.05), ("int4", 0.5)]
)
def test_merged_updates_say_what_the_adapter_said(folder, base_weights, tolerance):
    """To rounding; rounded weights are told with rounded inputs, so to a little more."""
    phase = lora_phase(base_weights=base_weights)
    trainer = trainer_of(folder, phase)
    adapter = Adapter(trainer.classifier, phase, seed=0)
    random = np.random.default_rng(0)
    for variable in adapter.variables:
        variable.assign(random.normal(0, 0.2, variable.shape))
    unchanged = trainer.classifier.whole(phase.unfreeze)(TOKENS, False).numpy()
    said = adapter.whole(TOKENS, False).numpy()
    with adapter.merged():
        merged = trainer.classifier.whole(phase.unfreeze)(TOKENS, False).numpy()
    scale = np.abs(said - unchanged).max()
    assert scale > 1e-3
    assert np.abs(merged - said).max() <= tolerance * scale
    np.testing.assert_array_equal(
        trainer.classifier.whole(phase.unfreeze)(TOKENS, False), unchanged
    )


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_updates_of_nothing_leave_every_bit_whatever_the_network_computes_in(folder, precision):
    phase = lora_phase(unfreeze="all")
    trainer = trainer_of(folder, phase, precision=precision)
    for variable in trainer.classifier.backbone.model.variables:
        if variable.path.endswith("bias"):
            variable.assign(np.full(variable.shape, 50.0))
    before = all_weights(trainer)
    adapter = Adapter(trainer.classifier, phase, seed=0)
    with adapter.merged():
        for a, b in zip(before, all_weights(trainer), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("base_weights", "n_levels"), [("int8", 255), ("int4", 16)])
def test_rounded_kernels_have_few_levels_and_are_near(base_weights, n_levels):
    kernel = np.random.default_rng(0).normal(0, 0.3, (128, 3)).astype(np.float32)
    told = rounded(kernel, lora_phase(base_weights=base_weights))
    for column, original in zip(told.T, kernel.T, strict=True):
        assert 8 < len(np.unique(column)) <= n_levels
        assert np.abs(column - original).max() <= 2 * np.abs(original).max() / n_levels
    assert rounded(kernel, lora_phase()) is kernel
    # What the layer multiplies by, which rounds its inputs too: to a percent.
    layer = keras.layers.Dense(3, use_bias=False)
    layer.build((None, 128))
    layer.kernel.assign(kernel)
    layer.quantize(base_weights)
    inputs = np.random.default_rng(1).normal(size=(8, 128)).astype(np.float32)
    np.testing.assert_allclose(layer(inputs), inputs @ told, atol=0.1)


def test_what_is_measured_is_what_is_kept(folder):
    """Not the adapter with its rounded inputs: the merged weights, of the best epoch."""
    phase = lora_phase(base_weights="int8", epochs=1)
    trainer = trainer_of(folder, phase)
    state = trainer.run()
    data = trainer.data
    batch = tf.constant(collate([data.items.load(row) for row in data.validation_rows]))
    told = trainer.classifier.whole("all")(batch, False).numpy().astype(np.float64)
    labels = data.labels[data.validation_rows]
    log_loss = -log_softmax(told, axis=1)[np.arange(len(labels)), labels].mean()
    assert log_loss == pytest.approx(state.best_loss, rel=1e-5)


@dataclass(frozen=True)
class Trained:
    """A head, then LoRA of rank 2 on all blocks, which won."""

    folder: RunFolder
    trainer: PhaseTrainer
    state: TrainingState
    before: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    folder = RunFolder.create(tmp_path_factory.mktemp("lora"), "trained")
    trainer = trainer_of(folder, head_phase(), lora_phase(unfreeze="all"))
    variables = trainer.classifier.backbone.model.variables
    before = {variable.path: variable.numpy() for variable in variables}
    state = trainer.run()
    assert state.best is not None
    assert state.best.startswith("best-tune-")
    return Trained(folder, trainer, state, before)


def test_training_changes_kernels_by_a_product_of_low_rank_and_nothing_else(trained):
    changed = {}
    for variable in trained.trainer.classifier.backbone.model.variables:
        difference = variable.numpy() - trained.before[variable.path]
        if np.abs(difference).max() > 0:
            changed[variable.path] = difference
    assert changed
    for path, difference in changed.items():
        assert path.endswith("kernel"), path
        values = np.linalg.svd(difference, compute_uv=False)
        assert values[2:].max() < 1e-4 * values[0]


def test_what_is_noted_of_a_phase(trained):
    decisions = trained.trainer.decisions.read()
    noted = decisions["trained"]["tune"]
    head = sum(int(np.prod(v.shape)) for v in trained.trainer.classifier.head.trainable_variables)
    # Two blocks of width 8 with six kernels: four of 8 x 8, two of 8 x 16.
    updates = 2 * (4 * (8 + 8) + 2 * (8 + 16)) * 2
    assert noted["n_parameters"] == head + updates
    assert decisions["trainable"]["n_parameters"] == head + updates
    # Two moments each, and a few counters.
    assert 2 * 4 * noted["n_parameters"] <= noted["optimizer_bytes"]
    assert noted["optimizer_bytes"] < 2 * 4 * noted["n_parameters"] + 100


def test_an_adapter_is_loaded_on_the_base(trained, tmp_path):
    file = trained.folder.adapter_file("tune")
    fresh = trainer_of(RunFolder.create(tmp_path, "fresh"), head_phase())
    load_adapter(fresh.classifier, file)
    whole = trained.trainer.classifier.whole("all")
    np.testing.assert_allclose(
        fresh.classifier.whole("all")(TOKENS, False), whole(TOKENS, False), atol=1e-6
    )
    other = trainer_of(RunFolder.create(tmp_path, "other"), head_phase())
    other.classifier.backbone.model.layers[1].words.embeddings.assign_add(
        np.full((len(PIECES), SHAPE.width), 0.01)
    )
    with pytest.raises(RunError, match="does not belong to this base"):
        load_adapter(other.classifier, file)
    # The base is what the phase began with, so what is trained already is none.
    with pytest.raises(RunError, match="does not belong to this base"):
        load_adapter(fresh.classifier, file)


def test_an_adapter_can_be_given_another_head(trained, tmp_path):
    file = tmp_path / "other.safetensors"
    file.write_bytes(trained.folder.adapter_file("tune").read_bytes())
    before = read_adapter(file)
    replace_head(file, [weight / 2 for weight in trained.trainer.classifier.head.get_weights()])
    after = read_adapter(file)
    assert after.about == before.about
    for name, tensor in before.tensors.items():
        np.testing.assert_array_equal(
            after.tensors[name], tensor / 2 if name.startswith("head/") else tensor
        )


def test_an_adapter_belongs_to_the_weights_that_its_phase_began_with(folder):
    """After a phase that trained the blocks themselves there is no such base to be had."""
    earlier = tune_texts(name="earlier", unfreeze=1, epochs=1)
    trainer = trainer_of(
        folder, earlier, lora_phase(unfreeze=1, epochs=1, learning_rate=1e-3, schedule="constant")
    )
    state = trainer.run()
    assert [record.is_best for record in state.history] == [True, True]
    assert not folder.adapter_file("tune").exists()


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda about, content: content[:100], "cannot be read"),
        (lambda about, content: about(b"[]"), "no adapter"),
        (lambda about, content: about(b"null"), "no adapter"),
        (lambda about, content: about(b"{"), "no adapter"),
        (lambda about, content: about(phase=None), "no adapter"),
        (lambda about, content: about(phase={"name": "x", "lora_rank": "many"}), "no adapter"),
        (lambda about, content: about(phase={"name": "x", "lora_rank": 0}), "no adapter"),
        (
            lambda about, content: about(phase={"name": "x", "lora_rank": 3, "unfreeze": "all"}),
            "other shapes",
        ),
    ],
)
def test_damaged_adapters_are_told(folder, damage, match):
    phase = lora_phase(unfreeze="all")
    trainer = trainer_of(folder, phase)
    file = folder.path / "some.safetensors"
    Adapter(trainer.classifier, phase, seed=0).save(file, trainer.config, ("bad", "good"))
    content = file.read_bytes()
    with safetensors.safe_open(file, framework="numpy") as opened:
        known = json.loads(opened.metadata()["tl_app"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118

    def about(raw: bytes | None = None, **values) -> bytes:
        text = json.dumps(known | values) if raw is None else raw.decode()
        return safetensors.numpy.save(tensors, metadata={"tl_app": text})

    file.write_bytes(damage(about, content))
    with pytest.raises(RunError, match=match):
        load_adapter(trainer.classifier, file)


@pytest.mark.parametrize(
    ("values", "precision", "match"),
    [
        ({"lora_rank": 4}, "float32", "LoRA has nothing to update"),
        ({"recompute": True}, "float32", "compute their activations again"),
        ({"unfreeze": 99}, "float32", "fewer blocks"),
    ],
)
def test_what_a_network_of_convolutions_cannot_do_is_told_at_once(folder, values, precision, match):
    phase = tune_pictures(**values)
    trainer = build_trainer(folder, head_phase())
    with pytest.raises(ConfigError, match=match):
        require_trainable(
            trainer.classifier.backbone,
            [head_phase(), phase],
            Hardware(("CPU:0",), precision, 8),
        )


def test_rounded_weights_under_float16_are_refused_at_once(folder):
    phase = lora_phase(base_weights="int8")
    backbone = trainer_of(folder, head_phase()).classifier.backbone
    for precision in ("float32", "mixed_bfloat16"):
        require_trainable(backbone, [phase], Hardware(("CPU:0",), precision, 8))
    with pytest.raises(ConfigError, match="float16"):
        require_trainable(backbone, [phase], Hardware(("CPU:0",), "mixed_float16", 8))


@pytest.mark.parametrize(
    "values",
    [
        {"lora_rank": 8, "unfreeze": 0},
        {"base_weights": "int8", "unfreeze": 1},
        {"lora_rank": 300, "unfreeze": 1},
        {"lora_rank": 8, "unfreeze": 1, "lora_alpha": 0.0},
    ],
)
def test_settings_that_mean_nothing_are_refused(values):
    with pytest.raises(ValidationError):
        Phase(name="tune", **values)


def test_recomputed_activations_give_the_same_steps(tmp_path, monkeypatch):
    """Also with dropout: what is computed again drops the same."""
    found = []
    n_recomputed = []
    recomputed, remat = [], keras.remat

    def noted(work):
        recomputed.append(work)
        return remat(work)

    monkeypatch.setattr(keras, "remat", noted)
    for name, recompute in (("kept", False), ("again", True)):
        phase = tune_texts(unfreeze="all", recompute=recompute)
        trainer = trainer_of(RunFolder.create(tmp_path, name), head_phase(), phase)
        trainer.checkpoints.restore_best = lambda *_: None
        trainer.run()
        found.append(all_weights(trainer))
        n_recomputed.append(len(recomputed))
    assert n_recomputed == [0, 2]  # each block, while the step is traced
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_half_precision_trains_texts(folder):
    trainer = trainer_of(folder, head_phase(), lora_phase(), precision="mixed_bfloat16")
    history = trainer.run().history
    assert np.isfinite([record.validation_log_loss for record in history]).all()
