"""The numbers of the confusion matrix can be read on every fill, on the light and the dark page."""

from __future__ import annotations

import re
from importlib import resources

import numpy as np
import pytest

from tl_app.report.confusion_section import Cell

READABLE = 4.5
"""Contrast of small text, by WCAG 2.2, level AA (success criterion 1.4.3)."""

STYLE = (resources.files("tl_app.report") / "templates" / "style.css").read_text("utf-8")


def colours(page: str) -> dict[str, np.ndarray]:
    """Name -> sRGB in 0..1; the dark page changes some of the light one's."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    found = {}
    for block in blocks[: 1 if page == "light" else 2]:
        for name, value in re.findall(r"--([\w-]+): #([0-9a-f]{6})", block):
            found[name] = np.array([int(value[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    return found


def luminance(colour: np.ndarray) -> float:
    """Relative, as WCAG defines it."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("page", ["light", "dark"])
@pytest.mark.parametrize("column", [0, 1])
def test_every_number_can_be_read(page, column):
    of = colours(page)
    for share in np.linspace(0, 1, 501):
        cell = Cell(0, column, "a", "b", 1, float(share), [])
        fill = of["cell-good" if cell.is_right else "cell-bad"]
        behind = luminance(of["band"] + cell.strength * (fill - of["band"]))
        text = luminance(of["on-fill" if cell.is_strong else "cell-ink"])
        darker, lighter = sorted((behind, text))
        assert (lighter + 0.05) / (darker + 0.05) >= READABLE, (share, cell.strength)
