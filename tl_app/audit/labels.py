"""Likely wrong labels, by confident learning on what a head says of examples it did not see."""

from __future__ import annotations

import numpy as np

from tl_app.audit.inputs import AuditInputs
from tl_app.data.listing import counted
from tl_app.findings import Evidence, Finding, Fix

MANY_SHARE = 0.1
"""From here on the labels as a whole are in doubt, or the backbone does not see the classes."""


def wrong_labels(inputs: AuditInputs) -> list[Finding]:
    """Examples whose given label another one clearly beats, the surest first.

    Source: Northcutt, Jiang and Chuang, 2021, "Confident Learning"; cleanlab's implementation.
    """
    probabilities = inputs.required("probabilities")
    suspects = suspect_labels(inputs.dataset.labels, probabilities)
    if not len(suspects):
        return []
    names = inputs.dataset.class_names
    cases, fixes = [], []
    for i in suspects.tolist():
        given, likely = inputs.dataset.examples[i].label, int(probabilities[i].argmax())
        figures = {
            "given": names[given],
            "likely": names[likely],
            "given_probability": round(float(probabilities[i, given]), 4),
            "likely_probability": round(float(probabilities[i, likely]), 4),
        }
        cases.append(Evidence((inputs.path(i),), figures))
        problem = f"labelled {names[given]}, looks like {names[likely]}"
        fixes.append(Fix(inputs.path(i), problem, "quarantine"))
    share = len(suspects) / len(inputs.dataset.examples)
    advice = (
        "Look at them, the first are the surest; move each to its right class, or to quarantine. "
        "Not all are wrong: some are merely hard."
    )
    if share >= MANY_SHARE:
        advice += (
            " There are so many that the classes may overlap, or be nothing that this backbone "
            "can see."
        )
    return [
        Finding(
            kind="wrong_label",
            severity="warn",
            title=f"{counted(len(suspects), inputs.wording.noun)} ({share:.1%}) likely "
            f"{'has' if len(suspects) == 1 else 'have'} a wrong label.",
            advice=advice,
            evidence=tuple(cases),
            fixes=tuple(fixes),
        )
    ]


def suspect_labels(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """int64, positions of examples whose label is likely wrong, the surest first.

    Args:
        labels: int64, shape (n_examples,).
        probabilities: float32, shape (n_examples, n_classes), out of fold; every class has
            examples.
    """
    from cleanlab.filter import find_label_issues  # a second, with pandas: only when it is used

    found = find_label_issues(
        labels,
        probabilities.astype(np.float64),
        filter_by="prune_by_noise_rate",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return np.asarray(found, dtype=np.int64)
