"""A configuration out of its sources, with all mistakes told in one error.

The defaults come first, then a TOML or JSON file, then `--set path=value`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tl_app.config import (
    Augmentation,
    Config,
    DataSettings,
    Phase,
    Settings,
    default_settings,
)
from tl_app.config_text import parse_value, read_settings
from tl_app.errors import ConfigError, did_you_mean
from tl_app.records import Modality


def load_config(
    path: Path | None = None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    *,
    modality: Modality = "image",
) -> Config:
    """Defaults, then the file, then `values`, then `key.path=value` overrides.

    Args:
        path: a TOML or JSON file.
        overrides: as `--set` takes them.
        values: by dotted keys, or nested.
        modality: whose defaults are taken.

    Raises:
        ConfigError: with every problem found, and a suggestion for each misspelt name.
    """
    problems: list[str] = []
    merged = {} if path is None else read_settings(path)
    pairs = [override.partition("=") for override in overrides]
    named = [merged, values or {}, {key.strip(): parse_value(text) for key, _, text in pairs}]
    backbones = [source["backbone"] for source in named if "backbone" in source]
    defaults = default_settings(modality, str(backbones[-1]) if backbones else None)
    for key, value in (values or {}).items():
        _merge(merged, key.split("."), value, defaults)
    for key, equals, text in pairs:
        override = key + equals + text
        if not equals or not key.strip():
            problems.append(f"--set {override}: expected KEY=VALUE, such as seed=1")
            continue
        try:
            _assign(merged, key.strip().split("."), parse_value(text), defaults)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            problems.append(f"--set {override}: {error.args[0]}")
    _complete_phases(merged, defaults["phases"])
    try:
        config = Config.model_validate({**defaults, **merged})
    except ValidationError as error:
        problems.extend(_describe(problem) for problem in error.errors())
    if problems:
        raise ConfigError.from_problems(
            problems, next_step="tl-app config   (prints every setting with its default)"
        )
    return config


def _merge(
    target: dict[str, Any], keys: Sequence[str], value: Any, defaults: Mapping[str, Any]
) -> None:
    """`_assign`, where a group of settings changes those that it names and no others."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _merge(target, [*keys, key], inner, defaults)
    else:
        _assign(target, keys, value, defaults)


def _complete_phases(values: dict[str, Any], default_phases: Sequence[Mapping[str, Any]]) -> None:
    """A phase with the name of a default one takes from it what is not said."""
    phases = values.get("phases")
    if not isinstance(phases, list):
        return
    defaults = {phase["name"]: phase for phase in default_phases}
    for i, phase in enumerate(phases):
        base = defaults.get(str(phase.get("name"))) if isinstance(phase, dict) else None
        if base is not None:
            augmentation = phase.get("augmentation", {})
            if isinstance(augmentation, dict):
                augmentation = {**base["augmentation"], **augmentation}
            phases[i] = {**base, **phase, "augmentation": augmentation}


def _assign(
    target: dict[str, Any], keys: Sequence[str], value: Any, defaults: Mapping[str, Any]
) -> None:
    """Set a nested value; lists (phases) are counted from 0 and can grow by one."""
    node: Any = target
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit():
                raise ValueError(f"'{key}' should be a number, as in phases.1.learning_rate")
            index = int(key)
            if index > len(node):
                raise ValueError(f"there are {len(node)} phases, counted from 0; received {index}")
            if index == len(node):
                node.append({"name": f"phase_{index}"})
            if last:
                node[index] = value
            else:
                node = node[index]
            continue
        if not isinstance(node, dict):
            raise ValueError(f"'{keys[depth - 1]}' holds a value and has no setting '{key}'")
        if last:
            node[key] = value
        else:
            if key not in node:
                is_phases = key == "phases" and depth == 0
                node[key] = deepcopy(defaults["phases"]) if is_phases else {}
            elif isinstance(node[key], tuple):
                node[key] = list(node[key])
            node = node[key]


def _describe(problem: Any) -> str:
    """One pydantic problem as: where, what, received, allowed."""
    location = ".".join(str(part) for part in problem["loc"] if not _is_union_tag(part))
    if problem["type"] == "extra_forbidden":
        name = str(problem["loc"][-1])
        return f"{location}: unknown setting.{did_you_mean(name, _known_names(problem['loc']))}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{location}: {message}" if location else message
    return f"{location}: {message}; received {problem['input']!r}"


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and not part.isidentifier()


def _known_names(location: Sequence[int | str]) -> Iterable[str]:
    """Names that would have been right where an unknown one stands."""
    model: type[Settings] = Config
    children: dict[str, type[Settings]] = {
        "data": DataSettings,
        "phases": Phase,
        "augmentation": Augmentation,
    }
    for part in location[:-1]:
        model = children.get(str(part), model)
    return model.model_fields
