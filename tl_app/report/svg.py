"""Matplotlib figures as inline SVG that follows the page: its font, its light or dark colours.

Figures are drawn with stand-in colours; each becomes a CSS variable of the page, so one
drawing is legible in both colour schemes and in print. Text stays text: names are escaped by
the XML writer and are never read as mathematics.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

INK = "#010101"
MUTED = "#020202"
LINE = "#030303"
GOOD = "#040404"
BAD = "#050505"
PAGE = "#070707"
BAND = "#080808"

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
    PAGE: "var(--page)",
    BAND: "var(--band)",
}

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"

STYLE = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.parse_math": False,
    "text.usetex": False,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
}


def style() -> AbstractContextManager[None]:
    """A context in which figures are drawn and turned into SVG, whatever the user's settings."""
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
    settings: dict[Any, Any] = {**defaults, **STYLE}
    return matplotlib.rc_context(settings)


def inline_svg(figure: Figure, *, name: str, title: str, description: str) -> Markup:
    """`figure` as an `svg` element.

    Call within `style()`.

    Args:
        name: unique on the page; prefixes every id.
        title: for people who do not see the figure.
        description: what it shows, in a sentence or two.
    """
    buffer = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # Layout is measured in a font that lacks most scripts; the browser's font has them.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        figure.savefig(buffer, format="svg", metadata=nothing, bbox_inches="tight", pad_inches=0.04)
    root = ElementTree.fromstring(buffer.getvalue())
    _strip(root)
    _prefix_ids(root, name)
    for element in root.iter():
        if "style" in element.attrib:
            element.set("style", _page_style(element.get("style", "")))
    width = float(re.sub(r"[^0-9.]", "", root.get("width", "0")))
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("class", "figure")
    # One point of the drawing is at most one and a third pixels: never blown up.
    root.set("style", f"max-width:{width * 4 / 3:.0f}px;stroke-linejoin:round")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(position, element)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _strip(root: ElementTree.Element) -> None:
    """Take away what would leak into the page: style sheets and metadata."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)


def _prefix_ids(root: ElementTree.Element, name: str) -> None:
    """Keep only ids that something points to, and make them this figure's own."""
    link = f"{{{_XLINK}}}href"
    used: set[str] = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            if key in (link, "href") and value.startswith("#"):
                used.add(value[1:])
                element.set(key, f"#{name}-{value[1:]}")
            elif "url(#" in value:
                used.update(re.findall(r"url\(#([^)]+)\)", value))
                element.set(key, value.replace("url(#", f"url(#{name}-"))
    for element in root.iter():
        identity = element.attrib.pop("id", None)
        if identity in used:
            element.set("id", f"{name}-{identity}")


def _page_style(style_text: str) -> str:
    for colour, variable in _VARIABLES.items():
        style_text = style_text.replace(colour, variable)
    # The page's font, at the drawing's size and weight.
    return re.sub(
        r"font: (?:(bold|[0-9]{3}) )?([0-9.]+px) [^;]*",
        lambda match: f"font-size: {match[2]}" + ("; font-weight: 600" if match[1] else ""),
        style_text,
    )
