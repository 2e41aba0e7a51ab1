"""On what the temperature is fitted, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from tests.data.test_splitting import dataset_of, example
from tl_app.app.calibrating import fit_calibration
from tl_app.config import Config, default_phases
from tl_app.evaluation.calibration import Calibration, fit_temperature
from tl_app.heads.cross_validation import cross_validate
from tl_app.records import EpochRecord, Split

N = 60
HEAD = EpochRecord("head", 1, 0.1, 0.9, 0.2, 0.9, 0.0, 1.0, True)
TUNED = EpochRecord("fine_tune", 2, 0.1, 0.9, 0.1, 0.9, 1e-4, 1.0, True)
DATASET = dataset_of([example(f"{i:03}", i % 2) for i in range(N)])
SPLIT = Split(("train",) * 40 + ("validation",) * 10 + ("test",) * 10, tuple(range(N)), {}, 0)


def features() -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.normal(size=(N, 6)) + DATASET.labels[:, None]).astype(np.float32)


def fitted(split: Split = SPLIT, history=(HEAD,), **changes: Any) -> Calibration:
    asked: list[np.ndarray] = []

    def predict(rows: np.ndarray) -> np.ndarray:
        asked.append(rows)
        logits = 5 * np.random.default_rng(1).normal(size=(len(rows), 2))
        return softmax(logits, axis=1).astype(np.float32)

    values: dict[str, Any] = {
        "predict": predict,
        "kept_features": features,
        "class_weights": np.ones(2),
    }
    config = changes.pop("config", Config(phases=default_phases()))
    found = fit_calibration(DATASET, split, config, history, **{**values, **changes})
    if split.calibration:
        assert [rows.tolist() for rows in asked] == [list(split.calibration)]
    else:
        assert asked == []
    return found


def test_on_what_is_held_apart_whatever_was_kept():
    split = replace(SPLIT, calibration=tuple(range(44, 50)))
    for history in ((HEAD,), (HEAD, TUNED)):
        found = fitted(split, history)
        assert (found.method, found.n_examples) == ("held_apart", 6)
        assert found.temperature > 1  # the answers are surer than chance


def test_out_of_fold_where_the_solved_head_is_kept_and_never_on_the_test_side():
    found = fitted()
    rows = np.arange(50)
    (held_out,) = cross_validate(
        features()[rows], DATASET.labels[rows], rows, n_classes=2, n_folds=5
    )
    wanted = fit_temperature(held_out.probabilities, DATASET.labels[rows])
    assert found == Calibration(wanted, "out_of_fold", 50)


def test_the_folds_are_solved_as_the_head_was():
    head, tuned = default_phases()
    head = head.model_copy(update={"l2": 30.0, "label_smoothing": 0.2})
    rows = np.arange(50)
    (held_out,) = cross_validate(
        features()[rows],
        DATASET.labels[rows],
        rows,
        n_classes=2,
        n_folds=5,
        l2=30.0,
        label_smoothing=0.2,
    )
    wanted = fit_temperature(held_out.probabilities, DATASET.labels[rows])
    found = fitted(config=Config(phases=(head, tuned)))
    assert found.temperature == wanted != fitted().temperature


@pytest.mark.parametrize(
    "changes",
    [
        {"history": (HEAD, TUNED)},
        {"kept_features": lambda: None},
        {"split": replace(SPLIT, groups=(0,) * N)},
    ],
)
def test_none_where_few_validate_and_no_head_tells_of_more(changes):
    found = fitted(**changes)
    assert (found.temperature, found.method) == (1.0, "none")
    assert "fewer than 100 validation pictures" in found.reason


def test_none_where_it_is_switched_off():
    off = Config.model_validate({"data": {"calibration_fraction": 0.0}})
    found = fitted(config=off)
    assert found.method == "none"
    assert "switched off" in found.reason
