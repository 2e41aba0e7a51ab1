"""Settings of a phase in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tl_app.config import Augmentation, Phase
from tl_app.inputs.describe import describe_augmentation


def phase_facts(phase: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """What the phase trains, how long and how fast; settings that are off are left out."""
    facts = [f"trains {trained_part(phase) or 'the head; the backbone is frozen'}"]
    if phase.get("lora_rank"):
        facts.append(f"by low-rank updates (LoRA, rank {phase['lora_rank']})")
        if phase.get("base_weights", "float32") != "float32":
            facts.append(f"on weights rounded to {phase['base_weights']} (QLoRA)")
    if _is_solved(phase, config):
        facts.append("solved to its optimum (L-BFGS)")
    else:
        facts.append(f"at most {_epochs(phase.get('epochs'))}")
        rate = Phase.model_validate(phase).peak_learning_rate
        falls = "constant" if phase.get("schedule") == "constant" else f"{phase['schedule']} decay"
        facts.append(f"learning rate {rate:g}, {falls}")
        if phase.get("layer_decay", 1.0) < 1 and not phase.get("lora_rank"):
            facts.append(f"each block toward the input at {phase['layer_decay']:g} of the rate")
        if phase.get("patience_epochs"):
            facts.append(f"stops after {_epochs(phase['patience_epochs'])} without a gain")
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
            if _is_solved(phase, config):  # elsewhere auto is no penalty
                facts.append(f"{words} chosen by cross-validation")
        elif value:
            facts.append(f"{words} {value:g}")
    return facts


def trained_part(phase: Mapping[str, Any]) -> str | None:
    """ "the head and the top 2 blocks of the backbone", or None for the head alone."""
    unfreeze = phase.get("unfreeze", 0)
    if not unfreeze:
        return None
    if unfreeze == "all":
        return "the head and the whole backbone"
    blocks = "block" if unfreeze == 1 else f"{unfreeze} blocks"
    return f"the head and the top {blocks} of the backbone"


def _epochs(count: object) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def augmentation_names(phase: Mapping[str, Any]) -> list[str]:
    """Augmentations that were on, in plain words with their strength.

    As the page writes them: "70 %".
    """
    lines = describe_augmentation(_augmentation(phase))
    return [re.sub(r"(?<=\d)%", " %", line) for line in lines]


@dataclass(frozen=True, slots=True)
class MirrorNote:
    """What to know of mirrored training pictures.

    Attributes:
        is_warning: whether the kept weights learned from them.
        sentence: for people.
    """

    is_warning: bool
    sentence: str


def mirror_note(phases: Sequence[Mapping[str, Any]], kept: Sequence[str]) -> MirrorNote | None:
    """Where pictures were mirrored, which changes the meaning of some; None where none were.

    Args:
        phases: as configured.
        kept: names of the phases whose steps are in the kept weights; empty where unknown,
            which counts as all.
    """
    mirrored = [
        str(phase.get("name", ""))
        for phase in phases
        if _augmentation(phase).flip_horizontal or _augmentation(phase).flip_vertical
    ]
    if not mirrored:
        return None
    learned = [name for name in mirrored if not kept or name in kept]
    if learned:
        return MirrorNote(
            True,
            f"The kept weights learned from mirrored pictures ({_phase_list(learned)}). Where a "
            "mirror image means something else (letters and digits, road signs, left and right "
            "in medical pictures), train again with --no-flip.",
        )
    return MirrorNote(
        False,
        f"Pictures were mirrored only in {_phase_list(mirrored)}, whose weights were not kept; "
        f"the kept ones are those of phase {kept[-1]}, trained without mirror images.",
    )


def trained_note(
    n_trained: int | None, phases: Sequence[Mapping[str, Any]], kept: Sequence[str]
) -> str:
    """How many parameters the run trained, and of what the kept weights are; "" where unknown.

    Args:
        n_trained: parameters of the phase that trained the most.
        phases: as configured.
        kept: names of the phases whose steps are in the kept weights.
    """
    if n_trained is None:
        return ""
    if not phases or not kept or kept[-1] == phases[-1].get("name"):
        return f"{n_trained:,} of them were trained"
    phase = next((phase for phase in phases if phase.get("name") == kept[-1]), {})
    part = trained_part(phase)
    what = f"{part} were trained" if part else "only the head's parameters were trained"
    if part and phase.get("lora_rank"):
        what = f"{part} were trained by low-rank updates"
    return (
        f"the run trained {n_trained:,} of them; the kept weights are those of phase {kept[-1]}, "
        f"in which {what}"
    )


def _phase_list(names: Sequence[str]) -> str:
    return f"{'phase' if len(names) == 1 else 'phases'} {', '.join(names)}"


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
