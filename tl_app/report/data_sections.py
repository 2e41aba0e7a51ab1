"""Sections on the data: what there is on each side, and what was set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from tl_app.data.scripts import language_shares, script_of
from tl_app.records import SIDES, Preprocessing, TextExample, TextProcessing
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render
from tl_app.report.text import TIMES, percent, plural

MOST_ROWS = 40
MOST_SET_ASIDE = 200
SET_ASIDE_OPEN = 12

KINDS = {
    "truncated": "cut off before its end",
    "empty": "empty",
    "not_an_image": "no picture",
    "no_decoder": "no decoder for its format",
    "too_many_pixels": "more pixels than allowed",
    "unreadable": "cannot be read",
    "missing": "missing",
    "bridges_sides": "would join two sides of the split",
    "unsupported": "of a kind that is not supported",
    "wrong_encoding": "not in UTF-8",
    "nul_bytes": "with NUL bytes",
    "too_long": "too long",
    "unbalanced_quotes": "with a quote that never ends",
    "no_label": "without a label",
    "malformed": "malformed",
}


def data(contents: ReportContents) -> Fragment:
    """Examples by class and side, and what they are like."""
    dataset = contents.dataset
    counts = class_side_counts(contents)
    body = render(
        "data.html",
        source=dataset.source,
        sides=SIDES,
        rows=[
            {"name": name, "counts": row, "total": sum(row)}
            for name, row in zip(dataset.class_names, counts.tolist(), strict=True)
        ],
        totals=counts.sum(axis=0).tolist(),
        total=int(counts.sum()),
        n_open=MOST_ROWS if len(counts) > MOST_ROWS + 10 else len(counts),
        facts=_facts(contents),
        wording=contents.wording,
    )
    return Fragment("data", "Data", body)


def class_side_counts(contents: ReportContents) -> np.ndarray:
    """int64, shape (n_classes, 3): examples of each class on each side, withheld ones left out."""
    counts = np.zeros((len(contents.dataset.class_names), len(SIDES)), dtype=np.int64)
    labels = contents.dataset.labels
    for column, side in enumerate(SIDES):
        np.add.at(counts[:, column], labels[contents.split.indices(side)], 1)
    return counts


def _facts(contents: ReportContents) -> list[tuple[str, str]]:
    """What a reader asks about a set: formats, sizes, oddities, treatment."""
    if isinstance(contents.processing, TextProcessing):
        facts = _text_facts(contents.dataset.examples, contents.processing)
    else:
        facts = _picture_facts(contents, contents.processing)
    return [*facts, ("Split", _split_text(contents))]


def _text_facts(
    examples: Sequence[TextExample], processing: TextProcessing
) -> list[tuple[str, str]]:
    facts = []
    if examples:
        lengths = sorted(example.n_characters for example in examples)
        facts.append(
            (
                "Length in characters",
                f"median {median(lengths):,.0f}, from {lengths[0]:,} to {lengths[-1]:,}",
            )
        )
        scripts = Counter(script_of(example.text) for example in examples)
        facts.append(("Scripts", ", ".join(f"{k} {n:,}" for k, n in scripts.most_common(6))))
        languages = language_shares([example.text for example in examples])
        shares = [f"{k} {percent(v, 0)}" for k, v in list(languages.items())[:5] if v >= 0.01]
        if shares:
            facts.append(("Languages, about", ", ".join(shares)))
    copies = Counter(example.normal_hash for example in examples)
    doubled = sum(n for n in copies.values() if n > 1)
    if doubled:
        facts.append(("Worth knowing", f"{doubled:,} with the same words as another"))
    seen = "the text as it is"
    if processing.max_tokens is not None:
        seen = f"word pieces, at most {processing.max_tokens} of a text"
    facts.append(("What the model sees", seen))
    return facts


def _picture_facts(contents: ReportContents, settings: Preprocessing) -> list[tuple[str, str]]:
    examples = contents.dataset.examples
    facts = []
    if examples:
        formats = Counter(example.image_format for example in examples)
        facts.append(("Formats", ", ".join(f"{k} {n:,}" for k, n in formats.most_common(6))))
        sizes = sorted((e.width_px * e.height_px, e.width_px, e.height_px) for e in examples)
        smallest, largest = sizes[0], sizes[-1]
        middle = f"{median(e.width_px for e in examples):.0f} {TIMES} "
        middle += f"{median(e.height_px for e in examples):.0f} px"
        facts.append(
            (
                "Size in pixels",
                f"median {middle}, from {smallest[1]} {TIMES} {smallest[2]} "
                f"to {largest[1]} {TIMES} {largest[2]}",
            )
        )
    odd = {
        "stored turned or mirrored (EXIF), set upright": sum(
            e.exif_orientation != 1 for e in examples
        ),
        "with 16 bits a channel": sum(e.bits == 16 for e in examples),
        "with the same pixels as another": len(examples)
        - sum(n == 1 for n in Counter(e.pixel_hash for e in examples).values()),
    }
    found = [f"{count:,} {what}" for what, count in odd.items() if count]
    if found:
        facts.append(("Worth knowing", "; ".join(found)))
    facts.append(("What the model sees", _preprocessing_text(contents, settings)))
    return facts


def _preprocessing_text(contents: ReportContents, settings: Preprocessing) -> str:
    ways = {
        "crop": "the centre square",
        "pad": "the whole picture, padded to a square",
        "squash": "the whole picture, squashed to a square",
    }
    text = f"{ways[settings.aspect]}, {settings.image_size_px} {TIMES} {settings.image_size_px} px"
    if any(example.bits == 16 for example in contents.dataset.examples):
        low, high = settings.window
        text += f"; 16-bit levels {low:,} to {high:,} become black to white"
    return text


def _split_text(contents: ReportContents) -> str:
    groups = Counter(contents.split.groups)
    grouped = sum(n for n in groups.values() if n > 1)
    given = contents.dataset.given_sides
    text = f"seed {contents.split.seed}"
    if given:
        text = f"{', '.join(given)} as given, the rest by {text}"
    if grouped:
        text += f"; {plural(grouped, contents.wording.noun)} in groups that never part"
    return text


def set_aside(contents: ReportContents) -> Fragment | None:
    """Files that were not used, by reason and by name; None where there are none."""
    entries = contents.dataset.set_aside
    if not entries:
        return None
    is_text = contents.dataset.modality == "text"
    kinds = Counter(entry.kind for entry in entries)
    summary: list[dict[str, Any]] = [
        {"kind": KINDS.get(kind, kind), "count": count} for kind, count in kinds.most_common()
    ]
    body = render(
        "set_aside.html",
        entries=entries[:MOST_SET_ASIDE],
        n_entries=len(entries),
        n_open=SET_ASIDE_OPEN if len(entries) > SET_ASIDE_OPEN + 3 else len(entries),
        summary=summary,
        n_used=len(contents.dataset.examples),
        wording=contents.wording,
        entry_noun="line" if any(":" in entry.path for entry in entries) and is_text else "file",
    )
    return Fragment("set-aside", "Set aside", body)
