"""What a user names, looked at before it is gone through: a pipe would be waited for, and the
letters of a string would be taken one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tl_app.data.listing import named, shown
from tl_app.errors import ConfigError, DataError

N_NAMED = 5


def require_paths(paths: Sequence[Path], allowed: str) -> None:
    """Each must be a folder or a regular file.

    Args:
        paths: as the user names them.
        allowed: what may be named.

    Raises:
        DataError: some are not there, or one is neither.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise DataError(
            "There is nothing at this path.",
            received=named(missing, n=N_NAMED),
            allowed=allowed,
            next_step="correct the path",
        )
    for path in paths:
        if not path.is_dir():
            require_regular(path, allowed)


def require_regular(path: Path, allowed: str) -> None:
    """
    Raises:
        DataError: `path` is a pipe, a socket or a device.
    """
    if not path.is_file():
        raise DataError(
            "This is no regular file.",
            received=f"{shown(path)} (a pipe or a device?)",
            allowed=allowed,
            next_step="write what it gives to a file, and name that",
        )


def as_list(option: str, given: object, kind: type | tuple[type, ...]) -> list[Any]:
    """The items of an argument of the Python API.

    Args:
        option: what the argument is called.
        given: an iterable, but no single string or path.
        kind: of each item.

    Raises:
        ConfigError: it is something else, or an item is.
    """
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | os.PathLike):
        items = list(given)
        wrong = [item for item in items if not isinstance(item, kind)]
    else:
        items, wrong = [], [given]
    if wrong:
        raise ConfigError(
            f"{option} takes a list of {'strings' if kind is str else 'paths'}.",
            received=f"{type(wrong[0]).__name__} {str(wrong[0])[:50]!r}",
            allowed=f"{option}=[...], also for one",
            next_step=f"write {option}=[{'text' if kind is str else 'path'}]",
        )
    return items
