"""What a person sees while a verb works: messages, warnings and progress on standard error.

Three reporters fit `tl_app.progress.Reporter`: bars on a terminal, plain lines elsewhere,
warnings only with --quiet. Results go to standard output and are not written here.
"""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from tl_app.progress import Bar, Reporter, SilentBar
from tl_app.units import duration_text

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_SECONDS = 10.0
LINE_SHARE = 0.1
# A step that is over sooner is told by one line: a second one would say the same again.
SHORT_SECONDS = 1.0
# A line that begins with one of these is there to be copied.
COMMANDS = {"cat", "cp", "head", "iconv", "ls", "pip", "printf", "python3", "tl-app"}
# Before so much of a step is done, a rate says more about its start than about the rest.
ESTIMATE_SHARE = 0.05
ESTIMATE_SECONDS = 5.0


def printable(text: object, *, keep_newlines: bool = False) -> str:
    """`text` with everything escaped that a terminal would act on instead of showing.

    File and class names may hold newlines, escape sequences, bytes that are no UTF-8, or
    marks that turn the writing direction; a row of a table must stay one row.
    """
    return "".join(
        char
        if char.isprintable() or (keep_newlines and char == "\n")
        else char.encode("unicode_escape").decode("ascii")
        for char in str(text)
    )


class ForgivingStream:
    """A text stream whose reader may go away: from then on what is written is dropped.

    A training of hours must not end because the `less` or `tee` that showed it was closed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_open = True
        self.failure: Exception | None = None

    def write(self, text: str) -> int:
        if self._is_open:
            encoding = self._stream.encoding or "utf-8"
            shown = text.encode(encoding, "backslashreplace").decode(encoding)
            self._attempt(lambda: self._stream.write(shown))
        return len(text)

    def flush(self) -> None:
        if self._is_open:
            self._attempt(self._stream.flush)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return self._stream.encoding or "utf-8"

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (OSError, ValueError) as error:  # closed pipe, terminal gone, closed file
            self._is_open = False
            self.failure = error


def terminal_columns(stream: ForgivingStream) -> int | None:
    """Width of the terminal behind `stream`; None where there is none, or it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None if stream.isatty() else None
    except (OSError, ValueError):  # no file, or a closed one
        return None


def fitted(text: str, stream: ForgivingStream, *, hanging: int = 2) -> str:
    """`text` with its sentences broken between words to the width of a terminal.

    Left as they are: what goes to a file or pipe; rows of tables, known by the two spaces
    between their columns; and commands, which are there to be copied.

    Args:
        text: printable lines.
        stream: where they go.
        hanging: columns by which continuation lines are indented further.
    """
    columns = terminal_columns(stream)
    if columns is None or columns < 20:
        return text
    return "\n".join(_broken(line, columns, hanging) for line in text.split("\n"))


def _broken(line: str, columns: int, hanging: int) -> str:
    words = line.lstrip(" ")
    label, _, value = words.partition(":")
    is_row = "  " in (value.lstrip(" ") if label.isalpha() else words)
    firsts = {part.lstrip(" ").partition(" ")[0] for part in (words, value)}
    if len(line) <= columns or is_row or firsts & COMMANDS:
        return line
    return textwrap.fill(
        line,
        width=columns,
        subsequent_indent=" " * (len(line) - len(words) + hanging),
        break_long_words=False,
        break_on_hyphens=False,
        expand_tabs=False,
        replace_whitespace=False,
    )


def amount(n: int, units: str) -> str:
    """ "1 image", "1,400 images"; what has no s to lose ("MB") stays as it is."""
    return f"{n:,} {unit_of(n, units)}"


def unit_of(n: int, units: str) -> str:
    """ "image" of one, else "images"."""
    return units.removesuffix("s") if n == 1 else units


def rate_text(n: int, unit: str, seconds: float) -> str:
    """Such as "74.1 images/s"; empty where nothing can be said."""
    if n <= 0 or seconds <= 0:
        return ""
    rate = n / seconds
    return f"{rate:,.0f} {unit}/s" if rate >= 100 else f"{rate:.3g} {unit}/s"


class QuietReporter:
    """Warnings only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = ForgivingStream(stream)
        self._lock = threading.RLock()

    def message(self, text: str) -> None:
        """Nothing: this reporter is quiet."""

    def warn(self, text: str) -> None:
        self._line(f"warning: {printable(text, keep_newlines=True)}")

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        yield SilentBar()

    def _line(self, text: str) -> None:
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()


class LineReporter(QuietReporter):
    """Plain lines, for logs and pipes.

    A step says when it starts. A long one says at most every `LINE_SECONDS` or tenth how far it
    is, and at its end how long it took and how fast it was.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock

    def message(self, text: str) -> None:
        self._line(printable(text, keep_newlines=True))

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        bar = _LineBar(self._line, self._clock, printable(title), total, printable(unit))
        try:
            yield bar
        except BaseException:
            bar.stop()
            raise
        bar.finish()


class _LineBar:
    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float],
        title: str,
        total: int,
        unit: str,
    ) -> None:
        self._write, self._clock = write, clock
        self._title, self._total, self._unit = title, total, unit
        self._start = self._last_time = clock()
        self._first_time: float | None = None
        self._done = self._last_done = 0
        self._lock = threading.Lock()
        write(f"{title}: {amount(total, unit)}")

    def advance(self, n: int = 1, *, note: str = "") -> None:
        with self._lock:
            self._done += n
            now = self._clock()
            if self._first_time is None:
                self._first_time = now
            waited = now - self._last_time
            gained = (self._done - self._last_done) / max(self._total, 1)
            is_due = waited >= LINE_SECONDS or (gained >= LINE_SHARE and waited >= 1.0)
            if not is_due or self._done >= self._total:
                return
            self._last_time, self._last_done = now, self._done
            parts = [f"{self._done:,} of {amount(self._total, self._unit)}"]
            # What comes before the first unit is done, such as compiling, is not repeated.
            worked = now - self._first_time
            if self._done >= ESTIMATE_SHARE * self._total or worked >= ESTIMATE_SECONDS:
                elapsed = now - self._start
                left = elapsed * (self._total - self._done) / max(self._done, 1)
                parts += [
                    rate_text(self._done, self._unit, elapsed),
                    f"{duration_text(left)} left",
                ]
            parts.append(printable(note))
        self._write(f"{self._title}: " + ", ".join(part for part in parts if part))

    def finish(self) -> None:
        seconds = self._clock() - self._start
        is_whole = self._done == self._total
        if is_whole and seconds < SHORT_SECONDS:
            return
        done = "done" if is_whole else f"{self._done:,} of {amount(self._total, self._unit)}"
        rate = rate_text(self._done, self._unit, seconds)
        self._write(
            f"{self._title}: {done} in {duration_text(seconds)}" + (f" ({rate})" if rate else "")
        )

    def stop(self) -> None:
        self._write(
            f"{self._title}: stopped after {self._done:,} of {amount(self._total, self._unit)}"
        )


class TerminalReporter(QuietReporter):
    """Bars with rate and time left, drawn by rich, which is imported with the first bar."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._progress: Progress | None = None
        self._n_active = 0

    def message(self, text: str) -> None:
        self._line(printable(text, keep_newlines=True))

    def warn(self, text: str) -> None:
        self._line(f"warning: {printable(text, keep_newlines=True)}", style="yellow")

    def _line(self, text: str, style: str = "") -> None:
        with self._lock:
            if self._progress is None:
                super()._line(fitted(text, self._stream))
            else:  # above the bars, which would otherwise overwrite it
                self._progress.console.print(
                    fitted(text, self._stream),
                    style=style or None,
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        with self._lock:
            if self._progress is None:
                self._progress = _rich_progress(self._stream)
            if self._n_active == 0:
                self._progress.start()
            self._n_active += 1
            progress = self._progress
            word = printable(unit_of(total, unit))
            task = progress.add_task(printable(title), total=total, unit=word, note="", rate="")
        bar = _RichBar(progress, task, printable(unit))
        try:
            yield bar
        finally:
            bar.settle()
            with self._lock:
                self._n_active -= 1
                if self._n_active == 0:
                    progress.stop()
                    self._progress = None


class _RichBar:
    def __init__(self, progress: Progress, task: Any, unit: str) -> None:
        self._progress, self._task, self._unit = progress, task, unit
        self._start = time.monotonic()
        self._done = 0
        self._lock = threading.Lock()

    def advance(self, n: int = 1, *, note: str = "") -> None:
        with self._lock:
            self._done += n
        self._update(advance=n, note=printable(note))

    def settle(self) -> None:
        """Leave the last figures standing."""
        self._update(refresh=True)

    def _update(self, **fields: Any) -> None:
        rate = rate_text(self._done, self._unit, time.monotonic() - self._start)
        self._progress.update(self._task, rate=rate, **fields)


def _rich_progress(stream: Any) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    def column(field: str) -> TextColumn:
        return TextColumn("{task." + field + "}", markup=False)

    return Progress(
        column("description"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        column("fields[unit]"),
        column("fields[rate]"),
        TimeLeft(elapsed_when_finished=True),
        column("fields[note]"),
        console=Console(file=stream, force_terminal=True, soft_wrap=True),
    )


def make_reporter(*, quiet: bool = False, stream: TextIO | None = None) -> Reporter:
    """The reporter that fits `stream` (standard error unless told otherwise)."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return QuietReporter(stream)
    if stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        return TerminalReporter(_own(stream) if stream is sys.stderr else stream)
    return LineReporter(stream)


def _own(terminal: TextIO) -> TextIO:
    """The same terminal by a descriptor of its own.

    Bars are drawn on while `libraries.hushed` holds standard error back, and stay out of the
    lines that it looks through.
    """
    try:
        descriptor = os.dup(terminal.fileno())
    except (OSError, AttributeError):  # a stand-in for a terminal has none
        return terminal
    return os.fdopen(
        descriptor,
        "w",
        buffering=1,
        encoding=terminal.encoding,
        errors=terminal.errors,
    )
