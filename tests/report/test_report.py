"""The page as a reader, a parser and an attacker meet it."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.report.conftest import build_contents
from tl_app.evaluation.formats import SmallFormat
from tl_app.evaluation.learning import fit_verdict
from tl_app.evaluation.slices import Figure, Naming, Slice, SlicedTrait, Traits, find_slices
from tl_app.evaluation.worst import worst_rows
from tl_app.explain.heat import HeatMaps
from tl_app.records import EpochRecord, Interval, SetAside
from tl_app.report import build, result_sections
from tl_app.report.build import SECTIONS, render_report
from tl_app.report.confusion_section import MOST_ITEMS
from tl_app.report.gallery import heat_uri
from tl_app.report.model_sections import dataset_fingerprint
from tl_app.report.page import style_sheet
from tl_app.report.text import TIMES
from tl_app.report.training_text import augmentation_names, mirror_note, trained_note

HOSTILE = [
    "<script>alert(1)</script>",
    'a "quoted" & $x^2$ {{ 7 * 7 }}',
    "it's]]><!--",
    "new\nline\u202e",
    "id=\"x\" url(#y) style='fill: #010101'",
    "x" * 300,
]
VOID = {"meta", "link", "img", "br", "path", "use", "rect", "input"}


class Page(HTMLParser):
    """Collects elements, texts and ids, and insists that every element is closed."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def assert_sound(page: Page) -> None:
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert not {"iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert page.tags.count("style") == page.tags.count("script") == 1
    for tag, key, value in page.attributes:
        assert not key.startswith("on"), (tag, key)
        if key in ("src", "href", "xlink:href", "data", "srcset"):
            assert value is not None
            assert value.startswith(("#", "data:")), (tag, key, value)
    targets = {value[1:] for _, key, value in page.attributes if key == "href" and value}
    assert {target for target in targets if not target.startswith("ata:")} <= set(page.ids)


def test_every_section_stands_on_the_page(make_contents):
    contents = make_contents(set_aside=[SetAside("a/b.jpg", "It is empty.", "empty")])
    page = Page(render_report(contents))
    assert_sound(page)
    # This run has no traits, no audit, no probes (3), no calibration (2) and no small formats.
    assert page.tags.count("section") == len(SECTIONS) - 8
    for words in (
        "Accuracy", "Macro-F1", "Log-loss", "Baseline", "95 % interval", "Classes of the test part",
        "Learning curves", "mirrored left-right", "train again with --no-flip",
        "11.2 ms", "301 ms", "106 pictures a second", "3,419,429", "17 MB", "1.4 GB",
        "1 file was found but not used", "It is empty.", "tl-app train data/stamps --seed 0",
        "ab" * 32, "CPU:0; float32", "tensorflow 2.21.0", dataset_fingerprint(contents),
        "140 test pictures that training never saw",
    ):  # fmt: skip
        assert words in page.text, words
    assert "wandb" not in page.text


def test_small_formats_stand_beside_the_run(make_contents):
    found = SmallFormat(
        format="litert",
        precision="float16",
        n_bytes=6_800_000,
        n_examples=140,
        accuracy=0.9,
        difference=Interval(-0.0071, -0.04, 0.03),
        largest_difference=4.5e-3,
        n_changed=3,
        latency_ms={"1": {"p50": 9.4, "p95": 10.0}},
    )
    page = Page(render_report(make_contents(small_formats=[found])))
    assert_sound(page)
    for words in (
        "LiteRT, float16", "90.0 %", "-0.7", "-4.0 to +3.0", "4.5e-03", "6.8 MB", "9.4 ms",
        "140 test",
    ):  # fmt: skip
        assert words in page.text, words


def test_figures_on_the_page_are_the_evaluations(make_contents):
    contents = make_contents()
    page = Page(render_report(contents))
    accuracy = contents.evaluation.headline["accuracy"]
    assert f"{100 * accuracy.value:.1f} %" in page.text
    assert f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f} %" in page.text
    assert f"Baseline: {contents.evaluation.baseline['log_loss']:.3f}" in page.text
    for row in contents.evaluation.per_class:
        expected = f"{row.name} {row.support} {100 * row.precision.value:.1f} %"
        assert expected in page.text


def slice_of(name: str) -> Slice:
    return Slice(name, 9, Interval(0.5, 0.4, 0.6), 0.5, "worse", (name,))


def test_hostile_names_show_as_text_everywhere(make_contents):
    paths = [f'{HOSTILE[i % 6]}/"{i}".jpg' for i in range(90)]
    contents = make_contents(
        HOSTILE,
        n_test=90,
        accuracy=0.5,
        paths=paths,
        set_aside=[SetAside(name, name, name) for name in HOSTILE],
        run_name=HOSTILE[0],
        command=HOSTILE[0],
        slices=[SlicedTrait(HOSTILE[0], tuple(map(slice_of, HOSTILE)))],
        heat=HeatMaps("grad_cam", dict.fromkeys(paths, np.ones((2, 2), np.float32)), 0.9),
        environment={"platform": HOSTILE[0], "packages": {HOSTILE[0]: HOSTILE[0]}},
    )
    source = render_report(contents)
    page = Page(source)
    assert_sound(page)
    assert source.count("<script") == 1
    assert "49" not in re.findall(r"\$x\^2\$ (\S+)", page.text)
    assert page.text.count("<script>alert(1)</script>") > 8
    assert "new\\nline\\u202e" in page.text
    assert "\u202e" not in source
    matrix = re.search(r'<table class="matrix".*?</table>', source, re.S)
    assert matrix is not None
    in_matrix = html.unescape(" ".join(re.findall(r"<bdi[^>]*>([^<]*)</bdi>", matrix[0])))
    assert "<script>aler…1)</script>" in in_matrix
    assert 'a "quoted" &…{{ 7 * 7 }}' in in_matrix


@settings(max_examples=12, deadline=None)
@given(names=st.lists(st.text(st.characters(), min_size=1, max_size=20), min_size=2, max_size=5))
def test_any_class_name_gives_a_sound_page(names):
    contents = build_contents([f"{i}{name}" for i, name in enumerate(names)], accuracy=0.5)
    assert_sound(Page(render_report(contents)))


def test_the_same_contents_give_the_same_page(make_contents):
    assert render_report(make_contents()) == render_report(make_contents())


def test_a_normal_page_is_small(make_contents):
    assert len(render_report(make_contents(accuracy=0.7)).encode()) < 400_000


@pytest.mark.parametrize("n_classes", [2, 12, 13, 30, 31, 45])
def test_any_number_of_classes(make_contents, n_classes):
    contents = make_contents([f"class {i}" for i in range(n_classes)], n_test=300, accuracy=0.8)
    source = render_report(contents)
    page = Page(source)
    assert_sound(page)
    assert ('<table class="matrix' in source) == (n_classes <= 30)
    assert ('aria-labelledby="confusion-title' in source) == (n_classes > 30)
    assert ("The most frequent confusions" in page.text) == (n_classes > 2)
    assert len(source.encode()) < 1_000_000


def test_a_thousand_classes_and_ten_thousand_pictures(make_contents):
    contents = make_contents([f"class {i}" for i in range(1000)], n_test=10_000, accuracy=0.8)
    source = render_report(contents)
    assert_sound(Page(source))
    assert "Show all 1,000 classes" in source
    assert len(source.encode()) < 2_000_000


def test_ten_thousand_pictures_take_less_than_five_megabytes(make_contents):
    names = [f"class {i}" for i in range(30)]
    large = b"\xff\xd8\xff" + bytes(15_000)
    source = render_report(
        make_contents(names, n_test=10_000, accuracy=0.5, thumbnail=lambda path: large)
    )
    assert source.count("<img ") > 100
    assert len(source.encode()) < 5_000_000


def test_behind_every_number_are_its_pictures(make_contents):
    contents = make_contents(accuracy=0.6)
    predictions = contents.predictions
    source = render_report(contents)
    page = Page(source)
    cells = re.findall(r'<div class="cell" id="cell-(\d)-(\d)".*?</ul>', source, re.S)
    counts = np.array(contents.evaluation.confusion_counts)
    assert {(int(row), int(column)) for row, column in cells} == set(
        map(tuple, np.argwhere(counts).tolist())
    )
    for part in re.finditer(r'<div class="cell" id="cell-(\d)-(\d)"(.*?)</ul>', source, re.S):
        row, column = int(part[1]), int(part[2])
        shown = re.findall(r'<img src="[^"]*" alt="([^"]*)"', part[3])
        assert len(shown) == min(8, counts[row, column])
        mine = (predictions.y_true == row) & (predictions.y_pred == column)
        assert set(shown) <= {predictions.paths[i] for i in np.flatnonzero(mine)}
    assert_sound(page)


def test_mistakes_are_shown_before_right_answers_where_there_is_no_room_for_all(make_contents):
    names = [f"class {i:02d}" for i in range(30)]
    source = render_report(make_contents(names, n_test=3000, accuracy=0.7))
    cells = re.findall(r'<div class="cell" id="cell-(\d+)-(\d+)"(.*?)</ul>', source, re.S)
    shown = {(int(row), int(column)): part.count("<img ") for row, column, part in cells}
    assert sum(shown.values()) == max(MOST_ITEMS, len(shown))
    assert min(shown.values()) == 1  # no number leads to nothing
    mistakes = [n for (row, column), n in shown.items() if row != column]
    assert len(shown) > len(mistakes) == len(shown) - len(names)


def test_the_style_folds_after_as_many_rows_as_are_said():
    assert f"nth-child(n+{result_sections.MOST_ROWS + 1})" in style_sheet()


def test_the_policy_names_the_script(make_contents):
    source = render_report(make_contents())
    script = re.search(r"<script>(.*?)</script>", source, re.S)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in source


def test_heat_lies_over_the_pictures_of_the_worst_errors(make_contents):
    contents = make_contents(accuracy=0.5)
    rows = worst_rows(contents.predictions)
    ramp = np.linspace(0, 1, 49, dtype=np.float32).reshape(7, 7)
    heat = HeatMaps("grad_cam", {contents.predictions.paths[row]: ramp for row in rows}, 0.1)
    source = render_report(replace(contents, heat=heat))
    errors = source.split('id="errors"')[1].split("</section>")[0]
    assert errors.count('class="heat"') == len(rows)
    assert "Other weights give other maps" in errors
    assert_sound(Page(source))
    alike = render_report(replace(contents, heat=replace(heat, alike=0.8)))
    assert "Do not read much into these" in alike
    hidden = replace(contents, heat=heat, has_pictures=False, thumbnail=lambda path: None)
    assert 'class="heat"' not in render_report(hidden)


def test_a_clear_heat_map_hides_nothing():
    address = heat_uri(np.array([[0, 0], [0, 1]], np.float32))
    picture = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
    assert picture.mode == "RGBA"
    alpha = np.asarray(picture)[..., 3]
    assert alpha[0, 0] == 0
    assert alpha[-1, -1] > 250


def test_slices_that_are_worse_are_named(make_contents):
    contents = make_contents(n_test=400, accuracy=0.99)
    predictions = contents.predictions
    is_right = predictions.y_true == predictions.y_pred
    traits = Traits(
        predictions.paths,
        (Figure("brightness", "of 255", np.arange(400.0)),),
        (Naming("source folder", tuple("ab"[r] for r in is_right.astype(int)), {"a": ("x.jpg",)}),),
    )
    slices = find_slices(traits, predictions.paths, np.arange(400) >= 80)
    source = render_report(replace(contents, slices=slices))
    part = source.split('id="slices"')[1].split("</section>")[0]
    assert "By brightness" in part
    assert "beyond what chance explains" in part
    assert '<span class="tag worse">worse</span>' in part
    quiet = render_report(
        replace(contents, slices=find_slices(traits, predictions.paths, is_right | True))
    )
    assert "None of" in quiet.split('id="slices"')[1]


def test_no_mistake_no_gallery(make_contents):
    source = render_report(make_contents(accuracy=1.1))
    assert 'id="errors"' not in source
    assert "No picture was taken for another class." in source
    assert "100.0 %" in Page(source).text


def test_gallery_shows_the_surest_mistakes_first(make_contents):
    contents = make_contents(accuracy=0.5)
    predictions = contents.predictions
    wrong = np.flatnonzero(predictions.y_true != predictions.y_pred)
    surest = wrong[predictions.probabilities[wrong].max(axis=1).argmax()]
    source = render_report(contents)
    gallery = source.split('id="errors"')[1].split("</section>")[0]
    first = re.search(r'<ul class="gallery">\s*<li>.*?</li>', gallery, re.S)
    assert first is not None
    assert predictions.paths[surest] in html.unescape(first[0])
    assert gallery.count("<img ") == 24


@pytest.mark.parametrize(
    "picture", [None, b"", b"GIF89a", b"<svg onload=alert(1)>", b"\xff\xd8\xff" + bytes(50_000)]
)
def test_a_thumbnail_that_is_none_leaves_a_placeholder(make_contents, picture):
    source = render_report(make_contents(thumbnail=lambda path: picture))
    assert "not shown" in source
    assert "<img " not in source


def test_thumbnails_stay_within_their_room(make_contents):
    large = b"\xff\xd8\xff" + bytes(39_000)
    source = render_report(make_contents(accuracy=0.5, thumbnail=lambda path: large))
    gallery = source.split('id="errors"')[1].split("</section>")[0]
    assert 3 < gallery.count("<img ") < 15
    assert len(source.encode()) < 3_500_000


def epoch(phase, number, loss, accuracy=0.9):
    return EpochRecord(phase, number, 0.2, 0.95, loss, accuracy, 1e-4, 1.0, False)


def test_a_solved_head_alone_needs_no_curve(make_contents, tuning_history):
    source = render_report(make_contents(history=tuning_history()[:1]))
    assert 'aria-labelledby="learning-title' not in source
    assert "solved directly" in source


@pytest.mark.parametrize(
    "records",
    [
        [epoch("head", 1, 0.2), epoch("tune", 1, float("nan"))],
        [epoch("head", i, 3.0 / i) for i in range(1, 80)],
        [epoch(f"block_{i}_with_a_long_name", 1, 1e-5 * 10**i) for i in range(9)],
        [epoch("head", 1, 0.0), epoch("head", 2, 0.0)],
    ],
    ids=["broken", "long", "many phases", "zero loss"],
)
def test_odd_histories_are_drawn(make_contents, records):
    contents = make_contents(history=records)
    source = render_report(contents)
    page = Page(source)
    assert_sound(page)
    assert 'aria-labelledby="learning-title' in source
    assert fit_verdict(records).sentence in page.text


def test_no_history_no_section(make_contents):
    assert 'id="learning"' not in render_report(make_contents(history=[]))


def test_validation_figures_are_called_flattering(make_contents):
    contents = make_contents()
    on_validation = type(contents.evaluation).from_dict(
        {**contents.evaluation.to_dict(), "side": "validation"}
    )
    source = render_report(make_contents(evaluation=on_validation))
    assert "these figures flatter the model" in source
    assert "training never saw" not in source


def test_what_was_not_measured_says_so(make_contents):
    page = Page(render_report(make_contents(cost={}, decisions={}, environment={}, seconds={})))
    assert_sound(page)
    assert "not measured" in page.text


def test_a_long_list_of_files_ends_and_says_so(make_contents):
    entries = [SetAside(f"{i}.jpg", "It is empty.", "empty") for i in range(5000)]
    page = Page(render_report(make_contents(set_aside=entries)))
    assert "5,000 files were found but not used" in page.text
    assert "The list ends after 200 of 5,000" in page.text
    assert "199.jpg" in page.text
    assert "200.jpg" not in page.text


def test_augmentations_and_the_warning_about_mirrors():
    phase = {
        "name": "tune",
        "augmentation": {"flip_horizontal": False, "rotation_degrees": 15, "hue": 0.1},
    }
    assert augmentation_names(phase) == [
        "rotated by up to 15 degrees either way",
        "hue turned by up to 36 degrees either way",
    ]
    assert mirror_note([phase], ["tune"]) is None
    mirrored = {"name": "more", "augmentation": {"flip_horizontal": False, "flip_vertical": True}}
    assert augmentation_names(
        {"augmentation": {"flip_horizontal": True, "crop_min_area": 0.7}}
    ) == [
        "mirrored left-right, every other time (may change the meaning: letters, left and right "
        "in medicine; off with --no-flip)",
        "cropped to between 70 % and 100 % of the area",
    ]
    for kept in ([], ["tune", "more"], ["tune", "more", "last"]):
        note = mirror_note([phase, mirrored], kept)
        assert note is not None
        assert note.is_warning
        assert "(phase more)" in note.sentence
    note = mirror_note([phase, mirrored], ["tune"])
    assert note is not None
    assert not note.is_warning
    assert "not kept; the kept ones are those of phase tune, trained without" in note.sentence


def test_what_was_trained_is_told_of_the_kept_weights():
    phases: list[dict[str, object]] = [
        {"name": "head"},
        {"name": "top", "unfreeze": 1},
        {"name": "all", "unfreeze": "all"},
    ]
    names = ["head", "top", "all"]
    assert trained_note(None, phases, names) == ""
    assert trained_note(1234, phases, names) == "1,234 of them were trained"
    assert trained_note(1234, phases, names[:1]) == (
        "the run trained 1,234 of them; the kept weights are those of phase head, in which only "
        "the head's parameters were trained"
    )
    assert trained_note(1234, phases, names[:2]).endswith(
        "phase top, in which the head and the top block of the backbone were trained"
    )


def test_a_kept_head_is_told_without_a_warning(make_contents, tuning_history):
    records = [replace(record, validation_log_loss=8.31e-5) for record in tuning_history()]
    records[0] = replace(records[0], validation_log_loss=8.30e-5)
    source = render_report(make_contents(history=records))
    page = Page(source)
    assert 'class="warning"' not in source
    assert "the kept ones are those of phase head, trained without mirror images" in page.text
    assert "in which only the head's parameters were trained" in page.text
    assert (
        "0.0000831 against 0.0000830, so the weights of phase head, solved directly, are"
        in page.text
    )
    assert 'class="warning"' in render_report(make_contents())


def test_the_accuracy_axis_ends_at_all_pictures(make_contents):
    for lowest in (0.2, 0.9, 0.99, 0.999, 1.0):
        records = [epoch("tune", i, 0.3 / i, min(1.0, lowest + i / 1000)) for i in range(1, 9)]
        source = render_report(make_contents(history=records))
        figure = re.search(r'aria-labelledby="learning-title.*?</svg>', source, re.S)
        assert figure is not None
        ticks = re.findall(r">([0-9.]+) %</text>", figure[0])
        assert len(set(ticks)) == len(ticks) > 1
        assert max(map(float, ticks)) <= 100
    assert "100" in {tick.removesuffix(".0") for tick in ticks}


def test_sizes_have_no_comma_and_scales_no_stray_number(make_contents):
    contents = make_contents()
    wide = replace(contents.dataset.examples[0], width_px=9694, height_px=12348)
    examples = (wide, *contents.dataset.examples[1:])
    source = render_report(make_contents(dataset=replace(contents.dataset, examples=examples)))
    assert f"9694 {TIMES} 12348" in source
    assert "<span>0, the best</span><span>worse</span>" in source


def test_data_fingerprint_follows_bytes_classes_and_sides_not_names(make_contents):
    contents = make_contents()
    elsewhere = make_contents(paths=[f"copy/{i}.jpg" for i in range(140)])
    other = make_contents(["bird", "mammal", "fruit", "plant", "thing"])
    assert dataset_fingerprint(contents) == dataset_fingerprint(elsewhere)
    assert dataset_fingerprint(contents) != dataset_fingerprint(other)


def test_a_section_that_returns_none_is_left_out(make_contents, monkeypatch):
    monkeypatch.setattr(build, "SECTIONS", (result_sections.headline, lambda contents: None))
    page = Page(render_report(make_contents()))
    assert page.tags.count("section") == 1


def test_a_run_of_before_is_told_with_its_medians_alone(make_contents):
    contents = make_contents()
    old = {**contents.cost, "latency_ms": {"1": 11.2, "32": 301.0}}
    page = render_report(replace(contents, cost=old))
    assert "11.2 ms" in page
    assert "p95" not in page
