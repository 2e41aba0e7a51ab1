"""Templates: the one jinja2 environment, with escaping always on."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tl_app.evaluation.figures import loss_text
from tl_app.report import text

TEMPLATES = Path(__file__).parent / "templates"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=text.visible,
        shorten_name=text.shorten,
        percent=text.percent,
        probability=text.probability,
        byte_size=text.byte_size,
        duration=text.duration,
        milliseconds=text.milliseconds,
        integer=text.integer,
        plural=text.plural,
        loss=loss_text,
        unbroken=text.unbroken,
    )
    return environment


def render(template: str, **values: Any) -> Markup:
    """Fill in a template; values are escaped unless they are Markup already."""
    return Markup(_environment().get_template(template).render(**values))


@cache
def script() -> Markup:
    """The page's script, for its `script` element."""
    return Markup((TEMPLATES / "report.js").read_text(encoding="utf-8"))


def script_hash() -> str:
    """SHA-256 of the script in base64, by which the page's policy knows it."""
    return base64.b64encode(hashlib.sha256(script().encode("utf-8")).digest()).decode("ascii")


@cache
def style_sheet() -> Markup:
    """The page's style, for its `style` element."""
    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
