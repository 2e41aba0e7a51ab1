"""Which mistakes deserve a look first."""

from __future__ import annotations

import numpy as np

from tl_app.records import Predictions

N_WORST_ERRORS = 24


def wrong_rows(predictions: Predictions) -> np.ndarray:
    """int64, rows of known class that were told wrongly, ascending."""
    return np.flatnonzero((predictions.y_true >= 0) & (predictions.y_true != predictions.y_pred))


def worst_rows(predictions: Predictions) -> np.ndarray:
    """int64, rows of the mistakes that the model was surest of, at most `N_WORST_ERRORS`."""
    wrong, y_pred = wrong_rows(predictions), predictions.y_pred
    confidence = predictions.probabilities[wrong, y_pred[wrong]]
    return wrong[np.argsort(-confidence, kind="stable")][:N_WORST_ERRORS]
