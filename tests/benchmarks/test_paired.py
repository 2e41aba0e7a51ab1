"""Two classifiers matched by the names of pictures; figures are those of `evaluation.paired`."""

from __future__ import annotations

import pytest

from benchmarks.paired import compare


def test_pictures_are_matched_by_name() -> None:
    first = {"a": True, "b": True, "c": False, "d": True}
    second = {"d": False, "c": True, "b": True, "a": False}
    found = compare(first, second)
    assert (found.n_first_only, found.n_second_only, found.n_pictures) == (2, 1, 4)
    assert found.difference == 0.25
    assert found.low < 0.25 < found.high
    assert found.p_value == 1.0


def test_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="such as b"):
        compare({"a": True}, {"a": True, "b": True})
