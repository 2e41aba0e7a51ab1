from __future__ import annotations

import keras
import numpy as np
import pytest

from tl_app.config import Phase
from tl_app.training.optimizer import LayerwiseAdamW, WarmupSchedule, build_optimizer


def variables(*shapes) -> list[keras.Variable]:
    return [
        keras.Variable(np.ones(shape, np.float32), name=f"v{i}") for i, shape in enumerate(shapes)
    ]


def values(trained) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in trained]


def gradients(trained, seed=0):
    random = np.random.default_rng(seed)
    return [keras.ops.convert_to_tensor(random.normal(size=v.shape), "float32") for v in trained]


def test_factors_scale_the_update_and_not_the_gradient():
    """Under Adam the first step is the rate itself, whatever the gradient's size."""
    trained = variables((3, 2), (3, 2))
    optimizer = LayerwiseAdamW(1e-2, [1.0, 0.1], weight_decay=0.0)
    optimizer.build(trained)
    same = gradients(trained[:1]) * 2
    optimizer.apply(same, trained)
    full, tenth = (1.0 - v for v in values(trained))
    np.testing.assert_allclose(np.abs(full), 1e-2, rtol=1e-3)
    np.testing.assert_allclose(tenth, 0.1 * full, rtol=1e-3)


def test_equals_keras_adamw_with_equal_factors():
    ours, theirs = variables((4, 3)), variables((4, 3))
    mine = LayerwiseAdamW(1e-2, [1.0], weight_decay=0.1)
    reference = keras.optimizers.AdamW(1e-2, weight_decay=0.1)
    mine.build(ours)
    reference.build(theirs)
    for step in range(5):
        mine.apply(gradients(ours, step), ours)
        reference.apply(gradients(theirs, step), theirs)
    np.testing.assert_allclose(values(ours)[0], values(theirs)[0], rtol=1e-5)


def test_decay_leaves_biases_alone_and_scales_with_the_layer():
    trained = variables((2, 2), (2, 2), (2,))
    optimizer = LayerwiseAdamW(1e-2, [1.0, 0.5, 1.0], weight_decay=0.1)
    optimizer.build(trained)
    zeros = [keras.ops.zeros(v.shape) for v in trained]
    optimizer.apply(zeros, trained)
    kernel, lower, bias = values(trained)
    np.testing.assert_allclose(kernel, 1 - 1e-3, rtol=1e-6)
    np.testing.assert_allclose(lower, 1 - 0.5e-3, rtol=1e-6)
    np.testing.assert_array_equal(bias, 1.0)


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
def test_schedule(shape):
    schedule = WarmupSchedule(1.0, total_steps=100, warmup_steps=10, shape=shape)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert 0 < rates[0] < 0.1
    assert np.all(np.diff(rates[:11]) > 0)
    assert rates[10] == pytest.approx(1.0)
    if shape == "constant":
        assert np.all(rates[10:] == 1.0)
    else:
        assert np.all(np.diff(rates[10:]) < 0)
        assert rates[100] == pytest.approx(0.0, abs=1e-6)
        assert rates[55] == pytest.approx(0.5, abs=1e-6)


def test_float16_gets_a_loss_scale():
    optimizer, _ = build_optimizer(
        Phase(name="p"), variables((2, 2)), [1.0], steps_per_epoch=3, precision="mixed_float16"
    )
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
