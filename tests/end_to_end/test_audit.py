"""`tl-app audit` on real files: found, carried out, taken back; and within a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.command_line import tl_app, tl_app_json
from tests.end_to_end.photos import HOSTILE_CLASS, HOSTILE_FILE, draw
from tl_app.audit.private import private_facts
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file but those of the quarantine."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".quarantine" not in path.parts
    }


@pytest.fixture(scope="module")
def faulty(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs with an exact copy, a near copy, a conflict and a position."""
    folder = tmp_path_factory.mktemp("faulty") / "photos"
    shutil.copytree(photos, folder)
    source = folder / HOSTILE_CLASS / HOSTILE_FILE
    shutil.copy(source, folder / HOSTILE_CLASS / '=copy "<b>\n.png')
    shutil.copy(folder / "checks/000.png", folder / "stripes/conflict.png")
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 3.0, 0.0)})
    Image.fromarray(draw(0, 5)).resize((88, 88)).save(folder / "stripes/near.jpg", exif=exif)
    return folder


@pytest.fixture(scope="module")
def audited(faulty: Path, trained: dict[str, Any], workplace: Path) -> dict[str, Any]:
    return tl_app_json(
        *("audit", faulty, "--image-size", "64", "--strip", workplace / "clean"), cwd=workplace
    )


def finding(document: dict[str, Any], kind: str) -> dict[str, Any]:
    [found] = [one for one in document["findings"] if one["kind"] == kind]
    return found


def test_planted_faults_are_found(audited: dict[str, Any]) -> None:
    copies = finding(audited, "exact_copies")
    assert copies["evidence"][0]["paths"] == sorted(
        [f'{HOSTILE_CLASS}/=copy "<b>\n.png', f"{HOSTILE_CLASS}/{HOSTILE_FILE}"]
    )
    assert finding(audited, "conflicting_labels")["severity"] == "fail"
    assert ["stripes/005.png", "stripes/near.jpg"] in [
        case["paths"] for case in finding(audited, "near_copies")["evidence"]
    ]
    assert finding(audited, "private_metadata")["evidence"][0]["paths"] == ["stripes/near.jpg"]
    assert {"truncated.jpg", "empty.jpg", "page.jpg"} == {
        Path(case["paths"][0]).name for case in finding(audited, "unusable")["evidence"]
    }
    assert "leakage between sides" in {check["check"] for check in audited["not_run"]}


def test_what_training_kept_is_not_computed_again(
    photos: Path, audited: dict[str, Any], workplace: Path
) -> None:
    done = tl_app("audit", photos, "--image-size", "64", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "Computing features" not in done.stderr
    assert "Measuring pictures" not in done.stderr
    assert "pictures audited" in done.stdout


def test_cleaned_copies_say_nothing_and_look_the_same(
    audited: dict[str, Any], faulty: Path, workplace: Path
) -> None:
    clean = workplace / "clean/stripes/near.jpg"
    assert private_facts(clean.read_bytes(), "JPEG")[0] == 0
    with Image.open(clean) as after, Image.open(faulty / "stripes/near.jpg") as before:
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert any(path.endswith(".tif") for path in audited["stripped"]["left_out"])


def test_fixes_are_carried_out_and_taken_back(
    audited: dict[str, Any], faulty: Path, workplace: Path
) -> None:
    before = snapshot(faulty)
    done = tl_app_json("audit", "--apply", audited["fixes"], cwd=workplace)
    assert done["left"] == {}
    assert set(done["moved"]) >= {"checks/000.png", "stripes/conflict.png"}
    after = snapshot(faulty)
    assert set(before) - set(after) == set(done["moved"])
    assert all(before[path] == after[path] for path in after)
    again = tl_app_json("audit", "--apply", audited["fixes"], cwd=workplace)
    assert again["moved"] == []
    back = tl_app_json("audit", faulty, "--undo", cwd=workplace)
    assert set(back["moved"]) == set(done["moved"])
    assert snapshot(faulty) == before


def test_a_run_keeps_its_audit_and_the_report_shows_it(
    trained: dict[str, Any], workplace: Path
) -> None:
    run = RunFolder.open(workplace / trained["run"], workplace)
    audit = run.read_audit()
    assert audit is not None
    assert audit.n_examples == len(run.read_dataset().examples)
    # A run has sides: what could not be looked at without them was looked at.
    assert "leakage between sides" not in {check.check for check in audit.not_run}
    assert run.fixes_file.is_file()
    assert "audit" in trained["seconds"]
    page = (workplace / trained["report"]).read_text(encoding="utf-8")
    assert "Faults of the data" in page


def test_texts_are_audited_without_their_encoder(tmp_path: Path) -> None:
    """What needs features is left out, and said to be."""
    rows = ["text,label"]
    rows += [f"words number {i} of many,{'ab'[i % 2]}" for i in range(30)]
    rows += ["words number 0 of many,a", "words number 1 of many,a"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    alone = {"PIP_NO_INDEX": "1", "TL_APP_CACHE": str(tmp_path / "cache")}
    done = tl_app("audit", "t.csv", "--json", cwd=tmp_path, env=alone)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert finding(document, "exact_copies")["fixes"][0]["path"] == "t.csv:32"
    assert len(finding(document, "conflicting_labels")["evidence"]) == 1
    not_run = {check["check"] for check in document["not_run"]}
    assert not_run == {"leakage between sides", "likely wrong labels", "outliers"}
