"""Which examples two runs are compared on: invented runs, on disk, without a model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tl_app.app.comparing import _matched, compare
from tl_app.data.splitting import make_split
from tl_app.errors import ConfigError, DataError, RunError
from tl_app.evaluation.comparison import Comparison
from tl_app.evaluation.scoring import evaluate
from tl_app.progress import SilentReporter
from tl_app.records import (
    Dataset,
    Example,
    Modality,
    Predictions,
    Preprocessing,
    Side,
    TextExample,
    TextProcessing,
)
from tl_app.run import RunFolder
from tl_app.storage import write_json

NAMES = ("cat", "dog")


def picture(
    content: int, label: int, side: Side, *, path: str | None = None, group: str | None = None
) -> Example:
    """One whose pixels are known by a number; unless told otherwise so is its path."""
    return Example(
        path=path or f"{content:03}.jpg",
        label=label,
        given_side=side,
        given_group=group,
        file_hash=f"{content:064x}",
        pixel_hash=f"{content:064x}",
        width_px=8,
        height_px=8,
        mode="RGB",
        image_format="JPEG",
        exif_orientation=1,
        n_bytes=1,
        max_level=255,
        bits=8,
    )


def write_run(
    output: Path,
    name: str,
    examples: list[Any],
    *,
    wrong: Mapping[str, float] | None = None,
    class_names: tuple[str, ...] = NAMES,
    status: str = "complete",
) -> None:
    """A finished run that tells all test examples rightly but those whose paths are in `wrong`,
    which it gets wrong with the confidence given there."""
    modality: Modality = "text" if isinstance(examples[0], TextExample) else "image"
    dataset, split = make_split(
        Dataset(
            "/data",
            "data",
            class_names,
            tuple(sorted(examples, key=lambda example: example.path)),
            given_sides=("train", "validation", "test"),
            modality=modality,
        ),
        validation_fraction=0.1,
        test_fraction=0.1,
        seed=0,
    )
    folder = RunFolder.create(output, name, exact=True)
    folder.update_info(status=status, seconds={})
    processing = Preprocessing(64, "crop", (0, 65535), 10**8)
    folder.write_dataset(dataset, TextProcessing(8, None) if modality == "text" else processing)
    write_json(folder.split_file, split.to_dict())
    (folder.saved_model / "1").mkdir(parents=True)
    (folder.saved_model / "1" / "saved_model.pb").write_bytes(b"")
    tested = [dataset.examples[i] for i in split.indices("test")]
    y_true = np.array([example.label for example in tested], dtype=np.int64)
    rows = np.full((len(tested), len(class_names)), 0.1 / (len(class_names) - 1), np.float32)
    for row, example in enumerate(tested):
        confidence = (wrong or {}).get(example.path)
        said = example.label if confidence is None else (example.label + 1) % len(class_names)
        rows[row] = (1 - (confidence or 0.9)) / (len(class_names) - 1)
        rows[row, said] = confidence or 0.9
    predictions = Predictions(tuple(e.path for e in tested), y_true, rows, class_names)
    if tested:
        folder.write_predictions("test", predictions)
        shares = np.full(len(class_names), 1 / len(class_names))
        evaluation = evaluate(predictions, class_shares=shares, modality=modality)
        write_json(folder.evaluation_file, {"evaluation": evaluation.to_dict()})
    else:
        shown = Predictions(("v.jpg",), np.array([0]), np.eye(1, len(class_names)), class_names)
        evaluation = evaluate(shown, class_shares=shown.probabilities[0], side="validation")
        write_json(folder.evaluation_file, {"evaluation": evaluation.to_dict()})


BASE = [
    *(picture(i, i % 2, "test") for i in range(20)),
    *(picture(100 + i, i % 2, "train") for i in range(4)),
    *(picture(200 + i, i % 2, "validation") for i in range(2)),
]

Compare = Callable[..., Comparison]


@pytest.fixture
def reporter() -> SilentReporter:
    return SilentReporter()


@pytest.fixture
def compared(tmp_path: Path, reporter: SilentReporter) -> Compare:
    def run(**options: Any) -> Comparison:
        return compare("a", "b", output=tmp_path, reporter=reporter, **{"margin": 0.01, **options})

    return run


def test_the_same_test_part(tmp_path: Path, compared: Compare, reporter: SilentReporter) -> None:
    write_run(tmp_path, "a", BASE, wrong={"003.jpg": 0.8})
    write_run(tmp_path, "b", BASE, wrong={"003.jpg": 0.8, "005.jpg": 0.7, "008.jpg": 0.95})
    found = compared()
    assert (found.n_examples, found.n_groups) == (20, 20)
    assert found.accuracy.value_a == pytest.approx(0.95)
    assert found.accuracy.value_b == pytest.approx(0.85)
    assert [(example.path, example.label) for example in found.lost] == [
        ("008.jpg", "cat"),
        ("005.jpg", "dog"),
    ]
    assert found.notes[0] == (
        "The figures rest on 20 pictures that both runs recorded as test pictures."
    )
    assert not any(found.left_out.values())
    assert reporter.warnings == []


def test_examples_are_matched_by_content_wherever_they_lie(
    tmp_path: Path, compared: Compare
) -> None:
    """B has half of the pictures, in other folders and in another order of names."""
    moved = [
        picture(i, i % 2, "test", path=f"moved/{99 - i}.jpg") if i % 2 == 0 else None
        for i in range(20)
    ]
    write_run(tmp_path, "a", BASE, wrong={"006.jpg": 0.9})
    write_run(tmp_path, "b", [*filter(None, moved), *BASE[20:]], wrong={"moved/93.jpg": 0.9})
    found = compared()
    assert found.n_examples == 10
    assert (found.disagreement.n_neither, found.disagreement.n_both) == (1, 9)
    assert (found.left_out["only_in_a"], found.left_out["only_in_b"]) == (10, 0)
    assert "10 of A's and 0 of B's test pictures have no match" in found.notes[1]


def test_classes_in_another_order_are_the_same_classes(tmp_path: Path, compared: Compare) -> None:
    names = ("cat", "dog", "owl")
    turned = ("owl", "cat", "dog")
    examples = [picture(i, i % 3, "test") for i in range(12)]
    sides: list[Side] = ["train", "validation"]
    rest = [picture(100 + i, i % 3, sides[i % 2]) for i in range(12)]
    write_run(tmp_path, "a", [*examples, *rest], wrong={"004.jpg": 0.6}, class_names=names)
    relabelled = [
        picture(int(e.pixel_hash, 16), turned.index(names[e.label]), e.given_side)
        for e in (*examples, *rest)
        if e.given_side is not None
    ]
    write_run(tmp_path, "b", relabelled, wrong={"007.jpg": 0.6}, class_names=turned)
    found = compared()
    assert (found.disagreement.n_only_a, found.disagreement.n_only_b) == (1, 1)
    assert [change.name for change in found.per_class] == list(names)
    [lost] = found.lost
    # In B's own order the class after dog is owl's, the first.
    assert (lost.label, lost.said) == ("dog", "owl")
    assert lost.probability_b == pytest.approx(0.6)
    assert found.metrics[3].difference.value == pytest.approx(0, abs=1e-6)


def test_what_one_run_was_trained_on_does_not_count(
    tmp_path: Path, compared: Compare, reporter: SilentReporter
) -> None:
    """Given sides may hold one picture on two of them; A was trained on two of its test part."""
    leaked = [picture(i, i % 2, "train", path=f"leak/{i}.jpg") for i in (2, 3)]
    chosen = [picture(5, 1, "validation", path="chosen/5.jpg")]
    write_run(tmp_path, "a", [*BASE, *leaked], wrong={"002.jpg": 0.9})
    write_run(tmp_path, "b", [*BASE, *chosen])
    found = compared()
    assert found.n_examples == 17
    assert (found.left_out["seen_by_a"], found.left_out["seen_by_b"]) == (2, 1)
    assert found.accuracy.difference.value == 0.0  # the picture that A got wrong is one of them
    assert "without 2 that A and 1 that B has seen in training" in found.notes[0]
    assert [warning[:33] for warning in reporter.warnings] == [
        "2 of 20 pictures left out: A was ",
        "1 of 20 pictures left out: B was ",
    ]


def test_a_group_that_one_run_was_trained_on_does_not_count(
    tmp_path: Path, compared: Compare
) -> None:
    """The same patient on B's training side, in other pictures."""
    grouped = [picture(i, i % 2, "test", group=f"patient {i}") for i in range(12)]
    write_run(tmp_path, "a", [*grouped, *BASE[20:]])
    trained = [picture(300, 0, "train", group="patient 7")]
    write_run(tmp_path, "b", [*grouped, *BASE[20:], *trained])
    found = compared()
    assert (found.n_examples, found.left_out["seen_by_b"]) == (11, 1)


def test_copies_and_groups_of_either_run_are_resampled_whole(
    tmp_path: Path, compared: Compare
) -> None:
    """Pairs are groups of A, two copies are in both, and B ties two of A's pairs together."""
    plain = [picture(i, i % 2, "test") for i in range(4, 20)]
    pair = [picture(i, 0, "test", group=f"g{i // 2}") for i in range(4)]
    bound = [picture(i, 0, "test", group="h" if i in (1, 2) else None) for i in range(4)]
    copy = [picture(9, 1, "test", path="copy.jpg")]
    write_run(tmp_path, "a", [*plain, *pair, *copy, *BASE[20:]])
    write_run(tmp_path, "b", [*plain, *bound, *copy, *BASE[20:]])
    found = compared()
    assert found.n_examples == 21
    assert found.n_groups == 17  # 16 plain ones, one of them with its copy, and the four in one
    assert "21 pictures in 17 groups (nearly the same pixels" in found.notes[0]


def test_labels_that_differ_are_left_out_and_told(tmp_path: Path, compared: Compare) -> None:
    corrected = [picture(4, 1, "test"), *(e for e in BASE if e.path != "004.jpg")]
    write_run(tmp_path, "a", BASE)
    write_run(tmp_path, "b", corrected)
    found = compared()
    assert (found.n_examples, found.left_out["labelled_differently"]) == (19, 1)
    assert "1 picture had another label in A than in B" in found.notes[2]


def test_texts_are_matched_whatever_their_whitespace(tmp_path: Path, compared: Compare) -> None:
    def text(i: int, side: Side, spelling: str) -> TextExample:
        return TextExample(f"t.csv:{i + 2}", i % 2, side, None, spelling, spelling, f"{i:064x}", 3)

    sides: list[Side] = ["test", "train", "validation"]
    write_run(tmp_path, "a", [text(i, sides[i % 3], "one two") for i in range(60)])
    write_run(tmp_path, "b", [text(i, sides[i % 3], "one  two ") for i in range(60)])
    found = compared()
    assert (found.n_examples, found.modality) == (20, "text")
    assert "test texts" in found.notes[0]


def test_no_test_example_in_common(tmp_path: Path, compared: Compare) -> None:
    write_run(tmp_path, "a", BASE)
    other = [picture(500 + i, i % 2, "test") for i in range(5)]
    write_run(tmp_path, "b", [*other, *BASE[20:]])
    with pytest.raises(DataError, match="no test picture in common") as caught:
        compared()
    assert caught.value.exit_code == 3
    assert "test parts of 20 and 5, 0 of them in common" in str(caught.value.received)
    assert str(caught.value.next_step) == "tl-app compare RUN_A RUN_B FOLDER"


def test_a_run_without_a_test_part(tmp_path: Path, compared: Compare) -> None:
    write_run(tmp_path, "a", BASE)
    write_run(tmp_path, "b", BASE[20:])
    with pytest.raises(DataError, match="no test picture in common"):
        compared()


def test_runs_that_cannot_be_compared(tmp_path: Path, compared: Compare) -> None:
    write_run(tmp_path, "a", BASE)
    write_run(tmp_path, "b", BASE, class_names=("cat", "wolf"))
    with pytest.raises(ConfigError, match="same classes") as caught:
        compared()
    assert caught.value.received == "A alone: dog; B alone: wolf"
    with pytest.raises(ConfigError, match="margin"):
        compared(margin=1.0)
    with pytest.raises(ConfigError, match="margin"):
        compared(margin=float("nan"))


def test_runs_on_other_kinds_of_examples(tmp_path: Path, compared: Compare) -> None:
    write_run(tmp_path, "a", BASE)
    texts = [TextExample(f"{i}", i % 2, "test", None, "x", "x", f"{i:064x}", 1) for i in range(6)]
    write_run(tmp_path, "b", texts)
    with pytest.raises(ConfigError, match="different kinds") as caught:
        compared()
    assert caught.value.received == "A: pictures, B: texts"


def test_a_run_that_was_not_finished(tmp_path: Path, compared: Compare) -> None:
    write_run(tmp_path, "a", BASE)
    write_run(tmp_path, "b", BASE, status="training")
    with pytest.raises(RunError, match="not finished"):
        compared()


def test_recorded_predictions_are_compared_without_tensorflow(tmp_path: Path) -> None:
    write_run(tmp_path, "a", BASE)
    write_run(tmp_path, "b", BASE)
    code = (
        "import sys, tl_app\n"
        f"print(tl_app.compare('a', 'b', output={str(tmp_path)!r}).verdict)\n"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["cannot tell", "False"]


def test_equal_keys_are_matched_once_each() -> None:
    found = _matched(["x", "y", "x", "z", "x"], ["x", "x", "w", "y"])
    assert found.tolist() == [[0, 0], [1, 3], [2, 1]]
    assert _matched([], ["x"]).shape == (0, 2)
