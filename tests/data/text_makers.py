"""Texts in many scripts, and tables of them with the line that each row begins on."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tl_app.config import DataSettings
from tl_app.data.texts import scan_texts
from tl_app.progress import Reporter, SilentReporter
from tl_app.records import Dataset, TextExample

PIECES = [
    *("Tôi rất thích bộ phim này", "e\u0302\u0323", "这部电影很好看", "هذا الفيلم رائع", "שלום"),
    *("👩‍👩‍👧‍👦", "🎉", "½ ß ﬁ \uff21", "Ünïcödé", "\u202eright to left\u202c", "\ufeff", "\u200b"),
    *('"', '""', '"""', "'", ",", ";", "\t", "\n", "\r", "\r\n", "\n\n", "\x85", "\u2028", "\x0c"),
    *("\x1b[31mred\x1b[0m", "\x07", "<script>alert(1)</script>", "=1+1", "\\", "\\n", "a", " "),
    *('{"text": 1}', "[", ",pos", '",pos\n"', "\U00010348"),
]
LABELS = ["pos", "neg", "trung lập", "积极", "سلبي", "😀", "a,b", 'a "b"']

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
pieces = st.sampled_from(PIECES) | st.text(characters, max_size=6)
texts = st.lists(pieces, min_size=1, max_size=8).map("".join).filter(str.strip)
tables = st.lists(st.tuples(texts, st.sampled_from(LABELS)), min_size=1, max_size=12)


def n_lines(text: str) -> int:
    """Ends of lines in a text, as people count them."""
    return len(re.findall("\r\n|\r|\n", text))


def write_csv(
    rows: Sequence[Sequence[str]], delimiter: str = ",", quoting: Any = csv.QUOTE_MINIMAL
) -> tuple[str, list[int]]:
    """The rows as Python's csv writes them, and the line on which each begins."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, quoting=quoting)
    begins = []
    for row in rows:
        begins.append(1 + n_lines(stream.getvalue()))
        writer.writerow(row)
    return stream.getvalue(), begins


def write_json_lines(
    rows: Sequence[dict[str, Any]], *, ensure_ascii: bool = True
) -> tuple[str, list[int]]:
    lines = [json.dumps(row, ensure_ascii=ensure_ascii) + "\n" for row in rows]
    return "".join(lines), list(range(1, len(lines) + 1))


def scan_loosely(
    source: object, *, reporter: Reporter | None = None, **options: Any
) -> Dataset[TextExample]:
    """`scan_texts` that is content with any number of texts of any label."""
    arguments: dict[str, Any] = {
        "reporter": reporter or SilentReporter(),
        "test_required": False,
        "purpose": "evaluation",
        **options,
    }
    return scan_texts(str(source), DataSettings(), **arguments)


def scan_bytes(raw: bytes, name: str = "t.csv", **options) -> Dataset[TextExample]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(raw)
        return scan_loosely(file, **options)


def aside(dataset: Dataset[TextExample]) -> list[tuple[str, str]]:
    return [(entry.path, entry.kind) for entry in dataset.set_aside]
