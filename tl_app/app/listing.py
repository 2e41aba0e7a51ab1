"""Which backbones there are. Loads no TensorFlow."""

from __future__ import annotations

from typing import Any

from tl_app.backbones.registry import all_specs
from tl_app.backbones.weights import status


def backbones() -> list[dict[str, Any]]:
    """Facts of every backbone, and whether its weights are on this machine."""
    return [
        {
            "name": spec.name,
            "family": spec.family,
            "image_size_px": spec.image_size_px,
            "n_parameters": spec.n_parameters,
            "n_features": spec.n_features,
            "licence": spec.licence,
            "weights": status(spec),
        }
        for spec in all_specs()
    ]
