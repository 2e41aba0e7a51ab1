"""Each check on data with its fault planted, and on data without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.audit.makers import dataset_of, example_of, inputs_of, jpeg, photo, write_photos
from tl_app.audit import checks
from tl_app.audit import inputs as audit_inputs
from tl_app.audit.checks import CHECKS, run_checks
from tl_app.audit.inputs import AuditInputs, CheckNotRun, gather
from tl_app.audit.labels import wrong_labels
from tl_app.audit.leakage import leakage
from tl_app.audit.near_duplicates import NearDuplicates, find_near_duplicates
from tl_app.audit.outliers import outliers
from tl_app.audit.quality import poor_pictures
from tl_app.data.ties import Ties
from tl_app.findings import Audit, Finding
from tl_app.records import Dataset, Example, SetAside, Side, Split, TextExample


def text(path: str, label: int, words: str, **more) -> TextExample:
    given = {"given_side": None, "given_group": None, **more}
    return TextExample(
        path, label, given["given_side"], given["given_group"], words, words, words, 1
    )


def texts_of(examples: Sequence[TextExample]) -> Dataset[TextExample]:
    return Dataset("/x", "t.csv", ("cat", "dog"), tuple(examples), modality="text")


def features_of(labels: np.ndarray, *, n_features: int = 8, seed: int = 0) -> np.ndarray:
    """Two clouds that a line parts."""
    random = np.random.default_rng(seed)
    cloud = random.normal(size=(len(labels), n_features))
    cloud[:, 0] += 6 * labels
    return cloud.astype(np.float32)


def of_kind(audit: Audit | list[Finding], kind: str) -> Finding:
    findings = audit.findings if isinstance(audit, Audit) else audit
    [found] = [finding for finding in findings if finding.kind == kind]
    return found


def fixed(finding: Finding) -> dict[str, str]:
    return {fix.path: fix.action for fix in finding.fixes}


# --- the list of checks ----------------------------------------------------------------------


def test_a_clean_set_has_no_findings(tmp_path: Path) -> None:
    dataset = write_photos(tmp_path, 40)
    audit = run_checks(inputs_of(dataset, tmp_path, features_of(dataset.labels)))
    assert audit.findings == ()
    assert [check.check for check in audit.not_run] == ["leakage between sides"]
    assert audit.n_examples == 80


def test_what_cannot_be_looked_at_is_listed_with_why(tmp_path: Path) -> None:
    dataset = write_photos(tmp_path, 4)
    inputs = replace(
        inputs_of(dataset, tmp_path),
        measurements=None,
        missing={"features": "no weights", "probabilities": "no weights"},
    )
    audit = run_checks(inputs)
    why = {check.check: check.why for check in audit.not_run}
    assert why["likely wrong labels"] == why["outliers"] == "no weights"
    assert why["near copies"] == "there are no measurements"
    assert "small_class" in {finding.kind for finding in audit.findings}


def test_texts_are_asked_what_fits_texts() -> None:
    examples = [text(f"t.csv:{i}", i % 2, f"words {i}") for i in range(80)]
    examples += [text("t.csv:80", 0, "words 0"), text("t.csv:81", 1, "words 2")]
    examples += [text("t.csv:82", 1, "words 78")]
    dataset = texts_of(examples)
    audit = run_checks(gather(dataset, features=features_of(dataset.labels)))
    assert fixed(of_kind(audit, "exact_copies")) == {"t.csv:80": "quarantine"}
    assert set(fixed(of_kind(audit, "conflicting_labels"))) == {
        *("t.csv:2", "t.csv:81", "t.csv:78", "t.csv:82")
    }
    assert {check.check for check in audit.not_run} == {"leakage between sides"}
    assert Audit.from_dict(audit.to_dict()) == audit


def test_every_check_has_a_name_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)


# --- copies and leaks ------------------------------------------------------------------------


def write(root: Path, path: str, label: int, data: bytes, **more) -> Example:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)
    return example_of(root, path, label, **more)


@pytest.mark.parametrize(("side", "proposed"), [(None, {"cat/1.jpg": "quarantine"}), ("test", {})])
def test_a_file_that_a_kept_link_leads_to_is_not_proposed(
    tmp_path: Path, side: Side | None, proposed: dict[str, str]
) -> None:
    real = write(tmp_path, "cat/2.jpg", 0, jpeg(photo(1)), side="train" if side else None)
    (tmp_path / "cat/1.jpg").symlink_to("2.jpg")
    link = example_of(tmp_path, "cat/1.jpg", 0, side=side)
    audit = run_checks(inputs_of(dataset_of(tmp_path, [link, real]), tmp_path))
    kinds = ["exact_copies"] if side is None else ["exact_copies", "leakage"]
    for kind in kinds:
        assert fixed(of_kind(audit, kind)) == proposed
    assert of_kind(audit, "exact_copies").title.startswith("1 picture")


def test_copies_of_bytes_and_of_pixels(tmp_path: Path) -> None:
    photo(1).save(tmp_path / "x.png")
    photo(1).save(tmp_path / "y.png", compress_level=1)
    png, other = (tmp_path / "x.png").read_bytes(), (tmp_path / "y.png").read_bytes()
    assert png != other
    examples = [
        write(tmp_path, "cat/1.png", 0, png),
        write(tmp_path, "cat/2.png", 0, png),
        write(tmp_path, "dog/1.jpg", 1, jpeg(photo(2))),
    ]
    finding = of_kind(
        run_checks(inputs_of(dataset_of(tmp_path, examples), tmp_path)), "exact_copies"
    )
    assert finding.evidence[0].paths == ("cat/1.png", "cat/2.png")
    assert finding.evidence[0].figures == {"same": "bytes"}
    assert fixed(finding) == {"cat/2.png": "quarantine"}
    examples[1] = write(tmp_path, "cat/2.png", 0, other)
    finding = of_kind(
        run_checks(inputs_of(dataset_of(tmp_path, examples), tmp_path)), "exact_copies"
    )
    assert finding.evidence[0].figures == {"same": "pixels"}


def test_near_copies_are_for_review_and_worse_under_two_labels(tmp_path: Path) -> None:
    examples = [write(tmp_path, f"cat/{i}.jpg", 0, jpeg(photo(i))) for i in range(20)]
    examples.append(write(tmp_path, "cat/copy.jpg", 0, jpeg(photo(3), 60)))
    examples.append(write(tmp_path, "dog/copy.jpg", 1, jpeg(photo(4), 60)))
    audit = run_checks(inputs_of(dataset_of(tmp_path, examples), tmp_path))
    near = of_kind(audit, "near_copies")
    assert [case.paths for case in near.evidence] == [("cat/3.jpg", "cat/copy.jpg")]
    assert float(near.evidence[0].figures["correlation"]) > 0.99
    worse = of_kind(audit, "near_copies_under_several_labels")
    assert [case.paths for case in worse.evidence] == [("cat/4.jpg", "dog/copy.jpg")]
    assert worse.severity == "warn"
    assert set(fixed(near).values()) | set(fixed(worse).values()) == {"review"}


def sided(root: Path) -> list[Example]:
    sides: tuple[Side, ...] = ("train", "test")
    return [
        write(root, f"{side}/{i}.jpg", 0, jpeg(photo(i + 50 * (side == "test"))), side=side)
        for side in sides
        for i in range(10)
    ]


def test_leaks_of_copies_take_the_training_copies_away(tmp_path: Path) -> None:
    examples = sided(tmp_path)
    clean = inputs_of(dataset_of(tmp_path, examples), tmp_path)
    assert leakage(clean) == []
    examples.append(write(tmp_path, "test/exact.jpg", 0, jpeg(photo(1)), side="test"))
    examples.append(write(tmp_path, "test/near.jpg", 0, jpeg(photo(2), 60), side="test"))
    [finding] = leakage(inputs_of(dataset_of(tmp_path, examples), tmp_path))
    assert finding.severity == "fail"
    assert fixed(finding) == {"train/1.jpg": "quarantine", "train/2.jpg": "quarantine"}
    assert {case.paths for case in finding.evidence} == {
        ("test/exact.jpg", "train/1.jpg"),
        ("test/near.jpg", "train/2.jpg"),
    }
    assert finding.evidence[0].figures == {"train": 1, "test": 1}


def test_a_copy_of_a_copy_is_only_to_be_looked_at(tmp_path: Path) -> None:
    examples = sided(tmp_path)
    dataset = dataset_of(tmp_path, examples)
    inputs = inputs_of(dataset, tmp_path)
    # test/0 is like train/0, which is like train/1; the two ends are not alike.
    place = {example.path: i for i, example in enumerate(examples)}
    chain = [place[name] for name in ("test/0.jpg", "train/0.jpg", "train/1.jpg")]
    groups = np.arange(len(examples))
    groups[chain] = chain[0]
    ties = Ties(np.array([chain[:2], chain[1:]]), np.array([0.99, 0.95], np.float32))
    [finding] = leakage(replace(inputs, duplicates=NearDuplicates(ties, groups)))
    assert fixed(finding) == {"train/0.jpg": "quarantine", "train/1.jpg": "review"}
    problems = {fix.path: fix.problem for fix in finding.fixes}
    assert problems["train/1.jpg"] == "a copy of a copy of test/0.jpg (test)"


def test_a_copy_is_told_of_what_it_is_a_copy_of(tmp_path: Path) -> None:
    examples = sided(tmp_path)
    inputs = inputs_of(dataset_of(tmp_path, examples), tmp_path)
    # Two tested pictures are alike; the one in training is like the second of them alone.
    place = {example.path: i for i, example in enumerate(examples)}
    chain = [place[name] for name in ("test/0.jpg", "test/1.jpg", "train/0.jpg")]
    groups = np.arange(len(examples))
    groups[chain] = chain[0]
    ties = Ties(np.array([chain[:2], chain[1:]]), np.array([0.99, 0.95], np.float32))
    [finding] = leakage(replace(inputs, duplicates=NearDuplicates(ties, groups)))
    assert {fix.path: fix.problem for fix in finding.fixes} == {
        "train/0.jpg": "a copy of test/1.jpg (test)"
    }


def test_folds_keep_the_users_groups_together(tmp_path: Path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        audit_inputs,
        "out_of_fold_probabilities",
        lambda features, labels, groups, *, n_classes: asked.append(groups),
    )
    examples = [
        text(f"a:{i}", i % 2, f"{i // 2}", given_group=f"p{i // 4}" if i < 60 else None)
        for i in range(160)
    ]
    gather(texts_of(examples), features=np.zeros((160, 4), np.float32))
    [groups] = asked
    assert len(np.unique(groups[:60])) == 15
    assert len(np.unique(groups[60:])) == 50


def test_what_could_not_be_measured_is_told(tmp_path: Path) -> None:
    dataset = write_photos(tmp_path, 6)
    (tmp_path / dataset.examples[0].path).write_bytes(b"gone")
    not_run = run_checks(inputs_of(dataset, tmp_path)).not_run
    assert "measuring 1 picture" in {check.check for check in not_run}


def test_a_copy_that_leaks_and_one_too_many_leave_one_behind() -> None:
    """Two checks that both take copies away agree on the one that stays."""
    examples = [
        text("a:1", 0, "same", given_side="train"),
        text("a:2", 0, "same", given_side="test"),
        text("a:3", 0, "same", given_side="train"),
        *(text(f"b:{i}", 1, f"{i}", given_side="train") for i in range(3)),
    ]
    audit = run_checks(gather(texts_of(examples)))
    moved = fixed(of_kind(audit, "exact_copies")) | fixed(of_kind(audit, "leakage"))
    assert moved == {"a:1": "quarantine", "a:3": "quarantine"}


def test_given_groups_on_two_sides_are_told() -> None:
    examples = [
        text("a:1", 0, "one", given_side="train", given_group="p1"),
        text("a:2", 0, "two", given_side="test", given_group="p1"),
        text("a:3", 1, "three", given_side="train", given_group="p2"),
    ]
    [finding] = leakage(gather(texts_of(examples)))
    assert finding.kind == "groups_on_several_sides"
    assert [case.paths for case in finding.evidence] == [("a:2", "a:1")]
    assert finding.fixes == ()


def test_a_runs_own_split_is_looked_at() -> None:
    examples = [text(f"a:{i}", i % 2, words) for i, words in enumerate("xyxz")]
    split = Split(("train", "train", "validation", "test"), (0, 1, 2, 3), {}, 0)
    [finding] = leakage(gather(texts_of(examples), split=split))
    assert finding.severity == "warn"
    assert finding.evidence[0].paths == ("a:2", "a:0")
    # To train anew would split the same way: nothing is to be taken away for it.
    tested = Split(("train", "train", "test", "validation"), (0, 1, 2, 3), {}, 0)
    [finding] = leakage(gather(texts_of(examples), split=tested))
    assert finding.severity == "warn"
    assert "column 'group'" in finding.advice
    assert {fix.action for fix in finding.fixes} == {"review"}


def test_a_check_that_fails_is_told_and_ends_nothing(monkeypatch) -> None:
    def fails(inputs):
        raise ZeroDivisionError("no contrast")

    monkeypatch.setattr(checks, "CHECKS", (checks.Check("odd", fails), *checks.CHECKS[-1:]))
    audit = run_checks(gather(texts_of([text("a:0", 0, "x"), text("a:1", 1, "y")])))
    [told] = audit.not_run
    assert (told.check, told.why) == ("odd", "it failed: ZeroDivisionError: no contrast")


def test_what_would_take_too_long_is_not_looked_at(monkeypatch) -> None:
    monkeypatch.setattr(audit_inputs, "MOST_WORK", 100.0)
    labels = np.arange(40) % 2
    examples = [text(f"a:{i}", int(label), f"t{i}") for i, label in enumerate(labels)]
    found = gather(texts_of(examples), features=features_of(labels))
    assert "too long" in found.missing["probabilities"]


# --- labels, outliers, classes ---------------------------------------------------------------


def test_planted_wrong_labels_are_found() -> None:
    truth = np.arange(300) % 2
    given = truth.copy()
    wrong = np.random.default_rng(1).choice(300, 15, replace=False)
    given[wrong] = 1 - given[wrong]
    examples = [text(f"t:{i}", int(label), f"{i}") for i, label in enumerate(given)]
    inputs = gather(texts_of(examples), features=features_of(truth))
    [finding] = wrong_labels(inputs)
    found = {case.paths[0] for case in finding.evidence}
    planted = {f"t:{i}" for i in wrong}
    assert len(found & planted) >= 14
    assert len(found - planted) <= 2
    first = finding.evidence[0].figures
    assert {first["given"], first["likely"]} == {"cat", "dog"}
    assert float(first["given_probability"]) < 0.1 < float(first["likely_probability"])
    assert set(fixed(finding).values()) == {"quarantine"}


def test_copies_cannot_vouch_for_each_other() -> None:
    """Noise that is there five times could be told by its copies; folds keep them together."""
    noise = np.random.default_rng(0).normal(size=(40, 100)).astype(np.float32)
    numbers = np.repeat(np.arange(40), 5)
    examples = [text(f"t:{i}", int(n % 2), f"{n}") for i, n in enumerate(numbers)]
    inputs = gather(texts_of(examples), features=noise[numbers])
    assert inputs.probabilities is not None
    assert (inputs.probabilities.argmax(axis=1) == numbers % 2).mean() < 0.8


def test_too_small_a_class_is_no_ground_for_judging_labels() -> None:
    examples = [text(f"t:{i}", int(i < 5), f"{i}") for i in range(60)]
    dataset = texts_of(examples)
    audit = run_checks(gather(dataset, features=features_of(dataset.labels)))
    [check] = [check for check in audit.not_run if check.check == "likely wrong labels"]
    assert "fewer than 10" in check.why
    assert of_kind(audit, "unequal_classes").severity == "warn"
    assert "dog" in of_kind(audit, "small_class").title


def test_what_is_unlike_all_others_stands_out() -> None:
    labels = np.arange(100) % 2
    features = features_of(labels, n_features=3)
    examples = [text(f"t:{i}", int(label), f"{i}") for i, label in enumerate(labels)]
    inputs = gather(texts_of(examples), features=features)
    before = outliers(inputs)
    features[7] = (40, -60, 80)
    [finding] = outliers(gather(texts_of(examples), features=features))
    assert finding.evidence[0].paths == ("t:7",)
    assert len(finding.evidence) <= (len(before[0].evidence) if before else 0) + 1
    with pytest.raises(CheckNotRun, match="fewer than 50"):
        outliers(gather(texts_of(examples[:20]), features=features[:20]))


def test_what_was_set_aside_is_listed(tmp_path: Path) -> None:
    dataset = write_photos(tmp_path, 10)
    dataset = replace(dataset, set_aside=(SetAside("x.jpg", "It is empty.", "empty"),))
    finding = of_kind(run_checks(inputs_of(dataset, tmp_path)), "unusable")
    assert finding.evidence[0].paths == ("x.jpg",)
    assert "1 empty" in finding.title


# --- poor pictures ---------------------------------------------------------------------------

POOR = {
    "dark": photo(90).point(lambda level: level // 8),
    "bright": photo(91).point(lambda level: 220 + level // 8),
    "flat": photo(92).point(lambda level: 120 + level // 16),
    "blurred": photo(93, (300, 220)).filter(ImageFilter.GaussianBlur(12)),
    "little_information": Image.new("RGB", (200, 200), (90, 90, 90)),
    "tiny": photo(94, (48, 40)),
    "odd_shape": photo(95, (400, 100)),
}


@pytest.mark.parametrize("kind", POOR)
def test_poor_pictures_are_told_apart(tmp_path: Path, kind: str) -> None:
    examples = [write(tmp_path, f"{i}.jpg", 0, jpeg(photo(i))) for i in range(30)]
    examples.append(write(tmp_path, "poor.jpg", 0, jpeg(POOR[kind])))
    findings = poor_pictures(inputs_of(dataset_of(tmp_path, examples), tmp_path))
    finding = of_kind(findings, kind)
    assert fixed(finding) == {"poor.jpg": "review"}
    assert finding.severity == "note"
    assert {fix.path for one in findings for fix in one.fixes} == {"poor.jpg"}


def test_files_that_vanished_are_measured_as_nothing(tmp_path: Path) -> None:
    dataset = write_photos(tmp_path, 15)
    (tmp_path / "cat/003.jpg").unlink()
    (tmp_path / "dog/004.jpg").write_bytes(jpeg(photo(77)))
    inputs: AuditInputs = inputs_of(dataset, tmp_path)
    assert inputs.measurements is not None
    assert np.flatnonzero(~inputs.measurements.known).tolist() == [3, 19]
    assert poor_pictures(inputs) == []


def test_groups_are_the_same_whoever_asks(tmp_path: Path) -> None:
    dataset = write_photos(tmp_path, 5)
    inputs = inputs_of(dataset, tmp_path)
    assert inputs.measurements is not None
    again = find_near_duplicates(dataset.examples, inputs.measurements.thumbnails, None)
    np.testing.assert_array_equal(again.groups, inputs.duplicates.groups)
