"""Every setting with its default, its range and its meaning, read off the Config model."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tl_app.backbones.registry import find_spec
from tl_app.config import (
    Augmentation,
    Config,
    DataSettings,
    Phase,
    Settings,
    default_settings,
    fits,
)
from tl_app.config_loading import load_config
from tl_app.errors import ConfigError
from tl_app.records import Modality

HEADER = """\
# Every setting of tl-app train. Keep the lines that you change; the others are defaults.
#   tl-app train SOURCE --config THIS_FILE"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: as `--set` takes it, such as "phases.N.learning_rate".
        default: a JSON value; None where there is none.
        allowed: words or a range, in text.
        description: a sentence.
    """

    name: str
    default: Any
    allowed: str
    description: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


PLURALS = {"string": ("text", "names"), "integer": ("a whole number", "whole numbers")}
"""Of the items of a list: what `_allowed` says of one, and of several."""


def judged(
    path: Path | None,
    overrides: Sequence[str],
    values: Mapping[str, Any] | None = None,
    *,
    modality: Modality = "image",
) -> Config:
    """`load_config`, with pydantic's words for a wrong value put as `tl-app config` puts them.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        return load_config(path, overrides, values, modality=modality)
    except ConfigError as error:
        first, *rest = error.problem.split("\n")
        problems = [line.removeprefix("  - ") for line in rest] or [first]
        allowed = {setting.name: setting.allowed for setting in describe_settings()}
        # A value that fits none of several kinds is one problem.
        words = list(dict.fromkeys(_in_our_words(problem, allowed) for problem in problems))
        words += _of_backbone((values or {}).get("backbone"))
        if words == problems:
            raise
        raise ConfigError.from_problems(words, next_step=error.next_step) from error


def _of_backbone(name: str | None) -> list[str]:
    """What is wrong with a backbone's name, beside the other mistakes; alone it has an error."""
    try:
        if name is not None:
            find_spec(name)
    except ConfigError as error:
        return [f"backbone: {error.problem} Received {name!r}"]
    return []


def _in_our_words(problem: str, allowed: Mapping[str, str]) -> str:
    found = re.fullmatch(r"(?P<name>[\w.]+): Input should .*; received (?P<value>.*)", problem)
    if found is None:
        return problem
    # Longest first: what follows the name are the items and kinds of its value.
    parts = found["name"].split(".")
    for n in range(len(parts), 0, -1):
        general = re.sub(r"^phases\.\d+", "phases.N", ".".join(parts[:n]))
        if general in allowed:
            name = ".".join(parts[:n])
            return f"{name}: received {found['value']}; allowed: {allowed[general]}"
    return problem


def describe_settings(modality: Modality | None = None) -> list[Setting]:
    """All settings; those of a phase once, under `phases.N`.

    Args:
        modality: whose settings and defaults are wanted; None takes the settings of all, with the
            defaults for pictures.
    """
    models: dict[str, type[Settings]] = {"": Config, "data.": DataSettings, "phases.N.": Phase}
    if modality != "text":
        models["phases.N.augmentation."] = Augmentation
    return [
        setting
        for prefix, model in models.items()
        for setting in _settings(model, prefix, modality)
    ]


def to_toml(config: Config, modality: Modality = "image") -> str:
    """`config` as TOML that `load_config` reads back to an equal one, with comments.

    Args:
        config: whose settings of the other modality are as they are by default.
        modality: what is trained on.
    """
    notes = {setting.name: setting for setting in describe_settings(modality)}
    values = fitting_values(config, modality)
    data, phases = values.pop("data"), values.pop("phases")
    lines = [HEADER]
    lines += _lines(values, "", notes)
    lines += ["", "[data]", *_lines(data, "data.", notes)]
    for index, phase in enumerate(phases):
        augmentation = phase.pop("augmentation", None)
        # The meaning of each setting stands once, at the first phase.
        explained: Mapping[str, Setting] = notes if index == 0 else {}
        lines += ["", "[[phases]]", *_lines(phase, "phases.N.", explained)]
        if augmentation is not None:
            lines += ["", "[phases.augmentation]"]
            lines += _lines(augmentation, "phases.N.augmentation.", explained)
    return "\n".join(lines) + "\n"


def fitting_values(config: Config, modality: Modality) -> dict[str, Any]:
    """All that means anything for pictures, or for texts, as plain JSON values."""

    def fitting(settings: Settings) -> dict[str, Any]:
        values = settings.model_dump(mode="json")
        fields = type(settings).model_fields
        return {name: value for name, value in values.items() if fits(fields[name], modality)}

    return {
        **fitting(config),
        "data": fitting(config.data),
        "phases": [fitting(phase) for phase in config.phases],
    }


def _lines(values: Mapping[str, Any], prefix: str, notes: Mapping[str, Setting]) -> Iterator[str]:
    for name, value in values.items():
        setting = notes.get(prefix + name)
        if setting is not None:
            about = f"{setting.description} " if setting.description else ""
            about += f"Allowed: {setting.allowed}."
            yield ""
            yield from textwrap.wrap(
                about, width=96, initial_indent="# ", subsequent_indent="# ", break_long_words=False
            )
        yield f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'  # TOML has no null; Settings reads the word as one
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float):
        return repr(value)  # 1e-05 and 0.1 are TOML floats
    return json.dumps(value)


def _settings(model: type[Settings], prefix: str, modality: Modality | None) -> Iterator[Setting]:
    properties = model.model_json_schema()["properties"]
    usual = default_settings(modality or "image") if model is Config else {}
    for name, field in model.model_fields.items():
        default = usual.get(name, field.get_default(call_default_factory=True))
        if isinstance(default, BaseModel) or name == "phases":
            continue  # has its own settings
        if modality is not None and not fits(field, modality):
            continue
        yield Setting(
            name=prefix + name,
            default=None if field.is_required() else _plain(default),
            allowed=_allowed(properties[name]),
            # In TOML and after --set, None is a word.
            description=re.sub(r"\bNone\b", '"none"', field.description or ""),
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _allowed(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words: "crop, pad or squash", "a whole number from 32 to 2048"."""
    if "anyOf" in schema:
        options = [_allowed(option) for option in schema["anyOf"]]
        # A comma where the words of an option could be read as more options.
        joint = ", or " if any(" " in option for option in options) else " or "
        return joint.join(options)
    if "const" in schema:
        return f"{schema['const']}"
    if "enum" in schema:
        words = [str(word) for word in schema["enum"]]
        return ", ".join(words[:-1]) + f" or {words[-1]}"
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return "[" + ", ".join(_allowed(item) for item in schema["prefixItems"]) + "]"
        items = schema["items"]
        if "enum" in items:
            return f"a list of {_allowed(items)}"
        return "a list of " + _allowed(items).replace(*PLURALS[str(items.get("type"))])
    if kind in ("integer", "number"):
        return _range("a whole number" if kind == "integer" else "a number", schema)
    if kind == "string" and "pattern" in schema:
        return "letters, digits, '_' and '-', at most 40"
    return {"boolean": "true or false", "string": "text", "null": '"none"'}.get(
        str(kind), str(kind)
    )


def _range(noun: str, schema: Mapping[str, Any]) -> str:
    parts = [noun]
    if "exclusiveMinimum" in schema:
        parts.append(f"above {schema['exclusiveMinimum']:g}")
    if "minimum" in schema:
        parts.append(f"from {schema['minimum']:g}")
    if "maximum" in schema:
        parts.append(f"to {schema['maximum']:g}")
    if "exclusiveMaximum" in schema and schema.get("type") == "integer":
        parts.append(f"to {schema['exclusiveMaximum'] - 1}")
    elif "exclusiveMaximum" in schema:
        parts.append(f"below {schema['exclusiveMaximum']:.15g}")
    return " ".join(parts)
