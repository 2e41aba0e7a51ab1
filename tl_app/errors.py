"""Every error that a user can meet.

    TlAppError                       exit code 1
    ├── ConfigError                  2   a setting, an argument, an unknown name
    │   └── EngineUnavailable        2   an engine that is not installed or cannot run the model
    ├── DataError                    3   pictures, texts or tables that cannot be trained on
    ├── WeightsError                 1   pretrained weights that are not here or not right
    ├── RunError                     1   a run folder that cannot be read, resumed or written
    ├── StorageError                 1   a full disk, a read-only folder
    ├── ExportError                  1   a model that does not reproduce what the run recorded
    └── Interrupted                  130 after Ctrl-C, 143 after SIGTERM

An error says four things: what went wrong, what was received, what is allowed and
what to run next. Foreign errors are translated where they cross into tl_app.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Sequence


class TlAppError(Exception):
    """Base of all errors that tl_app raises on purpose.

    Args:
        problem: one sentence, what went wrong.
        received: what was given, shown as it was.
        allowed: what would have been accepted.
        next_step: a command or an action that helps.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        received: object | None = None,
        allowed: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.problem = problem
        self.received = received
        self.allowed = allowed
        self.next_step = next_step
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.problem]
        if self.received is not None:
            lines.append(f"  received: {self.received}")
        if self.allowed is not None:
            lines.append(f"  allowed:  {self.allowed}")
        if self.next_step is not None:
            lines.append(f"  next:     {self.next_step}")
        return "\n".join(lines)

    def __reduce__(self):
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(cls: type[TlAppError], state: dict) -> TlAppError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, str(error))
    return error


class ConfigError(TlAppError):
    """A setting, an argument or a name that cannot be used. All of them are told at once."""

    exit_code = 2

    @classmethod
    def from_problems(cls, problems: Sequence[str], *, next_step: str | None = None) -> ConfigError:
        """One error out of many problems, one line each."""
        if len(problems) == 1:
            return cls(problems[0], next_step=next_step)
        listing = "\n".join(f"  - {problem}" for problem in problems)
        return cls(
            f"{len(problems)} problems in the configuration:\n{listing}", next_step=next_step
        )


class EngineUnavailable(ConfigError):
    """An engine whose library is not installed, or that cannot run this model rightly."""


class DataError(TlAppError):
    """Pictures, texts or tables that cannot be trained on."""

    exit_code = 3


class WeightsError(TlAppError):
    """Pretrained weights that are missing, damaged or of another model."""


class RunError(TlAppError):
    """A run folder that cannot be read, resumed or written."""


class StorageError(TlAppError):
    """The disk is full or the folder cannot be written."""


class ExportError(TlAppError):
    """The exported model does not reproduce what the run recorded."""


class Interrupted(TlAppError):
    """Ctrl-C or SIGTERM. What was done is saved."""

    def __init__(self, signal_number: int, *, next_step: str | None = None) -> None:
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
        name = "Ctrl-C" if signal_number == signal.SIGINT else signal.Signals(signal_number).name
        super().__init__(f"Stopped by {name}.", next_step=next_step)


class UnusableExample(Exception):
    """A file that cannot be used as an example; caught by the scan, which sets it aside.

    Args:
        kind: a word of `records.SetAside.kind`.
        reason: a sentence for people.
    """

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        self.reason = reason
        super().__init__(reason)


class UnusablePicture(UnusableExample):
    """A file that cannot be a picture of the data."""


class UnusableText(UnusableExample):
    """A file, or a line of a table, that cannot be a text of the data."""


def did_you_mean(name: str, known: Iterable[str], *, n: int = 3) -> str:
    """A suggestion such as " Did you mean 'resnet50'?", or an empty string."""
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=n, cutoff=0.6)
    if not matches:
        folded = {other.casefold(): other for other in known}
        matches = [
            folded[m] for m in difflib.get_close_matches(name.casefold(), folded, n=n, cutoff=0.5)
        ]
    if not matches:
        return ""
    return " Did you mean " + " or ".join(repr(match) for match in matches) + "?"
