"""What is printed and saved, and how targets are judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench import save
from benchmarks.tables import render, table
from benchmarks.targets import judge


def way(seconds: float, n_epochs: list[int]) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "scaled_seconds": 5 * seconds if n_epochs else seconds,
        "phases": {"train": 12.345} if n_epochs else {"train": 12.345, "extraction": 20.0},
        "told": {} if n_epochs else {"extraction": 25.0},
        "epoch_seconds": 17.5 if n_epochs else 0.88,
        "milestones": {} if n_epochs else {"imported": 3.5, "first_bar": 4.25},
        "accuracy": 0.9786,
        "peak_memory_bytes": 1_234_567_890,
        "peak_anonymous_bytes": 812_345_678,
        "runs": [{"n_epochs": n_epochs}],
    }


@pytest.fixture
def document() -> dict[str, Any]:
    comparison = {
        "against": "published",
        "times_faster": 17.25,
        "epoch_times_faster": 19.9,
        "is_whole_recipe": False,
        "n_pictures": 280,
        "n_first_only": 3,
        "n_second_only": 1,
        "difference": 2 / 280,
        "low": -0.0103,
        "high": 0.0279,
        "p_value": 0.625,
    }
    return {
        "created": "2025-01-31T12:00:00+00:00",
        "settings": {"max_pictures": None},
        "environment": {
            "tl_app": "0.1.0",
            "machine": {"cpu": "A | B", "cores": 2},
            "packages": {"tensorflow": "2.21.0", "keras": "3.15.1"},
        },
        "backbone": {"backbone": "efficientnet_lite0", "image_size_px": 224},
        "sets": [
            {
                "name": "dogcat",
                "class_names": ["cat", "dog"],
                "n_train": 1119,
                "n_test": 280,
                "ways": {"tl_app": way(60.0, []), "published": way(207.0, [2, 2])},
                "comparisons": [comparison],
                "second_training": way(20.0, []),
            }
        ],
    }


def test_rows_and_cells() -> None:
    assert table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |"


def test_the_page_names_what_was_measured(document: dict[str, Any]) -> None:
    page = render({**document, "targets": judge(document)})
    assert "## dogcat: 1,119 training and 280 test pictures in 2 classes" in page
    assert "| seconds, all epochs | 60.0 | 1,035.0 |" in page
    assert "| ... as run | 60.0 | 207.0 |" in page
    assert "| epochs run, a phase | its own | 2 + 2 |" in page
    assert "| published | 17.2 | +0.7 | -1.0 to +2.8 | 3 | 1 | 0.62 |" in page
    assert "| first bar | 4.2 | 4.2 |" in page
    assert "| head solved |  |  |" in page
    assert "accuracies are those of the shorter runs" in page
    assert "Growth" not in page
    assert "Extraction" not in page


def test_growth_and_extraction_are_shown_where_they_were_run(document: dict[str, Any]) -> None:
    row = {"peak_memory_bytes": 1.5e9, "peak_anonymous_bytes": 1.1e9}
    document["growth"] = [
        {**row, "n_pictures": 500, "seconds": 30.0},
        {
            **row,
            "n_pictures": 2000,
            "seconds": 45.0,
            "seconds_per_picture": 0.01,
            "anonymous_bytes_per_picture": 20_000.0,
        },
    ]
    rates = dict.fromkeys(["app", "tf_function", "decode", "engine", "bare"], 80.0)
    document["extraction"] = {
        "n_pictures": 512,
        "pictures_per_second": {**rates, "decode_then_engine": 40.0},
    }
    page = render(document)
    assert "| 500 | 30.0 |  | 1,500 | 1,100 |  |" in page
    assert "| 2,000 | 45.0 | 10.0 | 1,500 | 1,100 | 20 |" in page
    assert "| decoding, then engine, one after the other | 40.0 | 2.00 |" in page


def verdicts(document: dict[str, Any]) -> list[bool | None]:
    return [row["met"] for row in judge(document)]


def test_targets(document: dict[str, Any]) -> None:
    comparison = document["sets"][0]["comparisons"][0]
    # Start, estimate (all and its one part), times faster, accuracy: the last not by a
    # shortened recipe.
    assert verdicts(document) == [True, True, True, True, None]
    comparison["is_whole_recipe"] = True
    assert verdicts(document) == [True, True, True, True, True]
    comparison["times_faster"] = 14.9
    comparison["difference"] = -0.011
    assert verdicts(document) == [True, True, True, False, False]
    document["settings"]["max_pictures"] = 80
    assert verdicts(document) == [True, True, True, None, None]


@pytest.mark.parametrize(
    ("told", "is_met"), [(20.0, True), (29.0, True), (31.0, False), (14.0, True), (13.0, False)]
)
def test_the_estimate_is_held_to_a_factor(document, told: float, is_met: bool) -> None:
    document["sets"][0]["ways"]["tl_app"]["told"] = {"extraction": told}
    assert verdicts(document)[1:3] == [is_met, is_met]


def test_epochs_are_compared_where_the_same_blocks_train(document: dict[str, Any]) -> None:
    comparison = document["sets"][0]["comparisons"][0]
    comparison["against"] = "repaired"
    name = "dogcat: an epoch of fine-tuning, times faster than the repaired recipe's"
    for times, is_met in ((3.6, True), (3.4, False)):
        comparison["epoch_times_faster"] = times
        assert {row["name"]: row["met"] for row in judge(document)}[name] is is_met


def test_targets_of_the_parts(document: dict[str, Any]) -> None:
    before = len(judge(document))
    document["sets"][0]["ways"]["tl_app"]["phases"]["phase head"] = 2.5
    document["sets"][0]["second_training"]["milestones"] = {"imported": 5.0, "head_begins": 9.0}
    document["extraction"] = {"app_to_tf_function": 1.5, "app_to_decode_then_engine": 0.8}
    document["growth"] = [
        {"n_pictures": n, "peak_anonymous_bytes": 1e9, "seconds_per_picture": seconds}
        for n, seconds in ((2000, 0.0), (8000, 0.01), (32_000, 0.012))
    ]
    rows = judge(document)
    assert len(rows) == before + 6
    met = {row["name"]: row["met"] for row in rows}
    assert met["dogcat: the head solved, after extraction"] is False
    assert met["dogcat: imports of a second training to its head phase"] is True
    assert [met[name] for name in met if name.startswith("extraction")] == [True, False]
    assert [met[name] for name in met if name.startswith("growth")] == [True, False]
    document["growth"] = document["growth"][:2]
    assert not any(row["name"].startswith("growth") for row in judge(document))


def test_what_is_saved_can_be_read(document: dict[str, Any], tmp_path: Path) -> None:
    save(document, tmp_path / "new/20250131-120000")
    read = json.loads((tmp_path / "new/20250131-120000.json").read_text())
    assert read["targets"] == judge(document)
    assert "## Targets" in (tmp_path / "new/20250131-120000.md").read_text()
