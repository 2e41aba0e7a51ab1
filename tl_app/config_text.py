"""Settings as people write them: files, and the text after the "=" of `--set`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from tl_app.errors import ConfigError


def read_settings(path: Path) -> dict[str, Any]:
    """The named settings of a TOML or JSON file.

    Raises:
        ConfigError: it cannot be read, or is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The configuration file cannot be read: {error.strerror}.",
            received=str(path),
            allowed="a .toml or .json file",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The configuration file is not UTF-8 text: {error.reason} at byte {error.start}.",
            received=str(path),
            allowed="a .toml or .json file",
        ) from error
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"The configuration file is not valid: {error}.",
            received=str(path),
            allowed="TOML, or JSON in a file that ends in .json",
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(
            "The configuration file must hold named settings.",
            received=f"{path}: a {type(values).__name__}",
            allowed="TOML, or a JSON object",
        )
    return values


def parse_value(text: str) -> Any:
    """`1e-5`, `true`, `[1, 2]` and `null` as TOML or JSON would read them, else the text itself."""
    stripped = text.strip()
    if stripped in ("null", "none", "None"):
        return "none" if stripped == "none" else None
    try:
        return tomllib.loads(f"value = {stripped}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return json.loads(stripped)
    except ValueError:
        return stripped
