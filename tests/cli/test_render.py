"""Figures and counts as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.cli.render import figure, probability_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9, "0.900"),
        (0.0, "0.000"),
        (1.5, "1.500"),
        (0.012, "0.012"),
        (0.00012, "0.00012"),
        (0.0012345, "0.00123"),
        (0.005, "0.005"),
        (2e-8, "2.0e-08"),
        (-0.00012, "-0.00012"),
    ],
)
def test_small_figures_keep_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


@given(st.floats(1e-12, 1e3))
def test_no_figure_is_shown_as_zero(value: float) -> None:
    assert float(figure(value)) == pytest.approx(value, rel=0.06)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, ">0.999"), (0.9996, ">0.999"), (0.99949, "0.999"), (0.75, "0.750"), (0.0, "0.000")],
)
def test_no_probability_is_shown_as_certain(value: float, text: str) -> None:
    assert probability_text(value) == text
