"""Calibration and automation on the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tl_app.evaluation.calibration import Calibration, tempered
from tl_app.evaluation.trust import assess, held_apart_of
from tl_app.records import Split
from tl_app.report.build import render_report
from tl_app.report.text import NO_BREAK
from tl_app.report.trust_sections import automation_sentence


def trust_of(contents, calibration: Calibration, *, n_apart: int = 400):
    """With held-apart examples drawn from the same predictions."""
    told = contents.predictions
    rows = np.random.default_rng(0).integers(0, len(told.paths), n_apart)
    apart = replace(
        told,
        paths=tuple(told.paths[i] for i in rows.tolist()),
        y_true=told.y_true[rows],
        probabilities=told.probabilities[rows],
    )
    return assess(calibration, told, apart if n_apart else None)


def test_the_sections_say_what_was_fitted_and_what_can_be_left(make_contents):
    contents = make_contents(n_test=400, accuracy=0.997)
    trust = trust_of(contents, Calibration(1.7, "held_apart", 70))
    page = render_report(make_contents(n_test=400, accuracy=0.997, trust=trust))
    assert page.index('id="calibration"') < page.index('id="automation"')
    assert "a temperature of 1.7, fitted on 70 validation pictures" in page
    assert "the model was too sure of itself" in page
    assert trust.thresholds
    assert f"{trust.thresholds[0].threshold:.4f}" in page
    assert "Sets of classes." in page
    assert f"{100 * trust.thresholds[0].target:.1f}{NO_BREAK}%" in page


def test_figures_before_are_those_without_the_temperature(make_contents):
    contents = make_contents()
    trust = trust_of(contents, Calibration(2.0, "held_apart", 70))
    told = contents.predictions
    sharper = replace(told, probabilities=tempered(told.probabilities, 0.5))
    plain = assess(Calibration(1.0, "held_apart", 70), sharper, None)
    assert trust.before.log_loss == pytest.approx(plain.after.log_loss, rel=1e-4)
    assert trust.before.brier_score == pytest.approx(plain.after.brier_score, rel=1e-4)


def test_what_there_is_not_is_said_with_its_reason(make_contents):
    contents = make_contents()
    none = Calibration(1.0, "none", 0, "fewer than 100 <b>validation</b> pictures")
    trust = trust_of(contents, none, n_apart=0)
    page = render_report(make_contents(trust=trust))
    assert "not calibrated, since fewer than 100 &lt;b&gt;validation&lt;/b&gt; pictures" in page
    assert "No threshold can be promised" in page
    assert "No sets: no validation examples were held apart" in page
    assert "As it is" in page
    assert 'id="calibration"' not in render_report(make_contents())


def test_a_laxer_promise_that_accepts_no_more_is_not_shown(make_contents):
    contents = make_contents(n_test=400, accuracy=0.99)
    thresholds = trust_of(contents, Calibration(1.0, "held_apart", 70)).thresholds
    values = [one.threshold for one in thresholds]
    assert values == sorted(set(values), reverse=True)


def test_nothing_is_that_sure(make_contents):
    trust = trust_of(make_contents(), Calibration(1.0, "held_apart", 70), n_apart=5)
    assert automation_sentence(trust, "pictures").startswith("No threshold can be promised")


def test_the_calibration_part_is_found_among_the_validation_predictions(make_contents):
    told = make_contents(n_test=6).predictions
    split = Split(
        ("train", "validation", "validation", "test", "validation"), tuple(range(5)), {}, 0, (2, 4)
    )
    validation = replace(
        told,
        paths=("b", "c", "e"),
        y_true=told.y_true[:3],
        probabilities=told.probabilities[:3],
    )
    found = held_apart_of(split, validation)
    assert found is not None
    assert found.paths == ("c", "e")
    assert held_apart_of(replace(split, calibration=()), validation) is None
