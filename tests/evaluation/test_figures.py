from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.evaluation.figures import loss_pair, loss_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.000"),
        (0.00012, "0.000120"),
        (8.303e-5, "0.0000830"),
        (0.01234, "0.0123"),
        (0.1834, "0.183"),
        (2.5, "2.500"),
        (3.21e-9, "3.21e-09"),
        (float("inf"), "inf"),
    ],
)
def test_losses_as_text(value, shown):
    assert loss_text(value) == shown


def test_four_digits_where_asked():
    assert loss_text(0.14728, 4) == "0.1473"
    assert loss_text(0.00012345, 4) == "0.0001234"


@given(st.floats(1e-12, 100.0))
def test_the_text_is_within_half_a_percent(value):
    assert float(loss_text(value)) == pytest.approx(value, rel=0.005)


def test_a_pair_shows_its_difference():
    assert loss_pair(0.0011, 0.0012) == ("0.00110", "0.00120")
    assert loss_pair(0.14731, 0.14728) == ("0.14731", "0.14728")
    assert loss_pair(0.2, 0.2) == ("0.200", "0.200")
