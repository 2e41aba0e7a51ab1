"""The border between tl_app and the shell: exit codes, errors, JSON, pipes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tl_app.cli import signals
from tl_app.cli.parser import build_parser, parse
from tl_app.console import ForgivingStream, fitted, printable
from tl_app.errors import Interrupted, StorageError, TlAppError

EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of the process when None.

    Returns:
        The exit code: 0 done, 1 failure, 2 usage or configuration, 3 unusable data,
        5 a comparison that did not show B to be not worse, 130 or 143 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    wants_json = "--json" in arguments
    try:
        with signals.handled():
            return _run(arguments)
    except TlAppError as error:
        return _report_failure(error, wants_json)
    except KeyboardInterrupt:  # before the handlers stood, or after they were gone
        return _report_failure(Interrupted(2), wants_json)
    except Exception as error:  # the outermost border: everything that nobody foresaw
        return _report_failure(_unforeseen(error), wants_json)
    finally:
        _flush_quietly()


def _run(argv: Sequence[str]) -> int:
    if not argv:
        ForgivingStream(sys.stderr).write(build_parser().format_help())
        return EXIT_USAGE
    try:
        arguments = parse(argv)
    except SystemExit as leaving:  # --help and --version have printed
        return leaving.code if isinstance(leaving.code, int) else 0
    if arguments.verb is None:
        ForgivingStream(sys.stderr).write(build_parser().format_help())
        return EXIT_USAGE

    # Late, so that --help and usage errors cost nothing.
    from tl_app.cli import commands
    from tl_app.console import make_reporter

    with _stdout_kept_clean():
        result = commands.COMMANDS[arguments.verb](
            arguments, list(argv), make_reporter(quiet=arguments.quiet)
        )
    stream = ForgivingStream(sys.stdout)
    if arguments.json:
        _write_json(result.document, stream)
    else:
        text = result.text.rstrip("\n")
        stream.write((fitted(text, stream, hanging=0) if result.is_prose else text) + "\n")
    stream.flush()
    # A reader that went away has seen enough; a full disk has lost what it was to hold.
    if isinstance(stream.failure, OSError) and stream.failure.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StorageError(
            "The disk is full; what was written to standard output is not complete.",
            allowed="free space",
            next_step="free some space, or write to another disk, then run again",
        )
    return result.exit_code


@contextlib.contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """Send what libraries print meanwhile, from Python or C, to standard error."""
    _flush_quietly()
    with contextlib.ExitStack() as undo:
        undo.enter_context(contextlib.redirect_stdout(sys.stderr))
        with contextlib.suppress(OSError):  # a stream was closed by whoever started us
            kept = os.dup(1)
            undo.callback(os.close, kept)
            os.dup2(2, 1)
            undo.callback(os.dup2, kept, 1)
        yield


def _write_json(document: dict[str, Any], stream: ForgivingStream) -> None:
    # ASCII, since it is valid in every locale and holds file names that are no UTF-8.
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, indent=1)
    stream.write(text + "\n")


def _report_failure(error: TlAppError, wants_json: bool) -> int:
    stream = ForgivingStream(sys.stderr)
    lines = [fitted("tl-app: " + printable(error.problem, keep_newlines=True), stream)]
    for label, value in (
        ("received:", error.received),
        ("allowed: ", error.allowed),
        ("next:    ", error.next_step),
    ):
        if value is not None:
            lines.append(fitted(f"  {label} {printable(value)}", stream, hanging=10))
    stream.write("\n".join(lines) + "\n")
    if wants_json:
        _write_json(
            {
                "error": {
                    "kind": type(error).__name__,
                    "problem": error.problem,
                    "received": None if error.received is None else str(error.received),
                    "allowed": error.allowed,
                    "next": error.next_step,
                },
                "exit_code": error.exit_code,
            },
            ForgivingStream(sys.stdout),
        )
    return error.exit_code


def _unforeseen(error: Exception) -> TlAppError:
    """One line for an exception that is a fault of ours, with the traceback in a file."""
    summary = str(error).strip().partition("\n")[0]
    problem = f"Unexpected {type(error).__name__}" + (f": {summary[:300]}" if summary else ".")
    text = "".join(traceback.format_exception(error))
    if os.environ.get("TL_APP_TRACEBACK") == "1":
        ForgivingStream(sys.stderr).write(text)
        return TlAppError(problem)
    try:
        # The traceback can name files and classes: readable by this user only.
        descriptor, name = tempfile.mkstemp(prefix="tl-app-traceback-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as log:
            log.write(text)
    except OSError:
        return TlAppError(problem, next_step="TL_APP_TRACEBACK=1 tl-app ...   shows where")
    return TlAppError(problem, next_step=f"the traceback is in {Path(name)}")


def _flush_quietly() -> None:
    """Flush both streams; one whose reader went away is pointed at nothing.

    Otherwise the interpreter would complain about the broken pipe when it ends.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
