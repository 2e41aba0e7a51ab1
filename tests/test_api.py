"""The Python API: what it hands to the verbs of `tl_app.app`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tl_app
from tl_app import api
from tl_app.config import Config, DataSettings, Phase, default_phases, default_text_phases
from tl_app.errors import ConfigError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What the verbs were called with."""
    noted: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(
        api, "_verb", lambda name: lambda *args, **kwargs: noted.append((args, kwargs))
    )
    return noted


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "mail.csv"
    file.write_text("text,label\na,b\n")
    return file


def config_of(calls: list[Any]) -> Config:
    return calls[-1][1]["config"]


def test_what_a_config_does_not_set_is_the_default_of_the_source(calls, table, tmp_path):
    tl_app.train(table, config=Config(seed=1, data=DataSettings(test_fraction=0.2)))
    trained = config_of(calls)
    assert (trained.backbone, trained.phases) == ("minilm-l6", default_text_phases())
    assert (trained.seed, trained.data.test_fraction) == (1, 0.2)
    tl_app.train(tmp_path, config=Config(seed=1))
    assert config_of(calls) == Config(seed=1)
    assert config_of(calls).phases == default_phases()


def test_what_a_config_sets_stays(calls, table):
    phases = (Phase(name="head", l2=0.1), Phase(name="fine_tune", unfreeze=1, epochs=1))
    given = Config(backbone="hub:mine", phases=phases, head_hidden_units=(8,), weights=None)
    tl_app.train(table, config=given)
    assert config_of(calls) == given
    tl_app.train(table, config=given, seed=3)
    assert config_of(calls) == given.model_copy(update={"seed": 3})


def test_a_config_s_own_defaults_can_be_asked_for(calls, table):
    tl_app.train(table, config=Config(phases=default_phases()))
    assert config_of(calls).phases == default_phases()
    assert config_of(calls).backbone == "minilm-l6"


def test_a_misspelt_setting_beside_a_config_is_told(calls, table):
    with pytest.raises(ConfigError, match="'batch_size'"):
        tl_app.train(table, config=Config(), batchsize=3)
    assert calls == []


@pytest.mark.parametrize("texts", ["Where is my parcel?", None, b"x", [1]])
def test_texts_that_are_no_list_are_refused(calls, texts):
    with pytest.raises(ConfigError, match="texts takes a list"):
        tl_app.predict("model", texts=texts)
    assert calls == []


@pytest.mark.parametrize("paths", ["new.jpg", Path("new.jpg"), None])
def test_paths_that_are_no_list_are_refused(calls, paths):
    with pytest.raises(ConfigError, match="paths takes a list"):
        tl_app.predict("model", paths)
    assert calls == []


def test_lists_are_handed_on(calls):
    tl_app.predict("model", ("a.jpg", Path("b")), texts=("one",))
    (args, kwargs) = calls[-1]
    assert args == ("model", [Path("a.jpg"), Path("b")])
    assert kwargs["texts"] == ["one"]
