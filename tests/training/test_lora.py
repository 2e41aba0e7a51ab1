"""Low-rank updates: what they change, what they leave, and what is kept of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from tests.training.small_encoder import build_encoder, make_text_data, tune_texts
from tests.training.small_model import all_weights, build_trainer, head_phase
from tests.training.small_model import tune_phase as tune_pictures
from tl_app.config import Phase
from tl_app.errors import ConfigError, RunError
from tl_app.run import RunFolder
from tl_app.training.lora import Adapter, effective_kernel, load_adapter


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
    before = adapter.merge()
    merged = trainer.classifier.whole(phase.unfreeze)(TOKENS, False).numpy()
    scale = np.abs(said - unchanged).max()
    assert scale > 1e-3
    assert np.abs(merged - said).max() <= tolerance * max(scale, 1.0)
    adapter.undo(before)
    np.testing.assert_array_equal(
        trainer.classifier.whole(phase.unfreeze)(TOKENS, False), unchanged
    )


def test_the_effective_kernel_of_a_plain_layer_is_its_own():
    import keras

    layer = keras.layers.Dense(3)
    layer.build((None, 5))
    layer.bias.assign([1.0, -2.0, 3.0])
    np.testing.assert_allclose(effective_kernel(layer), layer.kernel, atol=1e-6)


def test_training_changes_kernels_by_a_product_of_low_rank_and_nothing_else(folder):
    phase = lora_phase(unfreeze="all")
    trainer = trainer_of(folder, head_phase(), phase)
    layers = {v.path: v.numpy() for v in trainer.classifier.backbone.model.variables}
    trainer.run()
    changed = {}
    for variable in trainer.classifier.backbone.model.variables:
        difference = variable.numpy() - layers[variable.path]
        if np.abs(difference).max() > 0:
            changed[variable.path] = difference
    assert changed, "the phase has won on these texts"
    for path, difference in changed.items():
        assert path.endswith("kernel"), path
        values = np.linalg.svd(difference, compute_uv=False)
        assert values[2:].max() < 1e-4 * values[0]


def test_what_is_noted_of_a_phase(folder):
    trainer = trainer_of(folder, head_phase(), lora_phase(unfreeze="all"))
    trainer.run()
    noted = trainer.decisions.read()["trained"]["tune"]
    head = sum(int(np.prod(v.shape)) for v in trainer.classifier.head.trainable_variables)
    # Two blocks of width 8 with six kernels: four of 8 x 8, two of 8 x 16.
    updates = 2 * (4 * (8 + 8) + 2 * (8 + 16)) * 2
    assert noted["n_parameters"] == head + updates
    assert trainer.decisions.read()["trainable"]["n_parameters"] == head + updates
    # Two moments each, and a few counters.
    assert 2 * 4 * noted["n_parameters"] <= noted["optimizer_bytes"]
    assert noted["optimizer_bytes"] < 2 * 4 * noted["n_parameters"] + 100


def test_an_adapter_is_loaded_on_the_base(tmp_path):
    folder = RunFolder.create(tmp_path, "trained")
    trainer = trainer_of(folder, head_phase(), lora_phase(unfreeze="all"))
    state = trainer.run()
    assert state.best.startswith("best-tune-")
    file = folder.adapter_file("tune")
    fresh = trainer_of(RunFolder.create(tmp_path, "fresh"), head_phase())
    load_adapter(fresh.classifier, file)
    whole = trainer.classifier.whole("all")
    np.testing.assert_allclose(
        fresh.classifier.whole("all")(TOKENS, False), whole(TOKENS, False), atol=1e-6
    )
    other = trainer_of(RunFolder.create(tmp_path, "other"), head_phase())
    other.classifier.backbone = replace(other.classifier.backbone, weights_sha256="0" * 64)
    with pytest.raises(RunError, match="does not belong to this base"):
        load_adapter(other.classifier, file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunError, match="cannot be read"):
        load_adapter(fresh.classifier, file)


def test_networks_without_dense_layers_are_told(folder):
    phase = tune_pictures(lora_rank=4)
    trainer = build_trainer(folder, head_phase(), phase)
    with pytest.raises(ConfigError, match="no Dense layers"):
        trainer.run()


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


def test_recomputed_activations_give_the_same_steps(tmp_path):
    """Also with dropout: what is computed again drops the same."""
    found = []
    for name, recompute in (("kept", False), ("again", True)):
        phase = tune_texts(unfreeze="all", recompute=recompute)
        trainer = trainer_of(RunFolder.create(tmp_path, name), head_phase(), phase)
        trainer.checkpoints.restore_best = lambda *_: None
        trainer.run()
        found.append(all_weights(trainer))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_half_precision_trains_texts(folder):
    trainer = trainer_of(folder, head_phase(), lora_phase(), precision="mixed_bfloat16")
    history = trainer.run().history
    assert np.isfinite([record.validation_log_loss for record in history]).all()
