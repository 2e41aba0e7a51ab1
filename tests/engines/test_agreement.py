"""Every engine says what Keras says, of real photographs with real weights."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.makers import (
    largest_difference,
    lite0,
    outputs_of,
    photographs,
    pooled,
    pooled_and_boundary,
    small_model,
    small_pictures,
)
from tl_app.engines.base import Engine
from tl_app.engines.build import ENGINES, build_engine
from tl_app.engines.choose import AGREEMENT

BATCH = 4
"""Smaller than the number of photographs, and no divisor of it."""


@pytest.fixture(scope="module", params=ENGINES)
def engine(request) -> Engine:
    """Pooled features and a boundary map of EfficientNet-Lite0."""
    return build_engine(request.param, pooled_and_boundary(lite0()), batch_size=BATCH)


def test_it_says_what_keras_says_of_photographs(engine) -> None:
    answer = engine(photographs())
    expected = outputs_of(pooled_and_boundary(lite0()), photographs())
    assert [a.shape for a in answer] == [(5, 1280), (5, 7, 7, 192)]
    for ours, theirs in zip(answer, expected, strict=True):
        assert ours.dtype == np.float32
        assert ours.shape == theirs.shape
        assert largest_difference(ours, theirs) <= AGREEMENT
    assert np.ptp(expected[0], axis=0).max() > 1  # the photographs are told apart


def test_a_row_does_not_depend_on_the_rows_around_it(engine) -> None:
    pixels = photographs()
    together = engine(pixels)
    backwards = engine(pixels[::-1])
    repeated = engine(np.concatenate([pixels, pixels]))
    for index, whole in enumerate(together):
        for row in range(len(pixels)):
            np.testing.assert_array_equal(engine(pixels[row : row + 1])[index][0], whole[row])
        np.testing.assert_array_equal(backwards[index][::-1], whole)
        np.testing.assert_array_equal(repeated[index], np.concatenate([whole, whole]))


@pytest.mark.parametrize("name", ENGINES)
def test_one_output_comes_as_a_tuple_of_one(name) -> None:
    model = pooled(lite0()) if name == "litert" else small_model()
    pixels = photographs()[:2] if name == "litert" else small_pictures(2)
    engine = build_engine(name, model, batch_size=BATCH)
    (answer,) = engine(pixels)
    assert largest_difference(answer, outputs_of(model, pixels)[0]) <= AGREEMENT


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("name", ENGINES)
def test_any_number_of_pictures_goes_through(name, n) -> None:
    engine = small_engine(name)
    answer = engine(small_pictures(n))
    assert [len(output) for output in answer] == [n, n]
    expected = outputs_of(small_model(n_outputs=2), small_pictures(n))
    for ours, theirs in zip(answer, expected, strict=True):
        assert largest_difference(ours, theirs) <= AGREEMENT


_ENGINES: dict[str, Engine] = {}


def small_engine(name: str) -> Engine:
    if name not in _ENGINES:
        _ENGINES[name] = build_engine(name, small_model(n_outputs=2), batch_size=BATCH)
    return _ENGINES[name]


def test_identities_name_all_that_changes_a_bit() -> None:
    identities = {name: small_engine(name).identity for name in ENGINES}
    assert len(set(identities.values())) == len(ENGINES)
    for name, identity in identities.items():
        assert identity.startswith(f"{name} ")
        assert small_engine(name).name == name
        assert "float32" in identity
        assert ("batch 4" if name in ("folded", "tensorflow") else "batch 1") in identity
    other = build_engine("tensorflow", small_model(), batch_size=8)
    assert other.identity == identities["tensorflow"].replace("batch 4", "batch 8")
    half = build_engine("tensorflow", small_model(dtype="mixed_bfloat16"), batch_size=4)
    assert "bfloat16+float32" in half.identity


def test_pixels_of_another_type_or_layout_are_the_same_pictures() -> None:
    pixels = np.rint(small_pictures())
    strided = np.ascontiguousarray(pixels.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    for name in ENGINES:
        expected = small_engine(name)(pixels)
        for given in (strided, pixels.astype(np.uint8), pixels.astype(np.float64)):
            for ours, theirs in zip(small_engine(name)(given), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)
