from __future__ import annotations

import math

import pytest

from tl_app.evaluation.learning import best_record, fit_verdict, kept_phases
from tl_app.records import EpochRecord


def epoch(phase, number, loss, *, train=0.95, validation=0.93, train_loss=None, rate=1e-4):
    return EpochRecord(phase, number, train_loss, train, loss, validation, rate, 1.0, False)


HEAD = epoch("head", 1, 0.20, train=0.97, validation=0.94, train_loss=0.08, rate=0.0)


@pytest.mark.parametrize(
    ("history", "kind", "words"),
    [
        ([], "unknown", "No epoch"),
        ([HEAD], "good", "97.0 % of the training and 94.0 % of the validation"),
        ([HEAD], "good", "solved directly"),
        ([epoch("head", 1, 0.2, train=None)], "unknown", "without the training accuracy"),
        ([epoch("head", 1, 0.9, train=1.0, validation=0.7)], "overfitting", "gap of 30 points"),
        ([epoch("head", 1, 1.9, train=0.5, validation=0.48)], "underfitting", "underfits"),
        (
            [HEAD, epoch("tune", 1, 0.31), epoch("tune", 2, 0.28)],
            "no_gain",
            "Phase tune did not improve on phase head: its best validation log-loss is 0.280 "
            "against 0.200",
        ),
        (
            [HEAD, epoch("tune", 1, 0.18), epoch("tune", 2, 0.15)],
            "too_short",
            "from 0.180 to 0.150",
        ),
        ([HEAD, epoch("tune", 1, 0.150), epoch("tune", 2, 0.149)], "good", "tune, epoch 2"),
        (
            [
                epoch("tune", 1, 0.20, train_loss=0.2),
                epoch("tune", 2, 0.18, train_loss=0.1),
                epoch("tune", 3, 0.30, train_loss=0.01),
            ],
            "overfitting",
            "rose from 0.180 to 0.300",
        ),
        (
            [epoch("tune", i, loss) for i, loss in enumerate((0.2, 0.5, 0.2, 0.5, 0.2), 1)],
            "unstable",
            "swings between 0.200 and 0.500",
        ),
        (
            [epoch("tune", 1, 0.2, train_loss=0.2), epoch("tune", 2, 4.0, train_loss=3.0)],
            "unstable",
            "jumped together",
        ),
        ([HEAD, epoch("tune", 1, math.nan)], "unstable", "no number in phase tune, epoch 1"),
        ([epoch("tune", 1, math.inf)], "unstable", "No epoch had a finite validation loss"),
    ],
)
def test_verdicts(history, kind, words):
    verdict = fit_verdict(history)
    assert verdict.kind == kind
    assert words in verdict.sentence


def test_the_state_before_a_phase_is_no_gain_of_it():
    start = epoch("tune", 0, 0.20)
    verdict = fit_verdict([HEAD, start, epoch("tune", 1, 0.35)])
    assert verdict.kind == "no_gain"
    assert "0.350 against 0.200" in verdict.sentence


def test_small_losses_show_their_difference_and_the_sentence_its_commas():
    sentence = fit_verdict(
        [epoch("head", 1, 8.303e-5, rate=0.0), epoch("tune", 1, 8.306e-5)]
    ).sentence
    assert "is 0.0000831 against 0.0000830, so" in sentence
    assert "the weights of phase head, solved directly, are kept" in sentence


def test_kept_phases_end_with_the_best_one():
    records = [HEAD, epoch("tune", 0, 0.2), epoch("tune", 1, 0.15), epoch("last", 1, 0.3)]
    assert kept_phases(records) == ("head", "tune")
    assert kept_phases([HEAD, epoch("tune", 0, 0.19), epoch("tune", 1, 0.3)]) == ("head",)
    assert kept_phases([epoch("tune", 1, math.nan)]) == ()


def test_the_first_of_equal_epochs_is_kept():
    records = [epoch("head", 1, 0.2), epoch("tune", 1, 0.2), epoch("tune", 2, math.nan)]
    assert best_record(records) is records[0]
