"""Sections on the data: what there is on each side, and what was set aside."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

import numpy as np

from tl_app.records import SIDES
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render
from tl_app.report.text import TIMES, plural

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
    "unsupported": "a kind of picture that is not supported",
}


def data(contents: ReportContents) -> Fragment:
    """Pictures by class and side, and what kind of files they are."""
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
    )
    return Fragment("data", "Data", body)


def class_side_counts(contents: ReportContents) -> np.ndarray:
    """int64, shape (n_classes, 3): pictures of each class on each side, withheld ones left out."""
    counts = np.zeros((len(contents.dataset.class_names), len(SIDES)), dtype=np.int64)
    labels = contents.dataset.labels
    for column, side in enumerate(SIDES):
        np.add.at(counts[:, column], labels[contents.split.indices(side)], 1)
    return counts


def _facts(contents: ReportContents) -> list[tuple[str, str]]:
    """What a reader asks about a set of files: formats, sizes, oddities, treatment."""
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
    facts.append(("What the model sees", _preprocessing_text(contents)))
    facts.append(("Split", _split_text(contents)))
    return facts


def _preprocessing_text(contents: ReportContents) -> str:
    settings = contents.preprocessing
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
        text += f"; {plural(grouped, 'picture')} in groups that never part"
    return text


def set_aside(contents: ReportContents) -> Fragment | None:
    """Files that were not used, by reason and by name; None where there are none."""
    entries = contents.dataset.set_aside
    if not entries:
        return None
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
    )
    return Fragment("set-aside", "Set aside", body)
