"""What the readers of folders, tables and prepared sets hand to the scan."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tl_app.records import AnyExample, SetAside, Side

N_NAMED = 10
"""A message names at most so many things and counts the rest."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may become an example.

    Attributes:
        path: relative to `Listing.root`, with forward slashes, exactly as on disk.
        class_name: as the folder or the table spells it, not yet normalised.
        side: the side that the user gave, or None.
        group: the group that the user gave, or None.
    """

    path: str
    class_name: str
    side: Side | None = None
    group: str | None = None


@dataclass(slots=True)
class Listing:
    """All candidates of one source, before any file of an example was opened.

    Attributes:
        root: absolute folder that paths are relative to.
        file: the file that holds every text, one a line; None where each example is a file.
        candidates: in any order.
        class_names: every spelling of a class that was met, also of classes without pictures.
        set_aside: files known to be unusable from the listing alone.
        has_sides: whether the user's layout or table assigns sides.
        other_suffixes: files of other kinds, counted by suffix.
        messages, warnings: what to tell, in order.
    """

    root: Path
    candidates: list[Candidate] = field(default_factory=list)
    class_names: set[str] = field(default_factory=set)
    set_aside: list[SetAside] = field(default_factory=list)
    has_sides: bool = False
    other_suffixes: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    file: Path | None = None


def by_place(entry: AnyExample | SetAside | Candidate) -> tuple[str, int]:
    """The file of an entry and its line there (0 for a whole file), to sort by."""
    file, mark, line = entry.path.rpartition(":")
    return (file, int(line)) if mark and line.isdecimal() else (entry.path, 0)


def shown(text: object) -> str:
    """`text` safe for a terminal: control characters and undecodable bytes are escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def quoted(path: object) -> str:
    """`path` as a word of a command that is there to be copied."""
    return shown(shlex.quote(str(path)))


def named(names: Iterable[object], *, n: int = N_NAMED) -> str:
    """The first `n` names, then how many more there are."""
    names = list(names)
    text = ", ".join(shown(name) for name in names[:n])
    return text if len(names) <= n else f"{text} and {len(names) - n:,} more"


def counted(n: int, singular: str, plural: str | None = None) -> str:
    """ "1 picture", "1,400 pictures"."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def suffix_summary(suffixes: Counter[str]) -> str:
    """ "9 .txt, 5 .csv", most frequent first."""
    ranked: Sequence[tuple[str, int]] = sorted(suffixes.items(), key=lambda kv: (-kv[1], kv[0]))
    return named(f"{n:,} {suffix or 'special files'}" for suffix, n in ranked)
