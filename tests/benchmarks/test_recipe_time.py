from __future__ import annotations

import pytest

from benchmarks.recipe_time import scaled_phase_seconds


def test_the_first_epoch_is_counted_once() -> None:
    # 1 s around the epochs, 20 s with tracing, then 5 s each.
    assert scaled_phase_seconds(26.0, [20.0, 5.0], 10) == pytest.approx(1 + 20 + 9 * 5)


def test_later_epochs_last_as_long_as_their_median() -> None:
    assert scaled_phase_seconds(130.0, [20.0, 5.0, 100.0, 4.0], 5) == pytest.approx(1 + 20 + 4 * 5)


def test_a_whole_phase_is_as_measured() -> None:
    assert scaled_phase_seconds(31.5, [20.0, 5.0, 6.0], 3) == 31.5


@pytest.mark.parametrize(("epochs", "wanted"), [([20.0], 10), ([], 10), ([20.0, 5.0], 1)])
def test_what_cannot_be_scaled_is_refused(epochs: list[float], wanted: int) -> None:
    with pytest.raises(ValueError, match="epochs"):
        scaled_phase_seconds(sum(epochs), epochs, wanted)
