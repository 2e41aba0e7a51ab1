from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.comparison import comparison, medians, schedule, summary
from benchmarks.extraction_rates import with_ratios
from benchmarks.growth import with_slopes
from benchmarks.methods import Measurement


def measurement(seconds: float, right: dict[str, bool], n_epochs: tuple[int, ...]) -> Measurement:
    return Measurement(
        seconds=seconds,
        scaled_seconds=2 * seconds if n_epochs else seconds,
        phases={"train": seconds / 2},
        told={},
        epoch_seconds=seconds / 10,
        milestones={},
        n_epochs=n_epochs,
        peak_memory_bytes=int(1e9),
        peak_anonymous_bytes=int(seconds * 1e6),
        right=right,
    )


@pytest.mark.parametrize(
    ("n_app", "n_recipe", "wanted"),
    [
        (1, 1, "tl_app published repaired"),
        (3, 1, "tl_app published tl_app repaired tl_app"),
        (2, 0, "tl_app tl_app"),
    ],
)
def test_the_ways_take_turns(n_app: int, n_recipe: int, wanted: str) -> None:
    order = schedule(n_app, n_recipe)
    if (n_app, n_recipe) == (1, 1):
        assert sorted(order) == sorted(wanted.split())
    else:
        assert order == wanted.split()


def test_every_run_is_scheduled() -> None:
    order = schedule(5, 3)
    assert {name: order.count(name) for name in order} == {
        "tl_app": 5,
        "published": 3,
        "repaired": 3,
    }


def test_medians_skip_what_a_run_lacks() -> None:
    assert medians([{"a": 1.0, "b": 5.0}, {"a": 3.0}, {"a": 9.0}]) == {"a": 3.0, "b": 5.0}


def test_a_comparison_takes_scaled_times() -> None:
    app = [measurement(s, {"a": True, "b": True}, ()) for s in (10.0, 12.0, 50.0)]
    recipe = [measurement(60.0, {"a": True, "b": False}, (2, 2))]
    found = comparison(app, recipe, "published")
    assert found["times_faster"] == pytest.approx(120 / 12)
    assert found["is_whole_recipe"] is False
    assert (found["difference"], found["n_first_only"]) == (0.5, 1)


def test_a_summary_takes_medians_and_the_largest_memory() -> None:
    found = summary([measurement(s, {"a": False, "b": True}, ()) for s in (10.0, 12.0, 50.0)])
    assert (found["seconds"], found["peak_anonymous_bytes"]) == (12.0, 50e6)
    assert found["runs"][0]["wrong"] == ["a"]
    assert found["accuracy"] == 0.5


def test_slopes_are_what_one_more_picture_costs() -> None:
    rows = with_slopes(
        [
            {"n_pictures": 500, "seconds": 20.0, "peak_anonymous_bytes": 1e9},
            {"n_pictures": 2000, "seconds": 35.0, "peak_anonymous_bytes": 1.3e9},
        ]
    )
    assert "seconds_per_picture" not in rows[0]
    assert rows[1]["seconds_per_picture"] == pytest.approx(0.01)
    assert rows[1]["anonymous_bytes_per_picture"] == pytest.approx(2e5)


def test_decoding_then_engine_adds_up_their_seconds() -> None:
    found = with_ratios(
        {"app": 90.0, "tf_function": 60.0, "decode": 300.0, "engine": 150.0, "bare": 100.0}
    )
    assert found["pictures_per_second"]["decode_then_engine"] == pytest.approx(100.0)
    assert found["app_to_decode_then_engine"] == pytest.approx(0.9)
    assert found["app_to_tf_function"] == pytest.approx(1.5)


def test_a_training_without_fine_tuning_has_no_epochs_to_compare() -> None:
    app = measurement(10.0, {"a": True, "b": True}, ())
    recipe = measurement(70.0, {"a": True, "b": False}, (10, 10))
    assert comparison([app], [recipe], "repaired")["epoch_times_faster"] == pytest.approx(7.0)
    head_only = replace(app, epoch_seconds=None)
    assert comparison([head_only], [recipe], "repaired")["epoch_times_faster"] is None
    assert summary([head_only, app])["epoch_seconds"] is None
    json.dumps(summary([head_only]), allow_nan=False)
