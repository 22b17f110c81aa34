"""A column of the manifest as labels of both modalities, each with score 1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from indexer.labels.errors import LabelColumnError
from indexer.labels.known import KnownLabels
from indexer.labels.provider import Excluded, digest_of
from indexer.labels.ranked import LabelRows, sorted_vocabulary
from indexer.lookup import ItemRow
from indexer.paths import shown
from indexer.pseudo_labels import PseudoLabels

if TYPE_CHECKING:
    from indexer.reader import IndexReader

OWN_LABEL = "label"
SEPARATOR = ";"


def class_labels(reader: IndexReader, column: str = OWN_LABEL) -> PseudoLabels:
    """Return a column of the manifest as labels of frames and of sounds.

    `column_labels` without the provider around it.
    """
    return column_labels(reader, column).labels


def column_labels(
    reader: IndexReader, column: str = OWN_LABEL, *, name: str | None = None
) -> KnownLabels:
    """Return a column of the manifest as a provider.

    Parameters
    ----------
    column : `label`, or a key of the metadata. Several values stand separated by `;`, or in a
        list. The vocabulary is the distinct values, sorted.
    name : of the provider; default `column:COLUMN`.

    Raises
    ------
    LabelColumnError : no item has a value there, or one of them is a table of its own.
    """
    rows = reader.rows(reader.ids)
    frames, sounds, numbers = LabelRows(), LabelRows(), dict[str, int]()
    for row in rows:
        for value in _values(row, column):
            label = numbers.setdefault(value, len(numbers))
            for side, there in ((frames, row.has_frame), (sounds, row.has_sound)):
                if there:
                    side.add(row.id, label, 1.0)
    if not numbers:
        raise LabelColumnError(
            f"{reader.path}: no item has a value in column {column!r}; {_columns_of(rows)}"
        )
    names, places = sorted_vocabulary(list(numbers))
    (image, n_frames), (audio, n_sounds) = frames.ranked(places), sounds.ranked(places)
    provider = name or f"column:{column}"
    labels = PseudoLabels(
        provider=provider,
        version=digest_of(column, *names),  # an item never changes its label, it is replaced
        vocabulary=provider,
        names=names,
        image=image,
        audio=audio,
    )
    return KnownLabels(labels, origin="column", excluded=beyond_the_tenth(n_frames + n_sounds))


def beyond_the_tenth(n: int) -> list[Excluded]:
    """Return the labels that a set has no room for as an exclusion."""
    return [Excluded(reason="labels beyond the ten best", n=n)] if n else []


def _values(row: ItemRow, column: str) -> Iterator[str]:
    """Yield the distinct values of an item, in order."""
    value = row.label if column == OWN_LABEL else row.metadata.get(column)
    parts = value if isinstance(value, list) else [value]
    seen = dict.fromkeys(text for part in parts for text in _texts(row, column, part))
    yield from seen


def _texts(row: ItemRow, column: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (dict, list)):
        raise LabelColumnError(
            f"item {row.id} ({row.image or row.audio}): column {column!r} holds "
            f"{json.dumps(value)[:60]}, not a name; give a column of names"
        )
    return [text.strip() for text in shown(str(value)).split(SEPARATOR) if text.strip()]


def _columns_of(rows: list[ItemRow]) -> str:
    there = sorted({key for row in rows for key, value in row.metadata.items() if value})
    if any(row.label for row in rows):
        there = [OWN_LABEL, *there]
    return f"columns with values: {', '.join(there)}" if there else "build it from a manifest"
