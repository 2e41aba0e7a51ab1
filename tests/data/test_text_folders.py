"""Folders of .txt files by class, and what `scan_texts` asks of any texts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.data.text_makers import scan_loosely, texts
from tl_app.config import DataSettings
from tl_app.data import texts as texts_module
from tl_app.data.side_checks import leaks
from tl_app.data.splitting import make_split
from tl_app.data.text_files import read_text_file
from tl_app.data.texts import scan_texts
from tl_app.errors import ConfigError, DataError, UnusableText
from tl_app.records import Dataset, TextExample


@pytest.fixture
def files() -> Callable[..., Path]:
    """Write n texts each into some folders of a root."""

    def write(root: Path, **counts: int) -> Path:
        for name, n in counts.items():
            folder = root / name.replace("__", "/")
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                (folder / f"{i:04d}.txt").write_text(f"text {i} of {name}\n")
        return root

    return write


@pytest.fixture
def run(reporter) -> Callable[..., Dataset[TextExample]]:
    def scan(source: object, *, settings=None, **options) -> Dataset[TextExample]:
        options = {"test_required": True, "reporter": reporter, **options}
        return scan_texts(str(source), DataSettings(**(settings or {})), **options)

    return scan


def test_class_folders(tmp_path, files, run, reporter):
    dataset = run(files(tmp_path / "set", neg=3, tốt__deep=3))
    assert dataset.class_names == ("neg", "tốt")
    assert dataset.root == str(tmp_path / "set")
    assert dataset.modality == "text"
    assert [(e.path, e.text, e.label) for e in dataset.examples] == [
        *((f"neg/{i:04d}.txt", f"text {i} of neg\n", 0) for i in range(3)),
        *((f"tốt/deep/{i:04d}.txt", f"text {i} of tốt__deep\n", 1) for i in range(3)),
    ]
    assert reporter.warnings == []
    assert reporter.bars == []


def test_order_is_by_path(tmp_path, files, run):
    root = files(tmp_path / "set", b__a=2, b__z=2, b=3, a=3)
    paths = [e.path for e in run(root).examples]
    assert paths == sorted(paths)
    assert len(paths) == 10


def test_split_layout(tmp_path, files, run):
    counts = {"train__a": 3, "train__b": 3, "Valid__a": 1, "test__a": 1, "test__b": 1}
    dataset = run(files(tmp_path / "set", **counts))
    assert dataset.given_sides == ("train", "validation", "test")
    assert sorted({(e.path.split("/")[0], e.given_side) for e in dataset.examples}) == [
        *[("Valid", "validation"), ("test", "test"), ("train", "train")]
    ]


def test_split_layouts_that_miss_something_are_told_as_texts(tmp_path, files, run):
    root = files(tmp_path / "set", train__a=3, train__b=3)
    with pytest.raises(DataError, match="--no-test"):
        run(root)
    (root / "test").mkdir()
    (root / "test" / "1.txt").write_text("x")
    with pytest.raises(DataError, match="its texts have no labels"):
        run(root)
    files(root, test__c=3)
    with pytest.raises(DataError, match="without a usable text in train"):
        run(root)
    assert len(run(files(tmp_path / "other", train__a=3, train__b=3), test_required=False).examples)


BAD_FILES = {
    "latin.txt": ("caf\xe9".encode("latin-1"), "wrong_encoding"),
    "wide.txt": ("text".encode("utf-16"), "wrong_encoding"),
    "nothing.txt": (b"", "empty"),
    "mark.txt": (b"\xef\xbb\xbf", "empty"),
    "blank.txt": ("\n \u3000".encode(), "empty"),
    "nul.txt": (b"a\0b", "nul_bytes"),
    "long.txt": (b"x" * 41, "too_long"),
    "longer.txt": (b"x" * 5000, "too_long"),
    "paper.PDF": (b"%PDF-1.7", "unsupported"),
    "page.html": (b"<p>text</p>", "unsupported"),
}


def test_bad_files_are_set_aside(tmp_path, files, run, reporter):
    root = files(tmp_path / "set", a=3, b=3)
    for name, (raw, _) in BAD_FILES.items():
        (root / "a" / name).write_bytes(raw)
    (root / "a" / "gone.txt").symlink_to("nowhere")
    dataset = run(root, max_characters=40)
    expected = {f"a/{name}": kind for name, (_, kind) in BAD_FILES.items()}
    assert {e.path: e.kind for e in dataset.set_aside} == {**expected, "a/gone.txt": "missing"}
    assert len(dataset.examples) == 6
    reasons = {e.path: e.reason for e in dataset.set_aside}
    assert "UTF-16" in reasons["a/wide.txt"]
    assert reasons["a/latin.txt"] == "not in UTF-8: byte 0xe9 after 3 characters"
    (warning,) = reporter.warnings
    assert warning.startswith("11 of 17 texts set aside: 3 empty, 2 too long, 2 of an un")


def test_hidden_and_foreign_files_are_ignored(tmp_path, files, run, reporter):
    root = files(tmp_path / "set", a=3, b=3, a__extra=0)
    names = [".hidden.txt", "Thumbs.db", "notes.md", "README", "data.json", ".git/x.txt"]
    for name in names:
        (root / "a" / name).parent.mkdir(exist_ok=True)
        (root / "a" / name).write_text("not a text of the class")
    (root / "loose.txt").write_text("of no class")
    (root / "LICENSE").write_text("of no class")
    dataset = run(root)
    assert len(dataset.examples) == 6
    assert dataset.set_aside == ()
    assert "4 other files left alone: 2 without suffix, 1 .json, 1 .md." in reporter.said
    assert "1 text outside any class folder left out: loose.txt" in reporter.said


@given(texts)
@settings(derandomize=True, deadline=None)
def test_a_file_comes_back_as_it_is(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "one.txt"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_text_file(path, 10_000) == text
    if not text.startswith("\ufeff"):
        path.write_bytes(text.encode())
        assert read_text_file(path, 10_000) == text


def test_the_limit_is_in_characters_not_bytes(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("😀" * 40)
    assert read_text_file(path, 40) == "😀" * 40
    path.write_text("😀" * 39 + "ab")
    with pytest.raises(UnusableText, match="41 characters; at most 40"):
        read_text_file(path, 40)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    path.write_text("text")

    def refuse(self, *_: object):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnusableText, match="Permission denied") as caught:
        read_text_file(path, 40)
    assert caught.value.kind == "unreadable"


def test_many_files_have_a_bar(tmp_path, files, run, reporter, monkeypatch):
    monkeypatch.setattr(texts_module, "BAR_FROM_FILES", 6)
    run(files(tmp_path / "set", a=3, b=3))
    assert reporter.bars == [("Reading texts", 6, "texts")]
    assert reporter.n_advanced == 6


@pytest.mark.parametrize("name", ["t.csv", "set"])
def test_few_texts_of_a_class_are_refused_and_can_be_allowed(tmp_path, files, run, name):
    files(tmp_path / "set", a=4, b=2)
    lines = [f"text {i},{'a' if i < 4 else 'b'}" for i in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *lines]))
    with pytest.raises(DataError, match="fewer than 3 usable texts") as caught:
        run(tmp_path / name)
    assert "received: b (2)" in str(caught.value)
    assert "--set data.min_examples_per_class=2" in str(caught.value)
    assert "picture" not in str(caught.value)
    assert len(run(tmp_path / name, settings={"min_examples_per_class": 2}).examples) == 6


def test_one_class(tmp_path, files, run):
    (tmp_path / "t.csv").write_text("text,label\n" + "word,a\n" * 5)
    with pytest.raises(DataError, match="only one class") as caught:
        run(tmp_path / "t.csv")
    assert f"{tmp_path / 't.csv'}: a (5 texts)" in str(caught.value)
    with pytest.raises(DataError, match=r"a \(5 texts\)"):
        run(files(tmp_path / "set", a=5))


def test_folders_without_texts(tmp_path, run):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "x.md").write_text("x")
    with pytest.raises(DataError, match="folders hold no texts") as caught:
        run(tmp_path)
    assert "1 .md" in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="folder is empty"):
        run(tmp_path / "empty")
    (tmp_path / "empty" / "t.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="name a table"):
        run(tmp_path / "empty")


def test_every_text_unusable(tmp_path, files, run):
    root = files(tmp_path / "set", a=3, b=3)
    for path in root.rglob("*.txt"):
        path.write_bytes(b" ")
    with pytest.raises(DataError, match="No text can be used") as caught:
        run(root)
    assert "no text but whitespace" in str(caught.value)


def test_other_sources(tmp_path, files, run):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="no regular file"):
        run(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="no such file or folder"):
        run(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="for a table only") as caught:
        run(files(tmp_path / "set", a=3, b=3), text_column="words")
    assert "--text-column words" in str(caught.value)


def test_known_classes_of_a_model(tmp_path, reporter):
    (tmp_path / "t.csv").write_text("text,label\ngood,pos\n")
    dataset = scan_loosely(tmp_path / "t.csv", known_class_names=("pos", "neg"))
    assert dataset.class_names == ("pos", "neg")
    with pytest.raises(DataError, match="does not know"):
        scan_loosely(tmp_path / "t.csv", known_class_names=("good", "bad"))


def test_labels_that_differ_by_case_are_told_and_can_be_merged(tmp_path, run, reporter):
    rows = [f"text {i},{label}" for i, label in enumerate(["Pos", "pos", "neg"] * 3)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    assert run(tmp_path / "t.csv").class_names == ("Pos", "neg", "pos")
    assert "--merge-classes" in reporter.warnings[0]
    merged = run(tmp_path / "t.csv", settings={"merge_classes": True})
    assert merged.class_names == ("Pos", "neg")


COPIES = ["The  same\ttext", " The same text\n", "The same\r\ntext", "The same\u00a0text"]


@pytest.mark.parametrize("kind", ["table", "folder"])
def test_copies_stay_on_one_side_whatever_their_whitespace(tmp_path, files, run, kind):
    if kind == "folder":
        root = files(tmp_path / "set", a=30, b=30)
        for i, text in enumerate(COPIES):
            (root / "ab"[i % 2] / f"copy{i}.txt").write_text(text)
        dataset = run(root)
    else:
        quoted = [f'"{text}",{"ab"[i % 2]}' for i, text in enumerate(COPIES)]
        rows = [f"text {i},{'ab'[i % 2]}" for i in range(60)]
        table = "\n".join(["text,label", *quoted, *rows])
        (tmp_path / "t.csv").write_bytes(table.encode())
        dataset = run(tmp_path / "t.csv")
    copies = {e.path for e in dataset.examples if " ".join(e.text.split()) == "The same text"}
    assert len(copies) == 4
    assert len({e.text_hash for e in dataset.examples if e.path in copies}) == 4
    met = set()
    for seed in range(20):
        kept, split = make_split(dataset, validation_fraction=0.2, test_fraction=0.2, seed=seed)
        on = {s for e, s in zip(kept.examples, split.sides, strict=True) if e.path in copies}
        assert len(on) == 1
        assert leaks(kept, split) == []
        met |= on
    assert len(met) > 1
