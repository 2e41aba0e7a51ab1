"""Which backbones there are. Loads no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tl_app.backbones.registry import TextEncoderSpec, all_specs, find_spec, text_specs
from tl_app.backbones.weights import status
from tl_app.backbones.wheels import get_wheel, kept_path
from tl_app.errors import ConfigError
from tl_app.progress import Reporter


def backbones() -> list[dict[str, Any]]:
    """Facts of every backbone, and whether its weights are on this machine."""
    return [*_for_pictures(), *_for_texts()]


def get_backbone(name: str, wheel: Path | None, *, reporter: Reporter) -> Path:
    """Bring the weights of an encoder into the cache: for later, or for a machine without a
    network.

    Args:
        name: as the registry has it.
        wheel: a file that was brought; None asks pip.
        reporter: is told where it comes from.

    Returns:
        Where it is kept.

    Raises:
        ConfigError: there is no such encoder, or the weights of a backbone for pictures are
            wanted, which are fetched when they are first used.
        WeightsError: they cannot be had, or are not what was published.
    """
    spec = find_spec(name)
    if not isinstance(spec, TextEncoderSpec) or spec.wheel is None:
        raise ConfigError(
            "The weights of backbones for pictures come when they are first used.",
            received=name,
            allowed=", ".join(one.name for one in text_specs()),
            next_step=f"tl-app train FOLDER --backbone {name}, maybe with --weights FILE",
        )
    return get_wheel(spec.wheel, given=wheel, reporter=reporter)


def _for_texts() -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "modality": spec.modality,
            "family": spec.family,
            "max_tokens": spec.max_tokens,
            "languages": spec.languages,
            "n_parameters": spec.n_parameters,
            "n_features": spec.n_features,
            "licence": spec.licence,
            "weights": "here" if spec.wheel and kept_path(spec.wheel).is_file() else "missing",
        }
        for spec in text_specs()
    ]


def _for_pictures() -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "modality": spec.modality,
            "family": spec.family,
            "image_size_px": spec.image_size_px,
            "n_parameters": spec.n_parameters,
            "n_features": spec.n_features,
            "licence": spec.licence,
            "weights": status(spec),
        }
        for spec in all_specs()
    ]
