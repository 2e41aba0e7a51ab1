from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics as reference

from tl_app.errors import DataError, TlAppError
from tl_app.evaluation.scoring import evaluate, format_figure, text_summary
from tl_app.records import Evaluation, Predictions


def predictions(y_true, probabilities, names=None) -> Predictions:
    probabilities = np.asarray(probabilities, dtype=np.float32)
    names = names or tuple(f"class {i}" for i in range(probabilities.shape[1]))
    paths = tuple(f"{i}.jpg" for i in range(len(y_true)))
    return Predictions(paths, np.asarray(y_true, dtype=np.int64), probabilities, names)


def random_predictions(n_examples, n_classes, seed=0, boost=1.0) -> Predictions:
    rng = np.random.default_rng(seed)
    probabilities = rng.random((n_examples, n_classes), dtype=np.float32)
    y_true = rng.integers(0, n_classes, n_examples)
    probabilities[np.arange(n_examples), y_true] += boost
    return predictions(y_true, probabilities / probabilities.sum(axis=1, keepdims=True))


def test_headline_and_baseline_equal_scikit_learn():
    given = random_predictions(200, 4, boost=0.3)
    shares = np.array([0.1, 0.2, 0.6, 0.1])
    evaluation = evaluate(given, class_shares=shares)
    guesses = np.full(200, 2)
    assert evaluation.headline["accuracy"].value == pytest.approx(
        reference.accuracy_score(given.y_true, given.y_pred)
    )
    assert evaluation.headline["log_loss"].value == pytest.approx(
        reference.log_loss(given.y_true, given.probabilities, labels=range(4)),
        rel=1e-5,
    )
    assert evaluation.baseline["accuracy"] == pytest.approx(np.mean(given.y_true == 2))
    assert evaluation.baseline["macro_f1"] == pytest.approx(
        reference.f1_score(given.y_true, guesses, average="macro", zero_division=0)
    )
    assert evaluation.baseline["log_loss"] == pytest.approx(
        reference.log_loss(given.y_true, np.tile(shares, (200, 1)), labels=range(4))
    )
    assert sum(map(sum, evaluation.confusion_counts)) == evaluation.n_examples == 200


def test_it_survives_json_and_repeats_exactly():
    given = random_predictions(60, 3, boost=0.2)
    first = evaluate(given, class_shares=np.full(3, 1 / 3))
    assert Evaluation.from_dict(first.to_dict()) == first
    assert evaluate(given, class_shares=np.full(3, 1 / 3)) == first


def test_absent_and_silent_classes_are_noted_and_have_no_limits():
    evaluation = evaluate(
        predictions(
            [0] * 6 + [1] * 6, [[0.9, 0.05, 0.05, 0.0]] * 12, ("owl", "crow", "gull", "<b>rare</b>")
        ),
        class_shares=np.array([0.4, 0.3, 0.2, 0.1]),
    )
    absent = evaluation.per_class[3]
    assert (absent.support, absent.recall.low, absent.precision.low) == (0, None, None)
    notes = "\n".join(evaluation.notes)
    assert "No picture of the test part is of: gull, <b>rare</b>." in notes
    assert "Never predicted, so without a precision: crow." in notes
    assert "2 of 4 classes have fewer than 10 pictures" in notes
    assert "not clearly better than always answering the most common class (50.0 %)" in notes


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("validation", "chose the weights that were kept"),
        ("train", "trained on these very pictures"),
    ],
)
def test_pictures_that_had_a_say_are_said_to_flatter(side, words):
    given = random_predictions(20_000, 5, boost=0.9)
    shares = np.full(5, 0.2)
    (note,) = evaluate(given, class_shares=shares, side=side).notes
    assert words in note
    assert "flatter" in note
    assert evaluate(given, class_shares=shares, side="test").notes == ()


def test_examples_of_no_side_are_not_called_a_part_of_the_run():
    given = predictions([0] * 6, [[0.9, 0.05, 0.05]] * 6)
    shares = np.full(3, 1 / 3)
    evaluation = evaluate(given, class_shares=shares, side=None, modality="text")
    notes = "\n".join(evaluation.notes)
    assert evaluation.side is None
    assert " part" not in notes
    assert "This set has 6 texts" in notes
    assert "No text of this set is of:" in notes
    assert "texts in this set: one text more" in notes
    assert Evaluation.from_dict(evaluation.to_dict()) == evaluation
    notes = "\n".join(evaluate(given, class_shares=shares).notes)
    assert "The test part has 6 pictures" in notes


def test_one_picture_and_one_class_are_singular():
    given = random_predictions(50, 3, boost=1)
    labels = given.y_true.copy()
    labels[0] = -1
    notes = evaluate(predictions(labels, given.probabilities), class_shares=np.full(3, 1 / 3)).notes
    assert any(note.startswith("1 picture has no known label and is left out") for note in notes)
    few = predictions([0] * 40 + [1], [[0.9, 0.1]] * 41)
    notes = evaluate(few, class_shares=np.array([0.9, 0.1])).notes
    assert any(note.startswith("1 of 2 classes has fewer than 10 pictures") for note in notes)


def test_a_small_test_part_says_how_small():
    evaluation = evaluate(random_predictions(140, 2, boost=9), class_shares=np.full(2, 0.5))
    assert evaluation.notes[0].startswith(
        "The test part has 140 pictures, so the 95 % interval of the accuracy is 2.7 points wide"
    )


def test_a_large_balanced_test_part_needs_no_note():
    evaluation = evaluate(random_predictions(20_000, 5, boost=0.9), class_shares=np.full(5, 0.2))
    assert evaluation.notes == ()


def test_unlabelled_rows_are_left_out_and_counted():
    given = random_predictions(50, 3, boost=1)
    hidden = given.y_true.copy()
    hidden[40:] = -1
    evaluation = evaluate(predictions(hidden, given.probabilities), class_shares=np.full(3, 1 / 3))
    assert evaluation.n_examples == 40
    assert any(note.startswith("10 pictures have no known label") for note in evaluation.notes)


def test_nothing_labelled_is_an_error():
    with pytest.raises(DataError, match="no labelled picture"):
        evaluate(predictions([-1, -1], [[0.5, 0.5]] * 2), class_shares=np.full(2, 0.5))


@pytest.mark.parametrize("row", [[np.nan, 0.5], [0.7, 0.7], [np.inf, 0.0]])
def test_rows_that_are_no_probabilities_are_an_error(row):
    with pytest.raises(TlAppError, match="not probabilities"):
        evaluate(predictions([0, 1], [[0.5, 0.5], row]), class_shares=np.full(2, 0.5))


def test_shapes_that_disagree_are_an_error():
    with pytest.raises(ValueError, match="class_shares"):
        evaluate(random_predictions(9, 3), class_shares=np.full(2, 0.5))


@pytest.mark.parametrize("n_classes", [10, 300])
def test_a_hundred_thousand_rows_take_seconds(n_classes):
    given = random_predictions(100_000, n_classes, boost=0.1)
    start = time.perf_counter()
    evaluate(given, class_shares=np.full(n_classes, 1 / n_classes))
    assert time.perf_counter() - start < 5


def test_a_thousand_classes():
    evaluation = evaluate(
        random_predictions(3000, 1000, boost=0.5), class_shares=np.full(1000, 1e-3)
    )
    assert len(evaluation.per_class) == len(evaluation.confusion_counts) == 1000


def test_text_summary_reads_well():
    rows = text_summary(evaluate(random_predictions(140, 2, boost=9), class_shares=np.full(2, 0.5)))
    assert [row.title for row in rows] == ["Accuracy", "Macro-F1", "Log-loss"]
    assert (rows[0].value, rows[0].interval) == ("100.0 %", "97.3 to 100.0 %")
    assert rows[2].baseline == "0.693"


def test_only_a_perfect_share_reads_as_one():
    assert format_figure(0.99996, "percent") == "99.996 %"
    assert format_figure(1.0, "percent") == "100.0 %"
