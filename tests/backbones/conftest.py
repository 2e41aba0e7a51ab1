"""Fixtures of the backbone tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tl_app.progress import SilentReporter


@pytest.fixture
def reporter() -> SilentReporter:
    return SilentReporter()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """No test sees or fills the user's caches."""
    monkeypatch.setenv("TL_APP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub-cache"))
    return tmp_path / "cache" / "weights"
