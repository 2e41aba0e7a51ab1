"""The mistakes that the model was surest of, to be looked at."""

from __future__ import annotations

from tl_app.evaluation.worst import worst_rows, wrong_rows
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.error_tags import counts, error_tags
from tl_app.report.gallery import Gallery
from tl_app.report.page import render

MOST_TEXT = 1200
"""Characters of a text that the gallery shows."""

MOST_GALLERY_BYTES = 500_000

MOST_ALIKE = 0.5
"""Heat maps that agree so much with those of random heads show the picture, not the answer."""


def worst_errors(contents: ReportContents) -> Fragment | None:
    """The worst mistakes with their pictures or texts; None without a mistake."""
    predictions = contents.predictions
    n_mistakes = len(wrong_rows(predictions))
    if not n_mistakes:
        return None
    rows = worst_rows(predictions).tolist()
    tags = error_tags(contents.audit, (predictions.paths[row] for row in rows))
    gallery = Gallery(contents, room_bytes=MOST_GALLERY_BYTES, most_text=MOST_TEXT, why=True)
    items = [gallery.item(row, tags) for row in rows]
    body = render(
        "worst_errors.html",
        items=items,
        n_mistakes=n_mistakes,
        wording=contents.wording,
        has_pictures=contents.has_pictures,
        tag_counts=counts(tags.values()),
        has_marks=any(piece.strength for item in items for piece in item.pieces),
        heat=contents.heat if any(item.heat for item in items) else None,
        most_alike=MOST_ALIKE,
    )
    return Fragment("errors", "Worst errors", body)
