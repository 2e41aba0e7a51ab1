"""The benchmark of texts: what it writes, joins and says; nothing is trained here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.texts import BASELINE, WAYS, Results, Told, joined, main, read, render_table, write
from tl_app.config import Config, default_text_phases

ABOUT = {"encoder": "minilm-l6", "n_texts": 8}


def told(*right: bool, seconds: float = 2.0) -> Told:
    return Told({f"texts.csv:{line}": each for line, each in enumerate(right)}, seconds)


def results(**ways: dict[int, Told]) -> Results:
    return Results(ABOUT, ways)


FROZEN = results(frozen={0: told(True, False, False, False), 1: told(True, True, False, False)})
WHOLE = results(whole={0: told(True, True, False, False), 1: told(True, True, True, True)})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(WHOLE, tmp_path / "whole.json")
    assert read(tmp_path / "whole.json") == WHOLE


def test_several_runs_make_one_table(tmp_path: Path) -> None:
    other_seed = results(whole={2: told(False, True, True, True)})
    assert joined([FROZEN, WHOLE, other_seed]) == results(
        **FROZEN.ways, whole={**WHOLE.ways["whole"], **other_seed.ways["whole"]}
    )
    assert list(WHOLE.ways["whole"]) == [0, 1]  # what is joined stays as it was


def test_what_makes_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="whole with seed 0 is there twice"):
        joined([WHOLE, results(whole={0: told(True)})])
    with pytest.raises(ValueError, match="make no table"):
        joined([WHOLE, Results({**ABOUT, "n_texts": 9}, {})])


def test_the_table_tells_gains_on_the_seeds_that_both_have() -> None:
    frozen, whole = render_table(joined([FROZEN, WHOLE])).splitlines()
    assert frozen.split() == ["frozen", "0.3750", "0:", "0.2500", "1:", "0.5000", "2", "s"]
    assert "0.7500  0: 0.5000  1: 1.0000  2 s  over frozen +37.5 points (" in whole
    assert "of the seeds" not in whole
    more = results(whole={2: told(False, False, False, False)})
    assert "+37.5 points" in render_table(joined([FROZEN, WHOLE, more]))
    assert "with 2 of the seeds" in render_table(joined([FROZEN, WHOLE, more]))
    assert "over frozen" not in render_table(WHOLE)


def test_the_command_joins_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "frozen.json", tmp_path / "whole.json"]
    for part, file in zip((FROZEN, WHOLE), files, strict=True):
        write(part, file)
    both = tmp_path / "both.json"
    command = ["texts", "--json", str(both), "--join", *map(str, files)]
    monkeypatch.setattr(sys, "argv", command)
    main()
    assert capsys.readouterr().out.strip() == render_table(joined([FROZEN, WHOLE]))
    assert read(both) == joined([FROZEN, WHOLE])
    monkeypatch.setattr(sys, "argv", [*command, str(both)])
    with pytest.raises(SystemExit):
        main()
    assert "is there twice" in capsys.readouterr().err


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_a_configuration(way: str) -> None:
    values = [phase.model_dump() for phase in WAYS[way]]
    assert Config.model_validate({"backbone": "minilm-l6", "phases": values}).phases == WAYS[way]
    assert way != BASELINE


def test_one_way_is_the_default() -> None:
    assert WAYS["lora"] == default_text_phases()
    assert WAYS["lora"][1].lora_rank
    assert [phase.base_weights for phase in WAYS["qlora4"]] == ["float32", "int4"]
