"""Kept activations of the default backbone, with its real weights: what they change, if anything.

The small network of test_kept has no depthwise convolutions, no residuals and no stochastic
depth; this one has.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from tests.training.small_model import all_weights, build_trainer, head_phase, tune_phase
from tl_app.backbones.blocks import Backbone
from tl_app.backbones.loading import load_backbone
from tl_app.config import Augmentation
from tl_app.progress import SilentReporter
from tl_app.run import RunFolder
from tl_app.training.decisions import Decisions, PhaseDecision

pytestmark = pytest.mark.slow

SIZE_PX = 64
TUNE = {
    "unfreeze": 3,
    "epochs": 2,
    "learning_rate": 1e-4,
    "views": 1,
    "augmentation": Augmentation(flip_horizontal=False),
}
"""Three of its 18 blocks: the convolution on top, and two with a residual."""


def lite0() -> Backbone:
    return load_backbone("efficientnet_lite0", image_size_px=SIZE_PX, reporter=SilentReporter())


def descend(folder: RunFolder, **settings: Any):
    """Head and fine-tuning; the weights are those at the end of descent, whatever won."""
    trainer: Any = build_trainer(folder, head_phase(), tune_phase(**TUNE), build=lite0, **settings)
    trainer.checkpoints.restore_best = lambda *_: None
    state = trainer.run()
    return trainer, [replace(record, seconds=0) for record in state.history]


def test_kept_activations_equal_the_full_network_bit_for_bit(tmp_path):
    exact = {"engine": "tensorflow", "kept_dtype": "float32"}
    kept, kept_history = descend(RunFolder.create(tmp_path, "kept"), **exact)
    streaming = RunFolder.create(tmp_path, "full")
    Decisions(streaming).record("phase tune", asdict(PhaseDecision("streamed", "float32", 1, 0)))
    full, full_history = descend(streaming, **exact)
    assert Decisions(kept.folder).read()["phase tune"]["source"] == "kept"
    assert kept_history == full_history
    before = lite0().model.get_weights()
    changed = 0
    for a, b, start in zip(all_weights(kept), all_weights(full), before, strict=False):
        np.testing.assert_array_equal(a, b)
        changed += not np.array_equal(a, start)
    assert changed > 5  # something was trained


@pytest.mark.parametrize(("engine", "dtype"), [("litert", "float16"), ("folded", "float32")])
def test_faster_engines_and_half_floats_change_little(tmp_path, engine, dtype):
    """Measured: the validation log-loss, near 1.5, differs by 7e-5 of itself with float32, and
    by 1.3e-4 with float16; training losses, near 1e-3, by 2e-7 and 4e-6."""
    exact = descend(RunFolder.create(tmp_path, "exact"), engine="tensorflow", kept_dtype="float32")
    fast = descend(RunFolder.create(tmp_path, "fast"), engine=engine, kept_dtype=dtype)
    losses = [
        np.array([(r.train_loss, r.validation_log_loss) for r in history], dtype=float)
        for _, history in (exact, fast)
    ]
    rtol, atol = (5e-4, 1e-6) if dtype == "float32" else (1e-3, 2e-5)
    np.testing.assert_allclose(losses[0], losses[1], rtol=rtol, atol=atol)
    assert not np.array_equal(losses[0], losses[1])
