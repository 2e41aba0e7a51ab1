"""The benchmark of audits counts rightly; the audit itself is a stand-in here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import audit as benchmark
from benchmarks.split import find_pictures
from tests.audit.makers import jpeg, photo
from tl_app.findings import Audit, Evidence, Finding, Fix


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, list[Path]]:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(20):
            picture = photo(i, (24, 20), kind=label)
            (tmp_path / "photos" / name / f"{name}{i}.jpg").write_bytes(jpeg(picture))
    return find_pictures(tmp_path / "photos")[0]


def audit_of(findings: list[Finding]) -> Audit:
    return Audit("/x", "x", "image", 40, tuple(findings))


def test_wrong_labels_are_planted_and_counted(pictures, tmp_path: Path, monkeypatch) -> None:
    def audited(scratch: Path) -> Audit:
        wrong = [
            f"{folder}/{path.name}"
            for folder in ("cat", "dog")
            for path in (scratch / "photos" / folder).iterdir()
            if not path.name.startswith(folder)
        ]
        assert len(wrong) == 2
        fixes = tuple(Fix(path, "x", "quarantine") for path in (wrong[0], "cat/cat1.jpg"))
        return audit_of([Finding("wrong_label", "warn", "t", "a", (), fixes)])

    monkeypatch.setattr(benchmark, "audited", audited)
    found = benchmark.measure_labels(tmp_path / "scratch", pictures, seed=0)
    assert (found["n_planted"], found["n_reported"]) == (2, 2)
    assert (found["recall"], found["precision"]) == (0.5, 0.5)


def test_copies_are_planted_across_the_sides_and_counted(
    pictures, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(benchmark, "N_COPIES", 3)

    def audited(scratch: Path) -> Audit:
        copies = sorted((scratch / "photos/test").rglob("copy-*"))
        assert len(copies) == 3 * len(benchmark.CHANGES)
        cases = []
        for copy in copies:
            _, kind, stem = copy.stem.split("-", 2)
            if kind == "mirrored":
                continue
            stem = stem.removeprefix("encoded-")
            label = copy.parent.name
            cases.append(Evidence((f"test/{label}/{copy.name}", f"train/{label}/{stem}.jpg")))
        cases.append(Evidence(("train/cat/cat1.jpg", "test/dog/dog1.jpg")))
        return audit_of([Finding("leakage", "fail", "t", "a", tuple(cases))])

    monkeypatch.setattr(benchmark, "audited", audited)
    found = benchmark.measure_copies(tmp_path / "scratch", pictures, seed=0)
    assert found["recall"].pop("mirrored") == 0
    assert set(found["recall"].values()) == {1.0}
    assert found["not_planted"] == [["test/dog/dog1.jpg", "train/cat/cat1.jpg"]]


@pytest.mark.parametrize("kind", benchmark.MARKS)
def test_a_mark_changes_a_part_of_a_picture(kind: str) -> None:
    before = Image.new("RGB", (200, 150), (90, 140, 60))
    after = benchmark.MARKS[kind](before)
    assert after.size == before.size
    is_changed = (np.asarray(before) != np.asarray(after)).any(axis=2)
    assert 0 < is_changed.mean() < 0.2
