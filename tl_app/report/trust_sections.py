"""Sections on probabilities: how far they can be trusted, and what can be automated."""

from __future__ import annotations

from tl_app.evaluation.automation import risk_coverage, strictest
from tl_app.evaluation.trust import Trust
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render
from tl_app.report.trust_figures import reliability_svg, risk_svg


def calibration(contents: ReportContents) -> Fragment | None:
    """Temperature, reliability, and figures before and after; None where nobody asked."""
    trust = contents.trust
    if trust is None:
        return None
    figures = (
        ("Log-loss", "log_loss"),
        ("Brier score", "brier_score"),
        ("Calibration error", "calibration_error"),
    )
    body = render(
        "calibration.html",
        figure=reliability_svg(trust.after.bins, name="reliability"),
        sentence=calibration_sentence(trust, contents.wording.nouns),
        rows=[
            {
                "title": title,
                "before": getattr(trust.before, key),
                "after": getattr(trust.after, key),
            }
            for title, key in figures
        ],
        is_fitted=trust.calibration.method != "none",
        n_bins=len(trust.after.bins),
        n_examples=contents.evaluation.n_examples,
        side=contents.evaluation.side,
        wording=contents.wording,
    )
    return Fragment("calibration", "Can its probabilities be trusted?", body)


def calibration_sentence(trust: Trust, nouns: str) -> str:
    """What was fitted on what, and whether it mattered."""
    found = trust.calibration
    if found.method == "none":
        return (
            f"The probabilities are as the model gives them; not calibrated, since {found.reason}."
        )
    on = {
        "held_apart": f"{found.n_examples:,} validation {nouns} that did not choose the weights",
        "out_of_fold": f"{found.n_examples:,} {nouns}, each told by a head that had not seen it",
    }[found.method]
    how = "no other temperature was better"
    if found.temperature > 1:
        how = "the model was too sure of itself"
    elif found.temperature < 1:
        how = "the model was not sure enough of itself"
    return (
        f"The logits are divided by a temperature of {found.temperature:.3g}, fitted on {on}: "
        f"{how}. The recorded probabilities, predict and every export have it."
    )


def automation(contents: ReportContents) -> Fragment | None:
    """What can be left to the model; None where nobody asked."""
    trust = contents.trust
    if trust is None:
        return None
    predictions = contents.predictions
    curve = risk_coverage(predictions.y_true, predictions.probabilities)
    body = render(
        "automation.html",
        figure=risk_svg(
            curve, trust.thresholds, name="risk-coverage", nouns=contents.wording.nouns
        ),
        sentence=automation_sentence(trust, contents.wording.nouns),
        trust=trust,
        side=contents.evaluation.side,
        wording=contents.wording,
    )
    return Fragment("automation", "What can be automated?", body)


def automation_sentence(trust: Trust, nouns: str) -> str:
    """One plain sentence on the strictest threshold that could be promised."""
    threshold = strictest(trust.thresholds)
    if threshold is None:
        return (
            f"No threshold can be promised: too few {nouns} were held apart to choose one on, or "
            "too many of the surest answers are wrong."
        )
    if threshold.risk.high is None:
        found = "none of the test part is that sure"
    else:
        found = (
            f"of these {100 * threshold.risk.value:.1f} % were wrong on the test part (95 % "
            f"interval up to {100 * threshold.risk.high:.1f} %)"
        )
    return (
        f"Accepting answers from a probability of {threshold.threshold:.3f} on automates "
        f"{100 * threshold.coverage.value:.0f} % of the {nouns}, with at most "
        f"{100 * threshold.target:.0f} % wrong promised (95 % sure); {found}."
    )
