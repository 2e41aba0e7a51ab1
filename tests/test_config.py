from __future__ import annotations

import json

import pytest

from tl_app.config import Augmentation, Config, Phase, default_phases, require_fitting
from tl_app.config_loading import load_config
from tl_app.errors import ConfigError


@pytest.mark.parametrize("override", ["seed=true", "phases.1.unfreeze=false", "data.window=true"])
def test_truth_values_are_no_numbers(override):
    with pytest.raises(ConfigError, match="true or false"):
        load_config(None, [override])


def test_without_anything_the_defaults_stand():
    assert load_config() == Config()
    assert load_config().phases == default_phases()


def test_file_then_values_then_overrides(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("seed = 1\nbatch_size = 16\n[data]\naspect = 'pad'\n")
    config = load_config(
        file, ["seed=3", "phases.1.learning_rate=1e-5"], {"seed": 2, "data.image_size_px": 96}
    )
    assert (config.seed, config.batch_size) == (3, 16)
    assert (config.data.aspect, config.data.image_size_px) == ("pad", 96)
    assert config.phases[1].learning_rate == 1e-5
    assert config.phases[1].unfreeze == default_phases()[1].unfreeze


def test_a_phase_with_a_default_name_is_completed(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text(
        '[[phases]]\nname = "head"\n'
        '[[phases]]\nname = "fine_tune"\nlearning_rate = 1e-5\n'
        "[phases.augmentation]\nrotation_degrees = 5.0\n"
    )
    head, tune = load_config(file).phases
    default = default_phases()[1]
    assert head == default_phases()[0]
    assert tune.learning_rate == 1e-5
    assert (tune.unfreeze, tune.epochs) == (default.unfreeze, default.epochs)
    assert tune.augmentation.flip_horizontal
    assert tune.augmentation.rotation_degrees == 5.0


def test_another_phase_starts_from_plain_defaults():
    config = load_config(values={"phases": [{"name": "head"}, {"name": "deep", "unfreeze": 3}]})
    assert config.phases[1].unfreeze == 3
    assert not config.phases[1].augmentation.changes_pictures
    assert config.solver(config.phases[0]) == "lbfgs"
    assert config.solver(config.phases[1]) == "adamw"


def test_a_phase_can_be_added():
    config = load_config(overrides=["phases.2.unfreeze=4", "phases.2.name=deeper"])
    assert [phase.name for phase in config.phases] == ["head", "fine_tune", "deeper"]


def test_what_is_written_is_read_back():
    config = load_config(overrides=["phases.1.mixup_alpha=0.2", "data.window=[0, 4095]"])
    assert Config.model_validate(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sed=1"], ["sed", "Did you mean 'seed'"]),
        (["phases.0.epoch=3"], ["epoch", "'epochs'"]),
        (["data.aspekt=pad"], ["'aspect'"]),
        (["phases.7.epochs=1"], ["counted from 0"]),
        (["batch_size=0", "seed=-1", "nonsense"], ["3 problems", "KEY=VALUE"]),
        (["phases.0.solver=lbfgs", "phases.0.dropout=0.1"], ["lbfgs", "dropout"]),
        (["phases.0.name=same", "phases.1.name=same"], ["different names"]),
        (["head_hidden_units=[8]", "phases.0.solver=lbfgs"], ["linear head"]),
    ],
)
def test_mistakes_are_told_together(overrides, words):
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=overrides)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["seed = [", "\xff\xfe", "[1, 2]"])
def test_a_file_that_cannot_be_read(tmp_path, text):
    file = tmp_path / ("c.json" if text.startswith("[") else "c.toml")
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError):
        load_config(file)


@pytest.mark.parametrize(
    "named",
    [
        {"values": {"backbone": "hub:mine"}},
        {"overrides": ["backbone=hub:mine"]},
        {"overrides": ['backbone="hub:mine"', "phases.1.epochs=3"]},
        {"path": 'backbone = "hub:mine"'},
    ],
)
def test_a_savedmodel_s_own_weights_are_trained_where_its_layers_cannot_be_updated(named, tmp_path):
    if "path" in named:
        (tmp_path / "c.toml").write_text(named["path"])
        named = {"path": tmp_path / "c.toml"}
    assert load_config(modality="text").phases[1].lora_rank == 8
    config = load_config(**named, modality="text")
    assert config.backbone == "hub:mine"
    assert config.phases[1].lora_rank == 0
    assert config.phases[1].epochs == (3 if len(named.get("overrides", ())) == 2 else 2)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_what_is_usual_fits(modality):
    require_fitting(load_config(modality=modality), modality)
    require_fitting(Config(phases=(Phase(name="own"),)), modality)


def test_all_that_does_not_fit_is_named():
    config = Config(
        weights="w.h5",
        data={"image_size_px": 96},
        phases=(
            Phase(name="head"),
            Phase(name="own", views=1, augmentation=Augmentation(hue=0.1)),
        ),
    )
    require_fitting(config, "image")
    with pytest.raises(ConfigError, match="for pictures do not fit texts") as caught:
        require_fitting(config, "text")
    assert caught.value.received == (
        "weights, data.image_size_px, phases.1.views, phases.1.augmentation"
    )
    assert caught.value.allowed
    assert caught.value.next_step
