"""A process of its own: what it says on standard error, and where it keeps variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.engines.makers import small_model, small_pictures
from tl_app.engines.base import devices
from tl_app.engines.build import build_engine
from tl_app.engines.fold import fold_batch_normalization

with tf.device("CPU:1"):
    model = small_model()
print(*devices(model), *devices(fold_batch_normalization(model)))
build_engine("litert", model, batch_size=4)(small_pictures())
"""


@pytest.fixture(scope="module")
def process() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def test_litert_says_nothing_and_warns_of_nothing(process) -> None:
    assert process.returncode == 0, process.stderr[-2000:]
    assert "XNNPACK" not in process.stderr
    assert "deprecated" not in process.stderr


def test_folded_kernels_lie_where_the_others_do(process) -> None:
    plain, folded = process.stdout.split()
    assert plain == folded
    assert folded.endswith("CPU:1")
