"""A short form of `benchmarks.serving_load`."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from benchmarks.serving_load import GROWTH_BYTES, Load, memory_bytes, offline
from tests.serving.servers import command


@pytest.mark.slow
def test_a_mixed_load_harms_nothing(exported: Path, pictures: list[bytes]) -> None:
    told = offline(exported / "light" / "1", pictures)
    with command(exported / "light") as client:
        load = Load(client.port, "light", pictures, told)
        # Every kind of bad request once.
        warm = [load.kinds[kind](random.Random(0)) for kind in load.kinds]
        assert not [what for what in warm if what.startswith("FAULT")]
        load.run(2, 4, seed=1)
        before = memory_bytes(client.pid)
        outcome = load.run(8, 4)
        time.sleep(0.5)
        assert outcome.faults == []
        assert outcome.n_good > 100
        assert len({what.partition(":")[0] for what in outcome.bad}) >= 6
        assert memory_bytes(client.pid) - before < GROWTH_BYTES
        assert client.get("/healthz").status == 200
