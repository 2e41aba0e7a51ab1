"""Every recipe that is shipped is read and trained, and the defaults with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.small_model import build_trainer
from tl_app.config_loading import load_config

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "configs").glob("*.toml"))


def test_there_are_recipes():
    assert len(RECIPES) >= 3


@pytest.mark.parametrize(
    "path", [None, *RECIPES], ids=lambda path: path.stem if path else "default"
)
def test_a_recipe_trains(path, folder):
    config = load_config(path)
    phases = [phase.model_copy(update={"epochs": 1}) for phase in config.phases]
    state = build_trainer(folder, *phases, head_hidden_units=config.head_hidden_units).run()
    assert [record.phase for record in state.history] == [phase.name for phase in phases]
    assert all(np.isfinite(record.validation_log_loss) for record in state.history)
