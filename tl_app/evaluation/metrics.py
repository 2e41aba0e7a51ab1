"""Metrics as pure functions of labels, probabilities or a confusion matrix.

Values equal scikit-learn's with `zero_division=0`. A confusion matrix here is int64, shape
(n_classes, n_classes), rows true classes and columns predicted ones.
"""

from __future__ import annotations

import numpy as np


def confusion_matrix(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> np.ndarray:
    """Count examples by true and by predicted class.

    Args:
        y_true, y_pred: int64, shape (n_examples,), from 0 to n_classes - 1.

    Returns:
        int64, shape (n_classes, n_classes); rows are true classes.
    """
    cells = np.bincount(y_true * n_classes + y_pred, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def class_counts(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, examples and guesses of each class, float64, each of shape (n_classes,)."""
    return (
        np.diagonal(confusion).astype(np.float64),
        confusion.sum(axis=1).astype(np.float64),
        confusion.sum(axis=0).astype(np.float64),
    )


def seen_classes(confusion: np.ndarray) -> np.ndarray:
    """bool, shape (n_classes,): classes with an example or a guess.

    scikit-learn averages over these; a class that nobody met has no F1 to average.
    """
    _, examples, guesses = class_counts(confusion)
    return (examples + guesses) > 0


def accuracy_score(confusion: np.ndarray) -> float:
    """Fraction of examples on the diagonal."""
    return float(np.trace(confusion) / confusion.sum())


def precision_scores(confusion: np.ndarray) -> np.ndarray:
    """float64, shape (n_classes,): hits over guesses, 0 where a class is never guessed."""
    hits, _, guesses = class_counts(confusion)
    return _ratio(hits, guesses)


def recall_scores(confusion: np.ndarray) -> np.ndarray:
    """float64, shape (n_classes,): hits over examples, 0 where a class has no example."""
    hits, examples, _ = class_counts(confusion)
    return _ratio(hits, examples)


def f1_scores(confusion: np.ndarray) -> np.ndarray:
    """float64, shape (n_classes,): harmonic mean of precision and recall, 0 where undefined."""
    hits, examples, guesses = class_counts(confusion)
    return _ratio(2 * hits, examples + guesses)


def macro_f1_score(confusion: np.ndarray) -> float:
    """Plain mean of F1 over the classes with an example or a guess."""
    return float(f1_scores(confusion)[seen_classes(confusion)].mean())


def example_log_losses(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Minus the natural logarithm of the probability given to the true class.

    Args:
        y_true: int64, shape (n_examples,).
        probabilities: float32 or float64, shape (n_examples, n_classes). As in scikit-learn,
            they are kept away from 0 and 1 by the type's machine epsilon, so that one
            confident mistake costs at most 15.9 (float32) and not infinity.

    Returns:
        float64, shape (n_examples,), from 0.
    """
    epsilon = np.finfo(probabilities.dtype).eps
    given = probabilities[np.arange(len(y_true)), y_true]
    return -np.log(np.clip(given, epsilon, 1 - epsilon).astype(np.float64))


def log_loss(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of `example_log_losses`; lower is better."""
    return float(example_log_losses(y_true, probabilities).mean())


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
