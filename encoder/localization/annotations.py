"""Boxes in the layouts that published test sets use: Flickr-SoundNet XML and VGG-SS JSON.

An entry that cannot be used does not stop the others and is never put right in silence: it comes
back as an `Exclusion` with its name and the reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from encoder.localization.boxes import AnnotatedBox, BoxKind, box_of
from encoder.localization.errors import AnnotationError, GroundTruthError

FLICKR_PX = 256
"""Side of the frames that Flickr-SoundNet was annotated on, where a file does not say."""
MAX_BYTES = 64 << 20
"""VGG-SS is 0.5 MB; nobody draws a hundred times as many boxes into one file."""
CORNERS = ("xmin", "ymin", "xmax", "ymax")
UNREADABLE = "a file that cannot be read"


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """An entry, or an item, that takes no part in a figure, and why.

    Attributes
    ----------
    reason : one of a few texts, so that exclusions can be counted by it.
    detail : what was found.
    """

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """Boxes by the name of their frame: the stem of its file, such as `10000130166`."""

    boxes: Mapping[str, tuple[AnnotatedBox, ...]]
    excluded: tuple[Exclusion, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of excluded entries by reason."""
        return dict(sorted(Counter(entry.reason for entry in self.excluded).items()))


def read_annotations(path: Path) -> Annotations:
    """Read a folder of Flickr-SoundNet XML files, or a VGG-SS JSON file.

    Raises
    ------
    AnnotationError : neither of the two, or the file cannot be read at all.
    """
    if path.is_dir():
        return read_flickr_xml(path)
    if path.suffix.lower() == ".json":
        return read_vggss_json(path)
    if path.suffix.lower() == ".xml":
        return _collected([(path.stem, lambda: _flickr_boxes(path))])
    raise AnnotationError(f"{path}: give a folder of XML files or a .json file")


def read_flickr_xml(folder: Path) -> Annotations:
    """Read the Flickr-SoundNet test set: a folder with one XML file per frame.

    In each, every child of the root that holds `bbox` elements is one annotator. A `bbox` has four
    corners: by the names xmin, ymin, xmax, ymax, or, as published, in that order behind a first
    child that holds the tag, `object` or `ambient`. They are pixels of the frame whose size the
    file states (`size/width`, `size/height`), else of 256 × 256.

    Documents with a DTD are refused: entities have no place in boxes, and a few of them can fill
    the memory.

    Raises
    ------
    AnnotationError : no such folder, or no XML file in it.
    """
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: no such folder")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".xml")
    if not files:
        raise AnnotationError(f"{folder}: holds no XML file")
    return _collected([(file.stem, _later(_flickr_boxes, file)) for file in files])


def read_vggss_json(path: Path) -> Annotations:
    """Read VGG-SS: a list of `{"file", "class", "bbox": [[x0, y0, x1, y1], …]}`, in [0, 1].

    All boxes of a clip are one annotator's; the class becomes their tag. The published file holds
    18 clips with boxes of no size or corners of −2.9e16: they are excluded and counted.

    Raises
    ------
    AnnotationError : not such a list, or a file that cannot be read.
    """
    try:
        entries = json.loads(_bytes_of(path))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: not JSON ({error}); fetch it again") from None
    if not isinstance(entries, list):
        raise AnnotationError(f'{path}: not a list of {{"file", "class", "bbox"}}')
    return _collected(
        [(_name_of(entry, at), _later(_vggss_boxes, entry)) for at, entry in enumerate(entries)]
    )


def _collected(entries: list[tuple[str, Callable[[], tuple[AnnotatedBox, ...]]]]) -> Annotations:
    boxes: dict[str, tuple[AnnotatedBox, ...]] = {}
    excluded = []
    n_of = Counter(name for name, _ in entries)
    for name, read in entries:
        if n_of[name] > 1:
            excluded.append(Exclusion(name=name, reason="several entries of one name"))
            continue
        try:
            boxes[name] = read()
        except (AnnotationError, GroundTruthError) as error:
            reason, _, detail = str(error).partition(":")
            excluded.append(Exclusion(name=name, reason=reason, detail=detail.strip()))
    return Annotations(boxes=boxes, excluded=tuple(excluded))


def _later(
    read: Callable[[Any], tuple[AnnotatedBox, ...]], what: Any
) -> Callable[[], tuple[AnnotatedBox, ...]]:
    return lambda: read(what)


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AnnotationError(f"{UNREADABLE}: {path}: more than {MAX_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{UNREADABLE}: {path}: {error.strerror or error}") from None


# ── VGG-SS ───────────────────────────────────────────────────────────────────────────────────────


def _name_of(entry: Any, at: int) -> str:
    name = entry.get("file") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and name else f"entry {at}"


def _vggss_boxes(entry: Any) -> tuple[AnnotatedBox, ...]:
    if not (isinstance(entry, dict) and isinstance(entry.get("file"), str)):
        raise AnnotationError("an entry without a file name")
    drawn = entry.get("bbox")
    if not isinstance(drawn, list) or not drawn:
        raise AnnotationError("an entry without boxes")
    tag = entry.get("class")
    return tuple(box_of(_numbers(box), tag=tag if isinstance(tag, str) else "") for box in drawn)


def _numbers(corners: Any) -> list[float]:
    try:
        x0, y0, x1, y1 = (float(corner) for corner in corners)
    except (TypeError, ValueError):
        raise AnnotationError(f"a box that is not four numbers: {corners!r}") from None
    return [x0, y0, x1, y1]


# ── Flickr-SoundNet ──────────────────────────────────────────────────────────────────────────────


class _NoDtd(TreeBuilder):
    """Builds a tree; stops where a DTD begins, before an entity could be declared."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise AnnotationError("a document with a DTD")


def _flickr_boxes(path: Path) -> tuple[AnnotatedBox, ...]:
    parser = XMLParser(target=_NoDtd())
    try:
        parser.feed(_bytes_of(path))
        root: Element = parser.close()
    except (ParseError, LookupError, ValueError) as error:
        raise AnnotationError(f"not XML: {error}") from None
    size = _size_of(root)
    annotators = [root] if root.find("bbox") is not None else [e for e in root if _drawn_by(e)]
    names = _annotator_names(annotators)
    boxes = tuple(
        _flickr_box(box, size, name)
        for name, annotator in zip(names, annotators, strict=True)
        for box in _drawn_by(annotator)
    )
    if not boxes:
        raise AnnotationError("an entry without boxes")
    return boxes


def _drawn_by(element: Element) -> list[Element]:
    return list(element.iter("bbox"))


def _size_of(root: Element) -> tuple[float, float]:
    sides = [root.findtext(f"size/{side}") or root.findtext(side) for side in ("width", "height")]
    if not all(sides):
        return FLICKR_PX, FLICKR_PX
    width, height = (_number(side) for side in sides)
    if not (width > 0 and height > 0):
        raise AnnotationError(f"a frame without a size: {width:g} × {height:g}")
    return width, height


def _annotator_names(annotators: list[Element]) -> list[str]:
    """Name annotators by their `id` or `name`, where all have a distinct one; else by number."""
    stated = [element.get("id") or element.get("name") or "" for element in annotators]
    if all(stated) and len(set(stated)) == len(stated):
        return stated
    return [str(number) for number in range(1, len(annotators) + 1)]


def _flickr_box(element: Element, size: tuple[float, float], annotator: str) -> AnnotatedBox:
    named = [element.findtext(corner) for corner in CORNERS]
    if all(corner is not None for corner in named):
        texts, others = named, [child for child in element if child.tag not in CORNERS]
    else:
        texts, others = [child.text for child in element[1:]], list(element[:1])
    if len(texts) != len(CORNERS):
        raise AnnotationError(f"a box that is not four numbers: {len(texts)} corners")
    kind, tag = _meaning([(child.text or "").strip() for child in others])
    corners = [_number(text) for text in texts]
    return box_of(corners, size=size, annotator=annotator, kind=kind, tag=tag)


def _meaning(words: list[str]) -> tuple[BoxKind, str]:
    """Tell `object` from `ambient` (S19 §5.1: "ambient/not object"); any other word is the tag."""
    for word in words:
        if word.lower().startswith(("ambient", "not object", "not_object", "non-object")):
            return "ambient", ""
    return "object", next((word for word in words if word and word.lower() != "object"), "")


def _number(text: str | None) -> float:
    try:
        return float((text or "").strip())
    except ValueError:
        raise AnnotationError(f"a box that is not four numbers: {text!r}") from None
