"""Reporters: what they write, where, and what a hostile name can do to them."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.console import (
    ForgivingStream,
    LineReporter,
    QuietReporter,
    TerminalReporter,
    duration_text,
    fitted,
    make_reporter,
    printable,
    rate_text,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.text(st.characters()))
def test_printable_leaves_nothing_that_a_terminal_acts_on(text: str) -> None:
    shown = printable(text)
    assert all(
        unicodedata.category(char)[0] not in "C" and unicodedata.category(char) not in ("Zl", "Zp")
        for char in shown
    )
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


def test_printable_can_keep_lines() -> None:
    assert printable("a\nb\r\x1b[0m", keep_newlines=True) == "a\nb\\r\\x1b[0m"
    assert printable("a\nb") == "a\\nb"


def test_lines_say_start_progress_and_end_with_the_rate() -> None:
    stream, clock = io.StringIO(), Clock()
    with LineReporter(stream, clock).bar("reading", 1000, "images") as bar:
        for _ in range(100):
            clock.now += 0.5
            bar.advance(10)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "reading: 1,000 images"
    assert lines[1] == "reading: 100 of 1,000 images, 20 images/s, 45 s left"
    assert lines[-1] == "reading: done in 50 s (20 images/s)"
    assert len(lines) == 11  # start, every tenth but the last, end


def test_a_slow_step_says_something_every_ten_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    with LineReporter(stream, clock).bar("training", 1000, "steps") as bar:
        for _ in range(50):
            clock.now += 1.0
            bar.advance(note="loss 0.5")
    assert len(stream.getvalue().splitlines()) == 2 + 5
    assert "loss 0.5" in stream.getvalue()


def test_a_slow_start_is_no_measure_of_the_rest() -> None:
    stream, clock = io.StringIO(), Clock()
    with LineReporter(stream, clock).bar("training", 1000, "images") as bar:
        clock.now += 12.0  # compiling
        bar.advance(1)
        for _ in range(11):
            clock.now += 1.0
            bar.advance(10)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "training: 1 of 1,000 images"
    assert lines[2].endswith("left")


def test_a_short_step_is_one_line() -> None:
    stream, clock = io.StringIO(), Clock()
    with LineReporter(stream, clock).bar("reading", 5, "images") as bar:
        for _ in range(5):
            clock.now += 0.1
            bar.advance()
    assert stream.getvalue() == "reading: 5 images\n"


def test_a_step_that_leaves_some_out_says_so_at_its_end() -> None:
    stream, clock = io.StringIO(), Clock()
    with LineReporter(stream, clock).bar("reading", 5, "images") as bar:
        bar.advance(3)
    assert stream.getvalue().splitlines()[1] == "reading: 3 of 5 images in 0.0 s"


@pytest.mark.parametrize(("unit", "word"), [("texts", "1 text"), ("MB", "1 MB")])
def test_of_one_there_is_no_plural(unit: str, word: str) -> None:
    stream, clock = io.StringIO(), Clock()
    with LineReporter(stream, clock).bar("reading", 1, unit):
        clock.now += 5
    assert stream.getvalue().splitlines() == [f"reading: {word}", f"reading: 0 of {word} in 5.0 s"]
    with pytest.raises(KeyError), LineReporter(stream, clock).bar("reading", 1, unit):
        raise KeyError
    assert stream.getvalue().endswith(f"stopped after 0 of {word}\n")


def test_a_step_that_fails_says_how_far_it_came() -> None:
    stream = io.StringIO()

    def fail() -> None:
        with LineReporter(stream).bar("reading", 5, "images") as bar:
            bar.advance(2)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert stream.getvalue().splitlines()[-1] == "reading: stopped after 2 of 5 images"


def test_nothing_to_do_is_no_error() -> None:
    stream = io.StringIO()
    with LineReporter(stream).bar("reading", 0, "images"):
        pass
    assert "0 images" in stream.getvalue()


def test_threads_may_share_a_bar() -> None:
    stream, clock = io.StringIO(), Clock()
    with LineReporter(stream, clock).bar("reading", 4000, "images") as bar:

        def work() -> None:
            for _ in range(1000):
                bar.advance()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.now += 2.0
    assert "reading: done in 2.0 s" in stream.getvalue()


def test_quiet_keeps_warnings_only() -> None:
    stream = io.StringIO()
    reporter = QuietReporter(stream)
    reporter.message("hello")
    with reporter.bar("reading", 1, "images") as bar:
        bar.advance()
    reporter.warn("bad\x1bname")
    assert stream.getvalue() == "warning: bad\\x1bname\n"


def draw_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> str:
    """What a real (pseudo) terminal receives from messages and a bar."""
    monkeypatch.setenv("TERM", "xterm-256color")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        reporter = make_reporter(stream=stream)
        assert isinstance(reporter, TerminalReporter)
        with reporter.bar("read [red]x[/red]\x1b[2J", 20, "images") as bar:
            reporter.message("beside the bar\x1b[2J [bold]plain[/bold]")
            reporter.warn("look here")
            bar.advance(20, note="note\x1b[2J")
        stream.flush()
        received = b""
        while b"look here" not in received or b"20/20" not in received:
            received += os.read(master, 65536)
    os.close(master)
    return received.decode("utf-8", "replace")


def test_a_terminal_gets_a_bar_with_rate_and_no_foreign_control(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = draw_on_a_terminal(monkeypatch)
    assert "20/20" in shown
    assert "images/s" in shown
    assert "\x1b[2J" not in shown  # the escape of the names
    assert "[bold]plain[/bold]" in shown  # no markup in what is said
    assert "\x1b[33m" in shown  # a warning is yellow


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = draw_on_a_terminal(monkeypatch)
    assert "look here" in shown
    assert "\x1b[33m" not in shown
    assert "\x1b[3" not in shown.replace("\x1b[3A", "")


def test_pipes_and_dumb_terminals_get_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(make_reporter(stream=io.StringIO())) is LineReporter
    assert type(make_reporter(quiet=True, stream=io.StringIO())) is QuietReporter
    monkeypatch.setenv("TERM", "dumb")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        assert type(make_reporter(stream=stream)) is LineReporter
    os.close(master)


def shown_in_columns(text: str, columns: int) -> str:
    """`fitted` to a real (pseudo) terminal of this width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(slave, "w") as stream:
        shown = fitted(text, ForgivingStream(stream))
    os.close(master)
    return shown


def test_a_terminal_gets_sentences_broken_between_words() -> None:
    sentence = "  received: " + "these words are many and long " * 5
    shown = shown_in_columns(sentence, 40)
    assert all(len(line) <= 40 for line in shown.splitlines())
    assert len(shown.splitlines()) > 3
    assert shown.split() == sentence.split()


@pytest.mark.parametrize(
    "line",
    [
        "path/of/a/picture/far/below.jpg  class name  0.999",
        "  next:     tl-app train --resume models/a_run_with_a_long_name",
        "  next:     iconv -f WINDOWS-1252 -t UTF-8 'my mail.csv' > 'my mail.utf8.csv'",
        "  printf 'text,label\\n' | cat - 'my mail.csv' > 'my mail.named.csv'",
        "/a/path/that/is/longer/than/the/terminal/is/wide",
    ],
)
def test_rows_commands_and_paths_stay_whole(line: str) -> None:
    assert shown_in_columns(line, 40) == line


def test_files_and_pipes_get_whole_lines() -> None:
    text = "many words " * 50
    assert fitted(text, ForgivingStream(io.StringIO())) == text


def test_a_reader_that_goes_away_stops_nothing() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w", buffering=1)
    reporter = LineReporter(stream)
    for _ in range(3):
        reporter.message("x" * 100)
    with pytest.raises(BrokenPipeError):  # what is left in the buffer, without our wrapper
        stream.close()


def test_a_narrow_encoding_loses_nothing_but_looks() -> None:
    raw = io.BytesIO()
    stream = ForgivingStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("naïve")
    stream.flush()
    assert raw.getvalue() == b"na\\xefve"


def test_words_for_figures() -> None:
    assert rate_text(741, "images", 10.0) == "74.1 images/s"
    assert rate_text(50000, "images", 10.0) == "5,000 images/s"
    assert rate_text(0, "images", 1.0) == ""
    assert [duration_text(s) for s in (0.04, 9.94, 59.4, 125, 120, 11520)] == [
        "0.0 s",
        "9.9 s",
        "59 s",
        "2 min 5 s",
        "2 min",
        "3 h 12 min",
    ]


BAR_WHILE_HUSHED = """
import os, re, sys, time
from tl_app.console import make_reporter
from tl_app.libraries import hushed
reporter = make_reporter()
with reporter.bar("Building", 2, "graphs") as bar:
    with hushed(re.compile(rb"INFO: noise")):
        time.sleep(0.3)
        bar.advance()
        time.sleep(0.3)
        os.write(2, b"INFO: noise\\n")
        os.write(2, b"worth knowing\\n")
        print("still held back", flush=True)
        time.sleep(0.3)
    bar.advance()
"""


def test_bars_are_drawn_while_libraries_are_hushed():
    """By a descriptor of their own: else they would swallow the lines that are looked through."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, "-c", BAR_WHILE_HUSHED], stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux tells that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait() == 0
    before, after = shown.split(b"still held back")
    assert b"1/2" in before
    assert b"worth knowing" in after
    assert b"INFO" not in shown
    assert b"2/2" in after
