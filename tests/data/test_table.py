"""CSV tables: columns, encodings, paths, sides, groups, contradictions."""

from __future__ import annotations

import unicodedata

import pytest

from tl_app.errors import ConfigError, DataError


@pytest.fixture
def album(tmp_path, picture):
    """Eight pictures in one folder without classes."""
    for i in range(8):
        picture(tmp_path / "album" / "img" / f"{i}.png")
    return tmp_path / "album"


def rows(*more: str, header: str = "path,label", n: int = 8) -> str:
    plain = (f"img/{i}.png,{'ab'[i % 2]}" for i in range(n))
    return "\n".join([header, *plain, *more]) + "\n"


def test_folder_with_one_table(album, run_scan, reporter):
    (album / "labels.csv").write_text(rows())
    dataset = run_scan(album)
    assert dataset.class_names == ("a", "b")
    assert [e.label for e in dataset.examples] == [0, 1] * 4
    assert dataset.root == str(album)
    assert "Classes come from the table labels.csv" in reporter.said


def test_table_as_source_and_as_argument(album, tmp_path, run_scan):
    (album / "labels.csv").write_text(rows())
    (tmp_path / "other.csv").write_text(rows())
    by_source = run_scan(album / "labels.csv")
    by_argument = run_scan(album, table=tmp_path / "other.csv")
    assert by_source.examples == by_argument.examples
    assert len(by_source.examples) == 8


def test_class_folders_win_over_a_table(tmp_path, pictures, run_scan, reporter):
    root = pictures(tmp_path / "set", x=3, y=3)
    (root / "labels.csv").write_text("path,label\nx/0000.png,a\n")
    assert run_scan(root).class_names == ("x", "y")
    assert "--table" in reporter.said


def test_folders_that_are_no_labels_of_the_table_beside_them(
    tmp_path, pictures, run_scan, reporter
):
    root = pictures(tmp_path / "set", site_a=4, site_b=4)
    lines = [f"site_{'ab'[i // 4]}/{i % 4:04}.png,{'xy'[i % 2]}" for i in range(8)]
    (root / "labels.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    assert run_scan(root).class_names == ("x", "y")
    assert "site_a, site_b" in reporter.said


def test_more_than_one_table(album, run_scan):
    for name in ("1.csv", "2.csv"):
        (album / name).write_text(rows())
    with pytest.raises(DataError, match="More than one table") as caught:
        run_scan(album)
    assert "1.csv, 2.csv" in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_spellings_of_csv(album, run_scan, delimiter, encoding, newline):
    header = ' Label ,"PATH", Note,,Split'
    body = [f'"ä, b{i % 2}",img/{i}.png,"x;y",,' for i in range(8)]
    text = newline.join([header, *body, "", ""])
    if delimiter != ",":
        text = text.replace(",", delimiter).replace(f"ä{delimiter} b", "ä, b")
    (album / "labels.csv").write_bytes(text.encode(encoding))
    assert run_scan(album).class_names == ("ä, b0", "ä, b1")


def test_sides_and_groups(album, run_scan):
    lines = ["path,label,split,group"]
    sides = ["train", "TRAIN", "train", "train", "Valid", "validation", "test", ""]
    lines += [f"img/{i}.png,{'ab'[i % 2]},{side},g{i // 2}" for i, side in enumerate(sides)]
    (album / "labels.csv").write_text("\n".join(lines))
    dataset = run_scan(album, settings={"min_examples_per_class": 2})
    assert [e.given_side for e in dataset.examples] == [
        *["train"] * 4,
        *["validation"] * 2,
        *["test", None],
    ]
    assert [e.given_group for e in dataset.examples][:3] == ["g0", "g0", "g1"]
    assert dataset.given_sides == ("train", "validation", "test")


def test_sides_without_a_test_side(album, run_scan):
    lines = [f"img/{i}.png,{'ab'[i % 2]},train" for i in range(8)]
    (album / "labels.csv").write_text("\n".join(["path,label,split", *lines]))
    with pytest.raises(DataError, match="--no-test"):
        run_scan(album)
    assert run_scan(album, test_required=False).given_sides == ("train",)


def test_missing_files_are_set_aside(album, run_scan, reporter):
    (album / "labels.csv").write_text(rows("img/gone.png,a", "img,b", "img/gone.png,a"))
    dataset = run_scan(album)
    assert [(e.path, e.kind) for e in dataset.set_aside] == [
        ("img", "missing"),
        ("img/gone.png", "missing"),
    ]
    assert "line 10" in dataset.set_aside[1].reason
    assert reporter.warnings == ["2 of 10 pictures set aside: 2 missing; listed in the run."]


def test_every_file_missing(album, run_scan):
    (album / "labels.csv").write_text("path,label\n" + "".join(f"x/{i},a\n" for i in range(5)))
    with pytest.raises(DataError, match="None of the files") as caught:
        run_scan(album)
    text = str(caught.value)
    assert "x/0, x/1, x/2 and 2 more" in text
    assert f"relative to {album}" in text


def test_missing_files_that_leave_a_class_too_small(album, run_scan):
    (album / "labels.csv").write_text(rows("img/no1,c", "img/no2,c", "img/no3,c"))
    with pytest.raises(DataError, match=r"c \(0\); 3 missing set aside"):
        run_scan(album)


def test_missing_columns(album, run_scan):
    (album / "labels.csv").write_text("path,lable,x\n1.png,a,1\n")
    with pytest.raises(DataError, match="no column label") as caught:
        run_scan(album / "labels.csv")
    assert "columns path, lable, x" in str(caught.value)
    assert "'lable'" in str(caught.value)
    (album / "twice.csv").write_text("path,label,label\n1.png,a,b\n")
    with pytest.raises(DataError, match="more than one column label"):
        run_scan(album / "twice.csv")
    (album / "empty.csv").write_text("")
    with pytest.raises(DataError, match="no column path and no column label"):
        run_scan(album / "empty.csv")


def test_table_that_is_no_text(album, run_scan):
    (album / "labels.csv").write_bytes(b"path,label\nimg/0.png,caf\xe9\n")
    with pytest.raises(DataError, match="not UTF-8") as caught:
        run_scan(album / "labels.csv")
    assert "line 2: byte 0xe9" in str(caught.value)
    (album / "quote.csv").write_text('path,label\n"img/0.png,a\n')
    with pytest.raises(DataError, match="line 2"):
        run_scan(album / "quote.csv")
    with pytest.raises(DataError, match="cannot be read"):
        run_scan(album, table=album / "none.csv")


def test_all_bad_rows_are_told_at_once(album, run_scan):
    header = "path,label,split"
    bad = ["img/0.png,a,tset", "img/1.png,b,dev", ",a,", "img/2.png,,", "../../etc/passwd,a,"]
    bad += ["/etc/hosts,b,", "img/3.png,a,", "img/3.png,c,test", "short"]
    (album / "labels.csv").write_text("\n".join([header, *bad]))
    with pytest.raises(DataError) as caught:
        run_scan(album)
    text = str(caught.value)
    for part in (
        *("'tset' (line 2)", "'dev' (line 3)", "line 4, line 5, line 10"),
        *("../../etc/passwd (line 6)", "/etc/hosts (line 7)"),
        "img/3.png (lines 8 and 9: label a and c, split None and test)",
    ):
        assert part in text


def test_paths_may_take_detours_inside_the_folder(album, run_scan):
    detours = [f"{album}/img/0.png,a", "img/../img/1.png,b", "./img//2.png,a", "img\\3.png,b"]
    more = [f"img/{i}.png,{'ab'[i % 2]}" for i in range(8)]
    (album / "labels.csv").write_text("\n".join(["path,label", *detours, *more]))
    dataset = run_scan(album)
    assert [e.path for e in dataset.examples] == [f"img/{i}.png" for i in range(8)]


def test_a_link_does_not_excuse_a_path_that_leads_out(album, tmp_path, picture, run_scan):
    picture(tmp_path / "private" / "x.png")
    (album / "way").symlink_to(tmp_path / "private")
    (album / "labels.csv").write_text(rows("way/../private/x.png,a"))
    with pytest.raises(DataError, match="lead out of the folder"):
        run_scan(album / "labels.csv")


def test_unicode_form_of_a_path_may_differ_from_the_disk(album, picture, run_scan):
    picture(album / "img" / unicodedata.normalize("NFD", "ö.png"))
    (album / "labels.csv").write_text(rows("img/ö.png,a"))
    dataset = run_scan(album)
    assert dataset.set_aside == ()
    assert dataset.examples[-1].path == unicodedata.normalize("NFD", "img/ö.png")


def test_prepared_sets_take_no_table(album, run_scan):
    with pytest.raises(ConfigError, match="takes no table"):
        run_scan("tfds:mnist", table=album / "labels.csv")
