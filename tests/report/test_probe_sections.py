"""Cross-validation, plainer models and size on the page."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.test_probes import answers
from tl_app.evaluation.probes import Probes, cross_validated, size_curve
from tl_app.records import Dataset, Interval
from tl_app.report.build import render_report
from tl_app.report.probe_sections import size_sentence
from tl_app.report.text import NO_BREAK


def probes_of(dataset: Dataset, **changes) -> Probes:
    n = len(dataset.examples)
    held_out = answers(n, 0.9)
    labels = np.arange(n) % 2
    pair = Dataset(
        "/",
        "/",
        ("a", "b"),
        tuple(type(e)(**{**e.to_dict(), "label": i % 2}) for i, e in enumerate(dataset.examples)),
    )
    headline = {
        "accuracy": Interval(0.91, 0.85, 0.95),
        "macro_f1": Interval(0.9, 0.84, 0.95),
        "log_loss": Interval(0.2, 0.1, 0.3),
    }
    values = {
        "cross_validation": cross_validated(pair, held_out),
        "by_size": size_curve(labels, np.arange(n), [answers(n, 0.7, seed=1), held_out]),
        "leads": True,
        "rivals": {"head_only": headline, "nearest_neighbours": headline},
    }
    return Probes(**{**values, **changes})


def test_cross_validation_leads_a_small_set(make_contents):
    contents = make_contents(n_test=30)
    probes = probes_of(contents.dataset)
    page = render_report(make_contents(n_test=30, probes=probes))
    first = page.index('id="cross-validation"')
    assert first < page.index('id="result"') < page.index('id="rivals"')
    assert "Only 30 test pictures say little" in page
    found = probes.cross_validation
    assert found is not None
    shown = f"{100 * found.evaluation.headline['accuracy'].value:.1f}{NO_BREAK}%"
    assert f"<strong>{shown}</strong>" in page
    assert "Ten nearest neighbours by its features" in page
    assert "91.0" + NO_BREAK + "%" in page


def test_what_was_asked_for_does_not_say_that_the_test_part_is_small(make_contents):
    contents = make_contents()
    page = render_report(make_contents(probes=probes_of(contents.dataset, leads=False)))
    assert "say little, so these" not in page
    assert 'id="cross-validation"' in page


def test_without_probes_the_sections_are_not_there(make_contents):
    for probes in (None, Probes(not_run={"cross-validation": "it is switched off"})):
        page = render_report(make_contents(probes=probes))
        for anchor in ("cross-validation", "rivals", "size"):
            assert f'id="{anchor}"' not in page


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0.6, 0.9, "more pictures would likely help"),
        (0.99, 0.6, "would hardly help"),
        (0.9, 0.9, "cannot be told"),
    ],
)
def test_whether_more_would_help_in_one_sentence(before, after, told):
    labels, groups = np.arange(400) % 2, np.arange(400)
    points = [answers(400, before, seed=1), answers(400, after, n_train=200)]
    sentence = size_sentence(Probes(by_size=size_curve(labels, groups, points)), "pictures")
    assert sentence.startswith("From 100 to 200 pictures the accuracy changed by ")
    assert told in sentence
    assert size_sentence(Probes(), "pictures") == ""
