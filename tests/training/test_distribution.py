"""Two virtual CPU devices under MirroredStrategy give the same result as one.

Logical devices must be made before TensorFlow starts: each case is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import json, sys
import numpy as np
import tensorflow as tf
n_devices, folder = int(sys.argv[1]), sys.argv[2]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(n_devices)]
)
from pathlib import Path
from tests.training.small_model import build_trainer, head_phase, tune_phase
from tl_app.run import RunFolder

devices = tuple(f"CPU:{i}" for i in range(n_devices))
run = RunFolder.create(Path(folder), "run")
# The small backbone drops out: without it both share out the same arithmetic.
trainer = build_trainer(
    run,
    head_phase(),
    tune_phase(learning_rate=1e-3),
    tune_phase(name="streamed", views=0, unfreeze="all", learning_rate=1e-3, l2=1e-3),
    devices=devices,
    drop=0.0,
)
trainer.checkpoints.restore_best = lambda *_: None
state = trainer.run()
np.savez(Path(folder) / "weights.npz", *trainer.classifier.get_weights())
print(json.dumps({"replicas": trainer.strategy.num_replicas_in_sync,
                  "losses": [r.train_loss for r in state.history]}))
"""


def train_on(n_devices: int, folder: Path) -> tuple[dict, list[np.ndarray]]:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(n_devices), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "weights.npz") as file:
        return json.loads(done.stdout.splitlines()[-1]), [file[name] for name in file.files]


@pytest.mark.slow
def test_two_devices_give_what_one_gives(tmp_path):
    one, weights_of_one = train_on(1, tmp_path / "one")
    two, weights_of_two = train_on(2, tmp_path / "two")
    assert (one["replicas"], two["replicas"]) == (1, 2)
    np.testing.assert_allclose(one["losses"], two["losses"], rtol=1e-4)
    for a, b in zip(weights_of_one, weights_of_two, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
