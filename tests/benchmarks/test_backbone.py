"""The recipes' backbone is the app's, but for what its normalisation does in training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from benchmarks.backbone import app_backbone, unfrozen_layers, with_plain_normalization


@pytest.mark.slow
def test_same_outputs_and_ordinary_normalization() -> None:
    original = app_backbone().model
    plain = with_plain_normalization(original)
    normalizations = [
        layer for layer in plain.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(normalizations) > 40
    assert all(type(layer) is keras.layers.BatchNormalization for layer in normalizations)
    assert all(layer.trainable for layer in normalizations)

    pixels = np.random.default_rng(0).uniform(0, 255, (4, *original.input.shape[1:]))
    wanted = np.asarray(original(pixels.astype(np.float32), training=False))
    got = np.asarray(plain(pixels.astype(np.float32), training=False))
    assert wanted.std() > 0.1
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)

    average = np.asarray(normalizations[0].moving_mean)
    plain(pixels.astype(np.float32), training=True)
    assert not np.allclose(np.asarray(normalizations[0].moving_mean), average)
    # Nothing is shared with the app's.
    again = np.asarray(original(pixels.astype(np.float32), training=True))
    np.testing.assert_array_equal(again, wanted)


@pytest.mark.slow
def test_the_top_block_is_read_from_the_app() -> None:
    assert unfrozen_layers() == ["top_conv", "top_bn", "top_relu"]
