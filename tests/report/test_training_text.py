"""What the report says of a phase is what the phase did."""

from __future__ import annotations

from tl_app.config import Config, Phase
from tl_app.report.training_text import phase_facts


def test_a_penalty_is_chosen_for_a_solved_head_alone():
    config = Config()
    values = config.model_dump(mode="json")
    said = {phase["name"]: phase_facts(phase, values) for phase in values["phases"]}
    chosen = "L2 penalty chosen by cross-validation"
    for phase in config.phases:
        assert phase.l2 == "auto"
        assert (chosen in said[phase.name]) == (config.solver(phase) == "lbfgs"), phase.name
    assert {chosen in facts for facts in said.values()} == {True, False}


def test_low_rank_updates_are_told():
    phase = Phase(name="a", unfreeze="all", lora_rank=8, base_weights="int8", layer_decay=0.8)
    facts = phase_facts(phase.model_dump(mode="json"), {})
    assert "by low-rank updates (LoRA, rank 8)" in facts
    assert "on weights rounded to int8 (QLoRA)" in facts
    assert not any("toward the input" in fact for fact in facts)
