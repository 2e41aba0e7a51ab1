"""What is accepted on the command line, and what is suggested instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.cli.commands import COMMANDS
from tl_app.cli.parser import parse
from tl_app.cli.verbs import VERBS
from tl_app.errors import ConfigError


def test_every_verb_has_a_command() -> None:
    assert set(VERBS) == set(COMMANDS)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["trian", "photos"], "'train'"),
        (["backbone"], "'backbones'"),
        (["train", "photos", "--bakbone", "x"], "'--backbone'"),
        (["train", "photos", "--imagesize=64"], "'--image-size'"),
        (["predict", "run", "a.jpg", "--jsn"], "'--json'"),
    ],
)
def test_a_misspelt_word_gets_a_suggestion(argv: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(argv)
    assert expected in caught.value.problem
    assert caught.value.exit_code == 2
    assert "--help" in str(caught.value.next_step)


def test_all_unknown_options_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["train", "photos", "--sead", "1", "--aspct", "pad"])
    assert "'--seed'" in caught.value.problem
    assert "'--aspect'" in caught.value.problem


def test_what_is_not_alike_is_not_suggested() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["train", "photos", "--bogus"])
    assert "Did you mean" not in caught.value.problem


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_an_option_of_all_verbs_before_the_verb(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse([option])
    assert f"tl-app VERB {option}" in caught.value.problem
    assert "--version" not in caught.value.problem


@pytest.mark.parametrize(
    "argv",
    [["predict"], ["export", "run"], ["evaluate"], ["report"], ["train", "a", "b"]],
)
def test_missing_and_surplus_arguments(argv: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse(argv)


def test_options_are_not_abbreviated() -> None:
    with pytest.raises(ConfigError, match="--back"):
        parse(["train", "photos", "--back", "resnet50"])


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        parse([verb, "--help"])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: tl-app {verb}" in shown
    assert f"  tl-app {verb}" in shown
    assert "--json" in shown


def test_set_may_be_repeated_and_keeps_its_order() -> None:
    parsed = parse(["train", "photos", "--set", "seed=1", "--set", "seed=2"])
    assert parsed.overrides == ["seed=1", "seed=2"]


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_words_are_parsed_or_refused_with_a_message(words: list[str]) -> None:
    try:
        outcome: object = parse(words).verb
    except ConfigError as error:
        outcome = error.exit_code
    except SystemExit as leaving:
        outcome = leaving.code
    assert outcome in (None, *VERBS, 0, 2)
