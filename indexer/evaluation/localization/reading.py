"""Which items of an index can be localized, and in which frames of them what is to be found.

Items are ordered by what they hold and not by their ids: all that is drawn at random is drawn from
this order, so the figures of a collection do not depend on how it was indexed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from encoder.errors import MediaError
from encoder.localization.annotations import Annotations, read_annotations
from encoder.localization.boxes import AnnotatedBox, box_of
from encoder.localization.errors import GroundTruthError
from encoder.media import probe, read_frame
from indexer.evaluation.contents import Content, contents_of
from indexer.evaluation.localization.items import Candidate, Candidates, LeftOut, usable_truth
from indexer.evaluation.localization.options import LocalizationOptions
from indexer.lookup import ItemRow
from indexer.plan import Box
from indexer.reader import IndexReader

NO_SOUND = "boxes without a sound"
AMBIENT = "ambient boxes alone"
CUT = "the same boxes at several times of one video"
UNREADABLE = "a picture whose size cannot be read"
NO_BOXES = "no boxes"
NOT_ANNOTATED = "not in the annotations"
SEVERAL = "several pictures of one name, which annotations cannot tell apart"
NOT_INDEXED = "annotated, but not in the index"


def read_candidates(
    reader: IndexReader, options: LocalizationOptions, left_out: LeftOut
) -> Candidates:
    """Read what the catalogue and the annotations know. Raises FilterError, AnnotationError."""
    annotations = read_annotations(options.annotations) if options.annotations else None
    allowed = reader.allowed(options.where)
    ids = reader.ids if allowed is None else allowed
    listed = [
        Candidate(row=row, content=content, key=_key(content, row.label))
        for row, content in zip(reader.rows(ids), contents_of(reader, ids), strict=True)
    ]
    listed.sort(key=lambda item: (item.content.order, item.row.label or "", item.row.id))
    boxes = _Boxes(reader, options, annotations, left_out, _stems(listed))
    drawn = tuple(boxes.drawn_into(item) for item in listed)
    items = tuple(boxes.judged(item) for item in boxes.without_repeats(drawn))
    for name in sorted(boxes.unmatched):
        left_out.add(name, NOT_INDEXED)
    return Candidates(items=items, n_fraction_boxes=boxes.n_fractions)


def _stems(items: Sequence[Candidate]) -> Counter[str]:
    """Count the pictures of every file name without its suffix."""
    return Counter(Path(name).stem for name in {item.row.image for item in items} if name)


class _Boxes:
    """Turns what people drew into ground truths; remembers what it leaves out."""

    def __init__(
        self,
        reader: IndexReader,
        options: LocalizationOptions,
        annotations: Annotations | None,
        left_out: LeftOut,
        n_of_stem: Mapping[str, int],
    ) -> None:
        self._reader, self._options, self._annotations = reader, options, annotations
        self._left_out, self._n_of_stem = left_out, n_of_stem
        self._broken = {e.name: e for e in annotations.excluded} if annotations else {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self.unmatched = {*annotations.boxes, *self._broken} if annotations else set()
        self.n_fractions = 0

    def drawn_into(self, item: Candidate) -> Candidate:
        """Return the item with the boxes of its frame."""
        try:
            if self._annotations is not None:
                return replace(item, boxes=self._annotated(item, self._annotations))
            return replace(item, boxes=self._indexed(item))
        except GroundTruthError as error:
            self._leave_out(item, *_split(error))
        except MediaError as error:
            self._leave_out(item, UNREADABLE, str(error))
        return item

    def without_repeats(self, items: tuple[Candidate, ...]) -> Iterator[Candidate]:
        """Yield the items; boxes that stand at several times of one video are taken away.

        A manifest's row without `end_s` is cut into windows, each with a frame of its own, and the
        row's boxes were drawn into one of them.
        """
        times: dict[object, set[float | None]] = {}
        for item in items:
            times.setdefault(_video_boxes(item), set()).add(item.row.frame_time_s)
        for item in items:
            n_times = len(times[_video_boxes(item)])
            if item.boxes and n_times > 1:
                self._leave_out(item, CUT, f"{n_times} times; give start_s and end_s")
                yield replace(item, boxes=())
            else:
                yield item

    def judged(self, item: Candidate) -> Candidate:
        """Return the item with its ground truth, where it has one."""
        if not item.boxes:
            return item
        if not item.is_pair:
            self._leave_out(item, NO_SOUND)
        elif item.is_ambient:
            self._leave_out(item, AMBIENT)
        else:
            try:
                return replace(item, truth=usable_truth(item.boxes, self._options))
            except GroundTruthError as error:
                self._leave_out(item, *_split(error))
        return item

    def _annotated(self, item: Candidate, annotations: Annotations) -> tuple[AnnotatedBox, ...]:
        if item.row.image is None:
            return ()
        name = Path(item.row.image).stem
        self.unmatched.discard(name)
        if self._n_of_stem[name] > 1:
            self._leave_out(item, SEVERAL, f"{self._n_of_stem[name]} files are named {name}")
            return ()
        if name in self._broken:
            self._leave_out(item, self._broken[name].reason, self._broken[name].detail)
        elif name not in annotations.boxes:
            self._leave_out(item, NOT_ANNOTATED)
        return annotations.boxes.get(name, ())

    def _indexed(self, item: Candidate) -> tuple[AnnotatedBox, ...]:
        drawn = self._reader.boxes(item.id) if item.row.has_frame else []
        if not drawn:
            if item.is_pair:
                self._leave_out(item, NO_BOXES)
            return ()
        fractions = self._options.box_units == "fraction" or (
            self._options.box_units == "auto" and _looks_like_fractions(drawn)
        )
        self.n_fractions += fractions and self._options.box_units == "auto"
        return fractions_of(drawn, (1, 1) if fractions else self._size_px(item.row))

    def _size_px(self, row: ItemRow) -> tuple[int, int]:
        """Width and height of the stored picture, upright: from its header, or a video's frame."""
        assert row.image is not None
        if row.image not in self._sizes:
            path = self._reader.locate(row.image)
            if row.frame_time_s is None:
                found = probe(path)
                assert found.width_px is not None
                assert found.height_px is not None
                self._sizes[row.image] = found.width_px, found.height_px
            else:  # a header says nothing of a video's display rotation
                height, width = read_frame(path, row.frame_time_s).shape[:2]
                self._sizes[row.image] = width, height
        return self._sizes[row.image]

    def _leave_out(self, item: Candidate, reason: str, detail: str = "") -> None:
        self._left_out.add(item.name, reason, detail)


def fractions_of(boxes: list[Box], size_px: tuple[float, float]) -> tuple[AnnotatedBox, ...]:
    """Return a manifest's boxes as fractions of a frame of (width, height).

    Raises
    ------
    GroundTruthError : a box that leaves the frame; see `encoder.localization.boxes.box_of`.
    """
    return tuple(
        box_of(
            (box.x0, box.y0, box.x1, box.y1),
            size=size_px,
            annotator=box.annotator,
            kind=box.kind,
            tag=box.tag,
        )
        for box in boxes
    )


def _looks_like_fractions(boxes: list[Box]) -> bool:
    return all(max(box.x0, box.y0, box.x1, box.y1) <= 1 for box in boxes)


def _split(error: GroundTruthError) -> tuple[str, str]:
    reason, _, detail = str(error).partition(":")
    return reason, detail.strip()


def _video_boxes(item: Candidate) -> tuple[str | None, tuple[AnnotatedBox, ...]]:
    return item.row.image, item.boxes


def _key(content: Content, label: str | None) -> int:
    text = repr((content.frame, content.sound, label)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest())
