"""Folders of class folders, split layouts, ignored files and symbolic links."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest

from tl_app.errors import DataError


def test_class_folders_become_classes_in_code_point_order(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", dog=3, Zebra=3, cat__deep__deeper=3, ärmel=3)
    dataset = run_scan(root)
    assert dataset.class_names == ("Zebra", "cat", "dog", "ärmel")
    assert dataset.root == str(root)
    assert dataset.given_sides == ()
    assert [e.path for e in dataset.examples] == sorted(e.path for e in dataset.examples)
    assert {e.path for e in dataset.examples if e.label == 1} == {
        f"cat/deep/deeper/{i:04d}.png" for i in range(3)
    }
    first = dataset.examples[0]
    assert (first.width_px, first.image_format, len(first.pixel_hash)) == (2, "PNG", 64)


def test_split_layout_is_kept_as_given(tmp_path, pictures, run_scan, reporter):
    counts = {"Train__cat": 4, "Train__dog": 4, "valid__cat": 1, "TEST__cat": 1, "TEST__dog": 2}
    dataset = run_scan(pictures(tmp_path / "set", **counts))
    assert dataset.given_sides == ("train", "validation", "test")
    assert dataset.class_names == ("cat", "dog")
    on = {side: sum(e.given_side == side for e in dataset.examples) for side in dataset.given_sides}
    assert on == {"train": 8, "validation": 1, "test": 3}
    assert "TEST" in reporter.said


def test_missing_test_side_needs_no_test(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", train__cat=4, train__dog=4, val__cat=1, val__dog=1)
    with pytest.raises(DataError, match="--no-test") as caught:
        run_scan(root)
    assert "train, val" in str(caught.value)
    assert run_scan(root, test_required=False).given_sides == ("train", "validation")


def test_unlabelled_test_folder(tmp_path, pictures, picture, run_scan):
    root = pictures(tmp_path / "set", train__cat=4, train__dog=4)
    picture(root / "test" / "1.png")
    with pytest.raises(DataError, match="no labels"):
        run_scan(root)
    assert len(run_scan(root, test_required=False).examples) == 8


@pytest.mark.parametrize("names", [("bus", "test"), ("test", "train"), ("bus", "test", "train")])
def test_a_class_may_be_called_test(tmp_path, pictures, run_scan, names):
    dataset = run_scan(pictures(tmp_path / "set", **dict.fromkeys(names, 3)))
    assert dataset.class_names == names
    assert dataset.given_sides == ()


def test_folders_beside_train_and_test(tmp_path, pictures, run_scan):
    counts = dict.fromkeys(("train__a", "train__b", "test__a", "test__b", "extras__x"), 3)
    with pytest.raises(DataError, match="extras"):
        run_scan(pictures(tmp_path / "set", **counts))


def test_two_folders_for_one_side(tmp_path, pictures, run_scan):
    counts = dict.fromkeys(("train__a", "train__b", "val__a", "validation__a"), 3)
    with pytest.raises(DataError, match="val, validation"):
        run_scan(pictures(tmp_path / "set", **counts))


def test_class_without_training_pictures(tmp_path, pictures, run_scan):
    counts = {"train__a": 4, "train__b": 4, "test__a": 2, "test__c": 3}
    with pytest.raises(DataError, match="without a usable picture in train") as caught:
        run_scan(pictures(tmp_path / "set", **counts))
    assert "received: c" in str(caught.value)


def test_test_side_whose_pictures_are_all_unusable(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", train__a=4, train__b=4, test__a=1)
    (root / "test/a/0000.png").write_bytes(b"")
    with pytest.raises(DataError, match="no usable picture for the test side"):
        run_scan(root)


def test_hidden_and_foreign_files_are_ignored(tmp_path, pictures, picture, run_scan, reporter):
    root = pictures(tmp_path / "set", cat=3, dog=3)
    ignored = [
        *("__MACOSX/cat/1.png", ".git/1.png", "cat/.DS_Store", "cat/._0000.png", "cat/Thumbs.db"),
        *("cat/@eaDir/1.png", "dog/desktop.ini", "dog/.hidden/1.png", "dog/__MACOSX/1.png"),
    ]
    for name in ignored:
        picture(root / name)
    (root / "cat/notes.txt").write_text("not a picture")
    (root / "labels.json").write_text("{}")
    (root / "README").write_text("about")
    picture(root / "cat/without_suffix")
    picture(root / "loose.png")
    dataset = run_scan(root)
    assert {e.path for e in dataset.examples} == {
        *(f"{name}/{i:04d}.png" for name in ("cat", "dog") for i in range(3)),
        "cat/without_suffix",
    }
    assert dataset.set_aside == ()
    assert "3 other files left alone: 1 .json, 1 .txt, 1 without suffix" in reporter.said
    assert "1 picture outside any class folder left out: loose.png" in reporter.said


def test_pictures_of_other_formats_are_listed(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", cat=3, dog=3)
    (root / "cat/scan.DCM").write_bytes(b"DICM")
    (entry,) = run_scan(root).set_aside
    assert (entry.path, entry.kind) == ("cat/scan.DCM", "unsupported")


def test_links_are_followed_and_loops_end(tmp_path, pictures, run_scan, reporter):
    store = pictures(tmp_path / "store", birds=2)
    root = pictures(tmp_path / "set", cat=3, dog__inner=3)
    (root / "cat/store").symlink_to(store / "birds")
    (root / "cat/self").symlink_to(root / "cat")
    (root / "cat/up").symlink_to("../..")
    (root / "cat/other").symlink_to(root / "dog")
    (root / "dog/inner/back").symlink_to(root / "dog")
    (root / "dog/round").symlink_to("round")
    (root / "dog/gone.png").symlink_to("nowhere.png")
    (root / "dog/one.png").symlink_to(root / "dog/inner/0000.png")
    (root / "dogs").symlink_to("dog")
    dataset = run_scan(root)
    assert dataset.class_names == ("cat", "dog")
    assert [e.path for e in dataset.examples] == [
        *(f"cat/{i:04d}.png" for i in range(3)),
        *(f"cat/store/{i:04d}.png" for i in range(2)),
        *(f"dog/inner/{i:04d}.png" for i in range(3)),
        "dog/one.png",
    ]
    assert [(e.path, e.kind) for e in dataset.set_aside] == [("dog/gone.png", "missing")]
    assert "6 symbolic links not followed" in reporter.said
    assert "1 symbolic link out of the folder followed" in reporter.said


def test_many_links_to_one_folder_do_not_multiply(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", cat=3, dog=3)
    chain = [tmp_path / f"level{i}" for i in range(25)]
    for folder in chain:
        folder.mkdir()
    for folder, below in pairwise(chain):
        (folder / "a").symlink_to(below)
        (folder / "b").symlink_to(below)
    (root / "cat/chain").symlink_to(chain[0])
    assert len(run_scan(root).examples) == 6


def test_names_in_any_script_and_bytes(tmp_path, pictures, picture, run_scan):
    root = pictures(tmp_path / "set", 猫=3, כלב=3)
    odd = os.fsdecode(os.fsencode(root) + b"/\xe7\x8c\xab/\xff\xfe.png")
    picture(root / "猫" / "zeile\n.png").rename(odd)
    dataset = run_scan(root)
    assert dataset.class_names == ("כלב", "猫")
    assert os.fsencode(dataset.examples[-1].path).endswith(b"\xff\xfe.png")


def test_class_names_are_composed(tmp_path, pictures, run_scan):
    decomposed = unicodedata.normalize("NFD", "Käse")
    root = pictures(tmp_path / "set", **{decomposed: 3, "Brot": 3})
    dataset = run_scan(root)
    assert dataset.class_names == ("Brot", unicodedata.normalize("NFC", "Käse"))
    assert dataset.examples[-1].path.startswith(decomposed)


def test_unreadable_folder_is_set_aside(pictures):
    """Permission bits do not bind root, so the listing runs as another user, in its own process."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tl_app.data.layout import list_folder\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "found = list_folder(Path(sys.argv[1]), test_required=True)\n"
        "print(len(found.candidates), [(s.path, s.kind) for s in found.set_aside])"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = pictures(Path(folder) / "set", cat=3, dog=3, dog__closed=2)
        (root / "dog/closed").chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", code, root], capture_output=True, text=True, timeout=60
        )
        (root / "dog/closed").chmod(0o755)
    assert done.stdout.strip() == "6 [('dog/closed', 'unreadable')]", done.stderr


def test_unreadable_source_folder(tmp_path, run_scan, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="cannot be listed: Permission denied"):
        run_scan(tmp_path)
