"""The report of a run on texts: its words, its gallery with marks, its slices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tl_app.config_loading import load_config
from tl_app.data.scripts import script_of
from tl_app.evaluation.scoring import evaluate
from tl_app.evaluation.slices import Figure, Naming, Traits, find_slices
from tl_app.evaluation.worst import worst_rows
from tl_app.explain.occlusion import TellingWord
from tl_app.records import Dataset, SetAside, TextExample, TextProcessing
from tl_app.report.build import render_report
from tl_app.report.contents import ReportContents

HOSTILE = '</blockquote><script>alert(1)</script> a dull\u202e & "worse" film 电影'


@pytest.fixture
def contents(make_contents) -> ReportContents:
    pictures = make_contents(("blame", "praise"), accuracy=0.85)
    examples = tuple(
        TextExample(
            path=example.path,
            label=example.label,
            given_side=None,
            given_group=None,
            text=HOSTILE if i % 9 == 0 else "это " + "очень хорошо " * (i % 40) + str(i),
            text_hash=f"{i:064x}",
            normal_hash=f"{i:064x}",
            n_characters=10 + i % 40,
        )
        for i, example in enumerate(pictures.dataset.examples)
    )
    predictions = pictures.predictions
    worst = {predictions.paths[row] for row in worst_rows(predictions)}
    telling = {
        example.path: (TellingWord(0, 2, 0.4), TellingWord(3, 9, 0.1))
        for example in examples
        if example.path in worst
    }
    aside: Any = (SetAside("mail.csv:7", "not in UTF-8", "wrong_encoding"),)
    return replace(
        pictures,
        dataset=Dataset("/data", "mail.csv", ("blame", "praise"), examples, aside, modality="text"),
        processing=TextProcessing(256, "ab" * 32),
        evaluation=evaluate(predictions, class_shares=np.array([0.5, 0.5]), modality="text"),
        telling=telling,
        slices=find_slices(
            Traits(
                tuple(example.path for example in examples),
                (Figure("length", "characters", np.array([float(len(e.text)) for e in examples])),),
                (Naming("script", tuple(script_of(example.text) for example in examples)),),
            ),
            predictions.paths,
            predictions.y_true == predictions.y_pred,
        ),
        config=load_config(modality="text").model_dump(mode="json"),
        decisions={
            **pictures.decisions,
            "trained": {"fine_tune": {"n_parameters": 332_546, "optimizer_bytes": 2_660_380}},
        },
        cost={**pictures.cost, "latency_of": "48 tokens"},
    )


def test_it_speaks_of_texts(contents):
    page = render_report(contents)
    assert "Text classification report" in page
    before_settings = page.split("The whole configuration")[0]
    for word in ("picture", "image", "Image"):
        left = before_settings.replace("image_size", "").split("</style>")[1]
        assert word not in left.replace("flip_horizontal", ""), word
    for words in (
        "140 test texts",
        "Scripts",
        "Cyrillic",
        "By length",
        "By script",
        "48 tokens",
        "332,546",
        "2.7 MB of optimizer state",
        "1 line was found but not used",
        "not in UTF-8",
        "word pieces, at most 256",
    ):
        assert words in page, words


def test_texts_are_shown_marked_and_harmless(contents):
    page = render_report(contents)
    assert page.count("<script") == 1
    assert "\u202e" not in page
    assert '<mark class="m3" title="without it 40 points less sure">' in page
    assert page.count("<blockquote") == page.count("</blockquote>") > 5
    plain = render_report(replace(contents, telling={}))
    assert "<mark" not in plain
    assert "Marked are" not in plain


def test_long_texts_are_cut_and_marks_beyond_are_left_out(contents):
    examples = tuple(replace(e, text="word " * 2000) for e in contents.dataset.examples)
    telling = {path: (TellingWord(5000, 5004, 0.5),) for path in contents.telling}
    long = replace(contents, dataset=replace(contents.dataset, examples=examples), telling=telling)
    page = render_report(long)
    assert "<mark" not in page
    assert "…" in page
    assert len(page) < 2_000_000
