"""Rows of pictures as HTML: a question, then its answers with their ranks."""

from __future__ import annotations

import base64

from retrieval.report.markup import Element, element, hidden
from retrieval.report.model import Gallery, Picture, PictureRow

VERDICTS = {True: ("right", "✓"), False: ("wrong", "✗")}


def gallery_block(gallery: Gallery) -> Element:
    """Return a gallery with its heading, its rows and its note."""
    note = element("p", {"class": "note"}, gallery.note) if gallery.note else None
    rows = [_row(row) for row in gallery.rows] or [element("p", {"class": "note"}, "no pictures")]
    heading = element("h3", None, gallery.title)
    return element("div", {"class": "block gallery"}, heading, note, *rows)


def _row(row: PictureRow) -> Element:
    title = element("h4", None, row.title)
    note = element("p", {"class": "note"}, row.note) if row.note else None
    pictures = element(
        "div",
        {"class": "pictures"},
        element("ul", {"class": "asked", "aria-label": "asked with"}, *map(_picture, row.asked))
        if row.asked
        else None,
        element("ol", {"class": "found", "aria-label": "found"}, *map(_picture, row.found))
        if row.found
        else None,
    )
    return element("div", {"class": "row"}, title, note, pictures)


def _picture(picture: Picture) -> Element:
    thumbnail = picture.thumbnail
    image = element(
        "img",
        {
            "src": "data:image/jpeg;base64," + base64.b64encode(thumbnail.jpeg).decode("ascii"),
            "alt": picture.alt,
            "width": str(thumbnail.width_px),
            "height": str(thumbnail.height_px),
        },
    )
    kind, told = "", []
    if picture.right is not None:
        kind, sign = VERDICTS[picture.right]
        told = [
            element("span", {"class": "sign", "aria-hidden": "true"}, sign),
            hidden(f"{kind}: "),
        ]
    caption = element("figcaption", None, *told, picture.caption)
    return element("li", {"class": kind} if kind else None, element("figure", None, image, caption))
