"""Which parts of the evaluated side the model does worse on."""

from __future__ import annotations

from tl_app.evaluation.slices import LEAST_EXAMPLES, MOST_NAMES, Slice
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.gallery import data_uri
from tl_app.report.page import render

MOST_SHOWN_BYTES = 200_000


def slices(contents: ReportContents) -> Fragment | None:
    """Accuracy by trait, those parts marked that differ from the rest; None without traits."""
    traits = contents.slices
    if not traits:
        return None
    parts = [(trait.title, part) for trait in traits for part in trait.slices]
    worse = [(title, part) for title, part in parts if part.verdict == "worse"]
    worse.sort(key=lambda pair: pair[1].accuracy.value)
    body = render(
        "slices.html",
        traits=[trait for trait in traits if trait.slices],
        not_parted=[trait.title for trait in traits if not trait.slices],
        least=LEAST_EXAMPLES,
        most_names=MOST_NAMES,
        worse=worse,
        n_parts=len(parts),
        pictures=_pictures(contents, [part for _, part in parts]),
        overall=contents.evaluation.headline["accuracy"].value,
        side=contents.evaluation.side,
        wording=contents.wording,
    )
    return Fragment("slices", "Slices", body)


def _pictures(contents: ReportContents, parts: list[Slice]) -> dict[str, str]:
    """Path -> `data:` address of what stands for parts without a telling name."""
    if contents.dataset.modality != "image":
        return {}
    found: dict[str, str] = {}
    room = MOST_SHOWN_BYTES
    for path in (path for part in parts for path in part.shown):
        address = data_uri(contents.thumbnail(path))
        if address is not None and len(address) <= room:
            found[path] = address
            room -= len(address)
    return found
