"""What the report says of a phase is what the phase did."""

from __future__ import annotations

from tl_app.config import Config
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
