"""Carrying out what an audit proposed, and taking it back. Loads no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from tl_app.audit.fix_table import read_fixes
from tl_app.audit.quarantine import Moved, apply_fixes, undo
from tl_app.errors import ConfigError
from tl_app.findings import Audit
from tl_app.progress import Reporter
from tl_app.storage import read_json


def audit_apply(fixes: Path, folder: Path | None, *, reporter: Reporter) -> Moved:
    """Move the files that a table of fixes sends to quarantine.

    Args:
        fixes: `fixes.csv`, maybe changed by a person.
        folder: of the data; None reads it in the `audit.json` beside the table.
        reporter: is told where things go.

    Raises:
        ConfigError: the table is not there, or the folder is not known.
        DataError: the table is damaged, or leads out of the folder; nothing was moved.
        RunError: another process moves files of this folder.
        StorageError: the disk is full or a folder cannot be written.
    """
    rows = read_fixes(fixes)
    root = data_folder(folder) if folder is not None else _audited_folder(fixes)
    reporter.message(f"Moving files of {root}")
    return apply_fixes(root, rows)


def audit_undo(folder: Path, *, reporter: Reporter) -> Moved:
    """Put everything that was moved back where it was.

    Raises:
        DataError: nothing of this folder is in quarantine.
        RunError: another process moves files of this folder.
        StorageError: a folder cannot be written.
    """
    root = data_folder(folder)
    reporter.message(f"Moving files back to {root}")
    return undo(root)


def data_folder(named: Path) -> Path:
    """The folder that the data's paths are relative to: that of a table where one is named."""
    path = named.expanduser().absolute()
    return path.parent if path.is_file() else path


def _audited_folder(fixes: Path) -> Path:
    beside = fixes.absolute().with_name("audit.json")
    if not beside.is_file():
        raise ConfigError(
            "The table of fixes does not say which folder it is about.",
            received=str(fixes),
            allowed="the table beside the audit.json that was written with it, or the folder named",
            next_step=f"tl-app audit FOLDER --apply {fixes}",
        )
    return Path(Audit.from_dict(read_json(beside)).root)
