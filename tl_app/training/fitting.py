"""What a backbone must have so that the phases of a run can train it.

Asked before the examples are read: a setting that cannot work shows at once, not after the
phases before it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tl_app.backbones.blocks import Backbone, count_blocks
from tl_app.config import Phase
from tl_app.errors import ConfigError
from tl_app.training.hardware import Hardware
from tl_app.training.lora import require_updatable


def require_trainable(backbone: Backbone, phases: Iterable[Phase], hardware: Hardware) -> None:
    """
    Raises:
        ConfigError: a phase asks for what this backbone, or this precision, does not have.
    """
    for number, phase in enumerate(phases):
        count_blocks(backbone, phase.unfreeze)
        require_updatable(backbone, phase)
        if phase.recompute and not any(
            hasattr(part, "recompute") for part in backbone.model.layers
        ):
            raise ConfigError(
                f"{backbone.spec.name} has no blocks that can compute their activations again.",
                received=f"phase '{phase.name}': recompute on",
                allowed="an encoder of texts that is no SavedModel, or recompute off",
                next_step=f"--set phases.{number}.recompute=false",
            )
        if phase.base_weights != "float32" and hardware.precision == "mixed_float16":
            raise ConfigError(
                "Rounded weights do not go with float16.",
                received=f"phase '{phase.name}': base_weights {phase.base_weights}, precision "
                f"{hardware.precision}",
                allowed="precision float32 or mixed_bfloat16, or base_weights float32",
                next_step="--set precision=float32",
            )
