"""Every test run has a cache of its own: what a user's cache holds must not decide a test."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# As `libraries.prepare_libraries` does it; test modules import TensorFlow by themselves.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

N_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
THREADS = str(max(1, (os.cpu_count() or 1) // N_WORKERS))
"""Of each worker: those that wait for each other's cores cost a tenth of the time."""
for variable in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)

LONGEST = ("end_to_end", "training", "backbones", "engines", "export", "serving")
"""Folders whose files take longest; they begin, so that no worker has a long one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported by now stays. Looking through it again for what could be thrown away costs
    half a second each time, a tenth of all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = os.environ.get("TL_APP_CACHE")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["TL_APP_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["TL_APP_CACHE"]
    else:
        os.environ["TL_APP_CACHE"] = before
