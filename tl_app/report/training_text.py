"""Settings of a phase in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tl_app.config import Augmentation
from tl_app.inputs.describe import describe_augmentation


def phase_facts(phase: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """What the phase trains, how long and how fast; settings that are off are left out."""
    unfreeze = phase.get("unfreeze", 0)
    if unfreeze == "all":
        part = "the head and the whole backbone"
    elif unfreeze:
        part = f"the head and the top {unfreeze} blocks of the backbone"
        part = part.replace("top 1 blocks", "top block")
    else:
        part = "the head; the backbone is frozen"
    facts = [f"trains {part}"]
    if _is_solved(phase, config):
        facts.append("solved to its optimum (L-BFGS)")
    else:
        facts.append(f"at most {phase.get('epochs')} epochs")
        facts.append(
            f"learning rate {phase.get('learning_rate'):g}, {phase.get('schedule')} decay"
            if phase.get("schedule") != "constant"
            else f"learning rate {phase.get('learning_rate'):g}, constant"
        )
        if phase.get("layer_decay", 1.0) < 1:
            facts.append(f"each block toward the input at {phase['layer_decay']:g} of the rate")
        if phase.get("patience_epochs"):
            facts.append(f"stops after {phase['patience_epochs']} epochs without a gain")
    for key, words in {
        "weight_decay": "weight decay",
        "l1": "L1 penalty",
        "l2": "L2 penalty",
        "label_smoothing": "label smoothing",
        "dropout": "dropout",
        "mixup_alpha": "mixup, alpha",
        "cutmix_alpha": "cutmix, alpha",
    }.items():
        value = phase.get(key)
        if value == "auto":
            facts.append(f"{words} chosen by cross-validation")
        elif value:
            facts.append(f"{words} {value:g}")
    return facts


def augmentation_names(phase: Mapping[str, Any]) -> list[str]:
    """Augmentations that were on, in plain words with their strength."""
    return describe_augmentation(_augmentation(phase))


def flip_warning(phases: Iterable[Mapping[str, Any]]) -> str | None:
    """A sentence where pictures were mirrored, which changes the meaning of some."""
    mirrored = [
        str(phase.get("name", ""))
        for phase in phases
        if _augmentation(phase).flip_horizontal or _augmentation(phase).flip_vertical
    ]
    if not mirrored:
        return None
    return (
        f"Training pictures were mirrored (phase {', '.join(mirrored)}). Where a mirror image "
        "means something else (letters and digits, road signs, left and right in medical "
        "pictures), train again with --no-flip."
    )


def _augmentation(phase: Mapping[str, Any]) -> Augmentation:
    return Augmentation.model_validate(phase.get("augmentation") or {})


def _is_solved(phase: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """As `Config.solver` decides; asked of plain values, which any version may have written."""
    if config.get("head_hidden_units"):
        return False
    if phase.get("solver") == "auto":
        plain = ("unfreeze", "dropout", "mixup_alpha", "cutmix_alpha", "l1")
        return not any(phase.get(key) for key in plain)
    return phase.get("solver") == "lbfgs"
