"""`tl-app cache`: what it shows is what is there, and what it takes away is the longest unused."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

import tl_app
from tl_app.cli.main import main
from tl_app.features.store import FeatureStore, default_root

KEY = {"backbone": "efficientnet_lite0", "unfreeze": 0, "view": "plain"}


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two tables of 100 rows of 4 kB; the second was used last."""
    monkeypatch.setenv("TL_APP_CACHE", str(tmp_path))
    store = FeatureStore(default_root())
    folders = []
    for number in range(2):
        table = store.table("features", {**KEY, "n": number}, (1000,), np.float32)
        rows = np.full((100, 1000), number, np.float32)
        table.add([bytes([number, i]) * 16 for i in range(100)], rows)
        table.flush()
        folders.append(table.folder)
    store.close()
    long_ago = time.time() - 10_000
    for path in [folders[0], *folders[0].rglob("*")]:
        os.utime(path, (long_ago, long_ago))
    return folders


def test_info_shows_what_is_there(tables, capsys):
    assert main(["cache", "info", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [Path(one["folder"]) for one in document["tables"]] == tables
    assert document["n_bytes"] == sum(one["n_bytes"] for one in document["tables"]) > 800_000
    assert main(["cache", "info"]) == 0
    assert "efficientnet_lite0, pooled, plain" in capsys.readouterr().out
    assert tl_app.cache_info().n_bytes == document["n_bytes"]


def test_prune_takes_the_longest_unused_first(tables, capsys):
    assert main(["cache", "prune", "--limit-gb", "0.0006", "--json"]) == 0
    [gone] = json.loads(capsys.readouterr().out)["removed"]
    assert Path(gone["folder"]) == tables[0]
    assert [folder.exists() for folder in tables] == [False, True]
    assert main(["cache", "prune"]) == 0  # the default limit holds it
    assert "Nothing to remove" in capsys.readouterr().out
    assert tables[1].exists()
    assert len(tl_app.cache_prune(0)) == 1
    assert not tables[1].exists()


def test_a_table_in_use_stays(tables):
    store = FeatureStore(default_root())
    store.table("features", {**KEY, "n": 0}, (1000,), np.float32)
    assert [one.folder for one in tl_app.cache_prune(0)] == [tables[1]]
    assert tables[0].exists()
    store.close()
