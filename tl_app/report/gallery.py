"""Examples as the page shows them: a picture or a text, what was said of it and what it is."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tl_app.explain.occlusion import TellingWord
from tl_app.report.contents import ReportContents

MOST_THUMBNAIL_BYTES = 40_000
HEAT_PX = 36
"""Side of a heat map on the page; the browser makes it as large as its picture."""

HEAT_RGB = (214, 64, 20)


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text: `strength` 0 is plain, 1 to 3 a mark."""

    text: str
    strength: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One example.

    Attributes:
        path: which.
        picture: `data:` address; None where it cannot be had, or no room is left.
        heat: `data:` address of what lies over the picture; None without.
        pieces: of its text; empty for pictures.
        true, predicted: names of classes.
        true_probability, predicted_probability: as the model gave them.
        tag: why it may have been told wrongly; empty where nobody knows.
    """

    path: str
    picture: str | None
    heat: str | None
    pieces: tuple[Piece, ...]
    true: str
    predicted: str
    true_probability: float
    predicted_probability: float
    tag: str = ""


class Gallery:
    """Makes items of rows, as long as there is room on the page for their pictures."""

    def __init__(
        self, contents: ReportContents, *, room_bytes: int, most_text: int, why: bool
    ) -> None:
        """
        Args:
            contents: of the report.
            room_bytes: for all pictures together, as `data:` addresses.
            most_text: characters of a text that are shown.
            why: show what spoke for the answer, over pictures and in texts. Only where the page
                says how that is to be read.
        """
        self._contents = contents
        self._y_pred = contents.predictions.y_pred
        self._room = room_bytes
        self._most_text = most_text
        self._heat = contents.heat.maps if why and contents.heat is not None else {}
        self._telling = contents.telling if why else {}
        self._texts: dict[str, str] = {}
        if contents.dataset.modality == "text":
            self._texts = {example.path: example.text for example in contents.dataset.examples}

    def item(self, row: int, tags: Mapping[str, str] | None = None) -> Item:
        """The example of one row of the predictions."""
        contents, predictions = self._contents, self._contents.predictions
        path = predictions.paths[row]
        true, predicted = int(predictions.y_true[row]), int(self._y_pred[row])
        picture = None if self._texts else self._within_room(contents.thumbnail(path))
        heat = self._heat.get(path)
        pieces = _pieces(self._texts.get(path, ""), self._telling.get(path, ()), self._most_text)
        return Item(
            path=path,
            picture=picture,
            heat=None if heat is None or picture is None else heat_uri(heat),
            pieces=pieces,
            true=predictions.class_names[true],
            predicted=predictions.class_names[predicted],
            true_probability=float(predictions.probabilities[row, true]),
            predicted_probability=float(predictions.probabilities[row, predicted]),
            tag=(tags or {}).get(path, ""),
        )

    def _within_room(self, picture: bytes | None) -> str | None:
        address = data_uri(picture)
        if address is None or len(address) > self._room:
            return None
        self._room -= len(address)
        return address


def data_uri(picture: bytes | None) -> str | None:
    """A `data:` address of a small JPEG or PNG; None for anything else."""
    if picture is None or len(picture) > MOST_THUMBNAIL_BYTES:
        return None
    if picture.startswith(b"\xff\xd8\xff"):
        kind = "jpeg"
    elif picture.startswith(b"\x89PNG\r\n\x1a\n"):
        kind = "png"
    else:
        return None
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def heat_uri(heat: np.ndarray) -> str:
    """A small PNG that is clear where nothing spoke for the answer.

    Args:
        heat: float32, shape (h, w), 0..1.
    """
    strength = Image.fromarray((255 * np.clip(heat, 0, 1)).astype(np.uint8))
    strength = strength.resize((HEAT_PX, HEAT_PX), Image.Resampling.BICUBIC)
    overlay = Image.new("RGBA", strength.size, HEAT_RGB)
    overlay.putalpha(strength)
    buffer = io.BytesIO()
    overlay.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _pieces(text: str, telling: Sequence[TellingWord], most: int) -> tuple[Piece, ...]:
    """A text, shortened, with its telling words marked; the strongest sets the scale."""
    if not text:
        return ()
    strongest = max((word.effect for word in telling), default=1.0)
    pieces: list[Piece] = []
    done = 0
    for word in sorted(telling, key=lambda word: word.start):
        if word.stop > most:
            break
        strength = min(3, 1 + int(3 * word.effect / strongest))
        title = f"without it {100 * word.effect:.0f} points less sure"
        pieces.append(Piece(text[done : word.start]))
        pieces.append(Piece(text[word.start : word.stop], strength, title))
        done = word.stop
    rest = text[done:most]
    return (*pieces, Piece(rest + ("…" if len(text) > most else "")))
