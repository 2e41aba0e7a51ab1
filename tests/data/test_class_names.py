"""Names that look alike: kept apart or merged, never lost, always told."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.data.class_names import fold, name_apart, normalise, resolve_class_names
from tl_app.progress import SilentReporter

LETTERS = ["e", "E", "\u0301", "\xe9", "\xc9", " ", "(", "2", ")", "ß", "ﬁ", "\u212b", "\xc5"]
spellings = st.sets(st.text(LETTERS, min_size=1, max_size=5), min_size=1, max_size=8)


def resolve(names, *, merge=False, known=()):
    return resolve_class_names(
        names, merge=merge, known=known, purpose="training", reporter=SilentReporter()
    )


@given(spellings)
def test_apart_every_spelling_is_a_class_of_its_own(names):
    class_names, label_of = resolve(names)
    assert len(class_names) == len(set(class_names)) == len(names)
    assert sorted(label_of.values()) == list(range(len(names)))
    for spelling, label in label_of.items():
        assert class_names[label].startswith(normalise(spelling))
        assert class_names[label] == normalise(class_names[label])


@given(spellings)
def test_a_spelling_in_the_composed_form_keeps_its_name(names):
    for spelling, name in name_apart(sorted(names)).items():
        if spelling == normalise(spelling):
            assert name == spelling


@given(spellings)
def test_merged_a_class_is_what_folds_alike(names):
    class_names, label_of = resolve(names, merge=True)
    assert len(class_names) == len({fold(name) for name in names})
    for one in names:
        for other in names:
            assert (label_of[one] == label_of[other]) == (fold(one) == fold(other))


@given(spellings)
def test_a_later_run_on_the_same_folders_gets_the_same_classes(names):
    class_names, label_of = resolve(names)
    assert resolve(names, known=class_names) == (class_names, label_of)


@pytest.mark.parametrize("taken", ["café (2)", "café (3)"])
def test_a_number_that_is_a_class_already_is_skipped(taken):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    names = name_apart(sorted([composed, decomposed, taken]))
    assert names[composed] == composed
    assert names[taken] == taken
    assert names[decomposed] == ("café (3)" if taken == "café (2)" else "café (2)")
