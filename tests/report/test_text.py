from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.report import text

ANY_NAME = st.text(st.characters(), max_size=60)


@given(ANY_NAME)
def test_visible_leaves_nothing_that_cannot_be_seen(name):
    shown = text.visible(name)
    shown.encode("utf-8")
    hidden = [c for c in shown if unicodedata.category(c)[0] == "C" and c not in "\u200c\u200d"]
    assert hidden == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("bad\udc80", "bad\\udc80"),
        ("नमस्\u200dते, 漢字, naïve", "नमस्\u200dते, 漢字, naïve"),
    ],
)
def test_visible(name, shown):
    assert text.visible(name) == shown


@given(ANY_NAME, st.integers(3, 40))
def test_shorten_keeps_both_ends_within_its_limit(name, limit):
    whole, short = text.visible(name), text.shorten(name, limit)
    assert len(short) == min(len(whole), limit)
    if len(whole) > limit:
        start, _, end = short.partition("…")
        assert whole.startswith(start)
        assert whole.endswith(end)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.byte_size(17_400_000), "17 MB"),
        (text.byte_size(1_412_000_000), "1.4 GB"),
        (text.byte_size(None), "not measured"),
        (text.duration(75.2), "1 min 15 s"),
        (text.duration(59.99), "1 min 0 s"),
        (text.duration(3725), "1 h 2 min"),
        (text.probability(0.99999), "> 99.9 %"),
        (text.probability(0.9994), "99.9 %"),
        (text.probability(0.9996), "> 99.9 %"),
        (text.probability(0.0), "< 0.1 %"),
        (text.percent(0.9999), "> 99.9\u00a0%"),
        (text.percent(0.996, 0), "> 99\u00a0%"),
        (text.percent(1.0), "100.0\u00a0%"),
        (text.percent(None), text.DASH),
        (text.milliseconds(11.23), "11.2 ms"),
        (text.plural(1, "class", "classes"), "1 class"),
        (text.plural(1399, "picture"), "1,399 pictures"),
    ],
)
def test_figures_as_text(shown, expected):
    assert shown == expected
