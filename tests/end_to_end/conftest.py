from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command_line import tl_app_json
from tests.end_to_end.photos import TRAIN_FAST, make_photos
from tests.end_to_end.small_backbone import register, unregister


@pytest.fixture(scope="module", autouse=True)
def small_backbone() -> Iterator[None]:
    register()
    yield
    unregister()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the commands run in; holds models/ and reports/."""
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="session")
def trained(photos: Path, workplace: Path) -> dict[str, Any]:
    """What `tl-app train --json` said of a run with the embedded default backbone."""
    return tl_app_json("train", photos, "--name", "first", *TRAIN_FAST, cwd=workplace)
