"""What is known of why some examples were told as they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tl_app.explain.heat import HeatMaps
from tl_app.explain.occlusion import TellingWord


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of some examples, by path.

    Attributes:
        telling: of texts, the words that told the most.
        heat: of pictures, where the model looked; None for texts.
    """

    telling: Mapping[str, tuple[TellingWord, ...]] = field(default_factory=dict)
    heat: HeatMaps | None = None
