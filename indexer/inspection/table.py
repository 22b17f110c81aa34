"""Items with what was found of each, as a manifest: `build-index --manifest` takes it as it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from indexer.manifest import COLUMNS
from indexer.paths import ESCAPED
from indexer.plan import PlannedItem

FINDINGS = "findings"
"""The column of kinds, in alphabetical order between spaces; `NONE` where nothing was found."""
NONE = "none"
SUFFIXES = (".csv", ".jsonl")


def write_table(path: Path, items: Iterable[PlannedItem], found: Mapping[str, Set[str]]) -> int:
    """Write one row for each item of which something could be planned; replaces no file.

    The frames of a mute video are one row, since a manifest has no word for one of its windows.

    Parameters
    ----------
    path : a .csv or .jsonl file.
    found : key of an item → kinds of findings.

    Returns
    -------
    Items that are left out, since no manifest can name their files: those are no UTF-8.

    Raises
    ------
    FileExistsError : the file is there already.
    OSError : it cannot be written.
    """
    rows = list(_rows(items, found))
    named = [row for row in rows if not any(str(v).startswith(ESCAPED) for v in row.values())]
    if path.suffix.lower() == ".csv":
        _write_csv(path, named)
    else:
        with path.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in named)
    return len(rows) - len(named)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    extra = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *extra])
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()}
            )


def _rows(items: Iterable[PlannedItem], found: Mapping[str, Set[str]]) -> Iterator[dict[str, Any]]:
    of_mute: dict[str, tuple[dict[str, Any], set[str]]] = {}
    for item in items:
        if not item.parts:
            continue
        kinds = set(found.get(item.key, ()))
        row = _row(item)
        if item.frame and not item.sound and item.frame.source.kind == "video":
            of_mute.setdefault(item.frame.source.path, (row, set()))[1].update(kinds)
        else:
            yield row | {FINDINGS: _words(kinds)}
    for row, kinds in of_mute.values():
        yield row | {FINDINGS: _words(kinds)}


def _words(kinds: Set[str]) -> str:
    return " ".join(sorted(kinds)) or NONE


def _row(item: PlannedItem) -> dict[str, Any]:
    """Return what a manifest must say for this very item to be planned again."""
    row: dict[str, Any] = {name: path for name, path in _media(item).items() if path}
    if item.sound and item.sound.t0_s:
        row["start_s"] = item.sound.t0_s
    if item.sound and item.sound.t1_s is not None:
        row["end_s"] = item.sound.t1_s
    if item.label is not None:
        row["label"] = item.label
    if item.boxes:
        row["boxes"] = [
            {
                "box": [box.x0, box.y0, box.x1, box.y1],
                "annotator": box.annotator,
                "kind": box.kind,
                "tag": box.tag,
            }
            for box in item.boxes
        ]
    return item.metadata | row


def _media(item: PlannedItem) -> dict[str, str | None]:
    frame, sound = item.frame, item.sound
    still = frame.source.path if frame and frame.source.kind == "image" else None
    heard = sound.source.path if sound and sound.source.kind == "audio" else None
    moving = [part.source.path for part in item.parts if part.source.kind == "video"]
    named = {"image": still, "audio": heard}
    # A manifest's own `video` beside a picture and a sound stays what it was: metadata.
    return named | {"video": moving[0]} if moving else named
