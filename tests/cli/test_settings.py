"""`tl-app config`: what it prints is what `load_config` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_app.cli.main import main
from tl_app.cli.settings import describe_settings, judged, to_toml
from tl_app.config import Config, Phase, without_mirroring
from tl_app.config_loading import load_config
from tl_app.errors import ConfigError


def read_back(text: str, folder: Path) -> Config:
    file = folder / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file)


def test_the_defaults_come_back(tmp_path: Path) -> None:
    assert read_back(to_toml(Config()), tmp_path) == Config()


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    weights=st.none()
    | st.text(st.characters(exclude_categories=["Cs"])).filter(lambda t: t != "none"),
    rate=st.floats(1e-12, 1e3),
    patience=st.none() | st.integers(1, 99),
    window=st.just("auto") | st.tuples(st.integers(0, 99), st.integers(100, 65535)),
    names=st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True), min_size=1, unique=True),
)
def test_any_configuration_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    weights: str | None,
    rate: float,
    patience: int | None,
    window: object,
    names: list[str],
) -> None:
    config = Config(
        seed=seed,
        weights=weights,
        data={"window": window},
        phases=tuple(Phase(name=n, learning_rate=rate, patience_epochs=patience) for n in names),
    )
    assert read_back(to_toml(config), tmp_path_factory.mktemp("config")) == config


def test_every_setting_is_explained() -> None:
    unexplained = [setting.name for setting in describe_settings() if not setting.description]
    assert unexplained == []
    names = {setting.name for setting in describe_settings()}
    assert {"seed", "data.aspect", "phases.N.unfreeze"} <= names
    assert "phases.N.augmentation.flip_horizontal" in names


def test_allowed_values_are_in_words() -> None:
    allowed = {setting.name: setting.allowed for setting in describe_settings()}
    assert allowed["data.aspect"] == "crop, pad or squash"
    assert allowed["data.image_size_px"] == 'a whole number from 32 to 2048, or "none"'
    assert allowed["phases.N.learning_rate"] == "a number above 0, or auto"
    assert allowed["seed"] == "a whole number from 0 to 2147483647"
    assert allowed["devices"] == "auto, or a list of names"
    assert allowed["head_hidden_units"] == "a list of whole numbers from 1"


def test_a_setting_that_may_be_none_says_the_word_that_is_read() -> None:
    text = to_toml(Config())
    assert "None" not in text
    assert '"none" takes the backbone\'s own' in text
    assert "\n\n\n" not in text


def test_a_wrong_value_is_told_once_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError) as caught:
        judged(None, ["phases.0.unfreeze=zz", "data.window=q", "sead=1"])
    assert caught.value.problem.splitlines()[1:] == [
        "  - data.window: received 'q'; allowed: auto, or [a whole number, a whole number]",
        "  - phases.0.unfreeze: received 'zz'; allowed: a whole number from 0, or all",
        "  - sead: unknown setting. Did you mean 'seed'?",
    ]


def test_the_verb_prints_both_forms(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["config", "--set", "seed=7"]) == 0
    assert read_back(capfd.readouterr().out, tmp_path).seed == 7
    assert main(["config", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert Config.model_validate(document["config"]) == Config()
    assert document["settings"][0]["name"] == "backbone"


PICTURES_ALONE = (
    *("weights", "data.image_size_px", "data.aspect", "data.window", "data.max_pixels"),
    "report_images",
    *("phases.N.mixup_alpha", "phases.N.cutmix_alpha", "phases.N.views"),
)
TEXTS_ALONE = ("preprocessor", "phases.N.recompute")


def test_texts_have_no_settings_of_pictures_nor_the_other_way_round(capfd) -> None:
    every = {setting.name for setting in describe_settings()}
    of_pictures = {setting.name for setting in describe_settings("image")}
    of_texts = {setting.name for setting in describe_settings("text")}
    augmentation = {name for name in every if "augmentation" in name}
    assert len(augmentation) > 5
    assert every - of_texts == {*PICTURES_ALONE, *augmentation}
    assert every - of_pictures == set(TEXTS_ALONE)
    assert main(["config", "--texts"]) == 0
    text = capfd.readouterr().out
    for name in PICTURES_ALONE:
        assert f"\n{name.rpartition('.')[2]} = " not in text
    assert "augmentation" not in text
    assert "icture" not in text
    assert "lora_rank" in text
    assert main(["config"]) == 0
    text = capfd.readouterr().out
    assert "preprocessor" not in text
    assert "\nrecompute = " not in text
    assert "\nimage_size_px = " in text


def test_the_settings_of_texts_come_back(capfd, tmp_path: Path) -> None:
    assert main(["config", "--texts", "--set", "phases.1.lora_rank=4"]) == 0
    file = tmp_path / "settings.toml"
    file.write_text(capfd.readouterr().out, encoding="utf-8")
    expected = load_config(overrides=["phases.1.lora_rank=4"], modality="text")
    assert load_config(file, modality="text") == expected
    assert main(["config", "--texts", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["config"]["backbone"] == document["settings"][0]["default"] == "minilm-l6"
    assert "image_size_px" not in document["config"]["data"]
    assert all("augmentation" not in phase for phase in document["config"]["phases"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--texts", "--set", "data.aspect=pad"), "for pictures do not fit texts"),
        (("--texts", "--set", "phases.1.mixup_alpha=0.2"), "for pictures do not fit texts"),
        (("--set", "preprocessor=hub:x"), "for texts do not fit pictures"),
        (("--set", "phases.1.recompute=true"), "for texts do not fit pictures"),
    ],
)
def test_the_verb_shows_nothing_that_cannot_be_trained(capfd, options, words) -> None:
    assert main(["config", *options]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert options[-1].split("=")[0] in captured.err


def test_the_verb_judges_a_file(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("sed = 1\n", encoding="utf-8")
    assert main(["config", "--config", str(file)]) == 2
    assert "'seed'" in capfd.readouterr().err


def test_without_mirroring_changes_nothing_else() -> None:
    config = load_config(overrides=["phases.1.augmentation.flip_vertical=true"])
    still = without_mirroring(config)
    assert not any(
        phase.augmentation.flip_horizontal or phase.augmentation.flip_vertical
        for phase in still.phases
    )
    again = load_config(
        overrides=[
            f"phases.{i}.augmentation.{flip}=false"
            for i in range(len(config.phases))
            for flip in ("flip_horizontal", "flip_vertical")
        ]
    )
    assert still == again
