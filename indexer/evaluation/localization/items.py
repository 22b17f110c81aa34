"""Items of an index as localization sees them: what they show, what is heard, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from encoder.localization.annotations import Exclusion
from encoder.localization.boxes import AnnotatedBox
from encoder.localization.errors import GroundTruthError
from encoder.localization.ground_truth import EMPTY, GroundTruth, ground_truth
from encoder.localization.masks import SIZE_PX
from indexer.evaluation.contents import Content
from indexer.evaluation.localization.options import LocalizationOptions
from indexer.lookup import ItemRow

ONSCREEN = "onscreen"
"""Metadata key by which a manifest says whether anything that is heard is also seen."""
GROUPS = ("group", "recording")
"""Metadata keys by which a manifest says what belongs together."""
NAMED_PER_REASON = 20
"""Left-out items that are named; all are counted."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An item as it takes part in localization.

    Attributes
    ----------
    key : of its content and label, the same in every index of the collection.
    boxes : of every kind, as fractions of its frame.
    truth : what is to be found with its own sound; None where nothing is.
    """

    row: ItemRow
    content: Content
    key: int
    boxes: tuple[AnnotatedBox, ...] = ()
    truth: GroundTruth | None = None

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def name(self) -> str:
        """The item in messages."""
        return f"item {self.row.id} ({self.row.image or self.row.audio})"

    @property
    def is_pair(self) -> bool:
        return self.content.is_pair

    @property
    def tags(self) -> frozenset[str]:
        """What sounds in its frame, as far as its object boxes say."""
        return frozenset(box.tag for box in self.boxes if box.kind == "object" and box.tag)

    @property
    def sounds(self) -> frozenset[str]:
        """All that is known to be heard: its label and its tags."""
        return self.tags | ({self.row.label} if self.row.label else frozenset())

    @property
    def is_ambient(self) -> bool:
        """Whether people heard something that no place in the frame makes, and only that."""
        return bool(self.boxes) and all(box.kind == "ambient" for box in self.boxes)

    @property
    def is_onscreen(self) -> bool | None:
        """What the manifest says; None where it says nothing."""
        said = str(self.row.metadata.get(ONSCREEN, "")).strip().lower()
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            said
        )

    @property
    def origins(self) -> tuple[Hashable, ...]:
        """What ties it to other items: its frame, its sound, and a recording that is named."""
        named = ((key, self.row.metadata.get(key)) for key in GROUPS)
        known = [(key, str(value)) for key, value in named if value]
        return (self.content.frame, self.content.sound, *known)


class LeftOut:
    """What takes no part, counted by reason; the first of each reason are named."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.named: list[Exclusion] = []

    def add(self, name: str, reason: str, detail: str = "") -> None:
        self.counts[reason] += 1
        if self.counts[reason] <= NAMED_PER_REASON:
            self.named.append(Exclusion(name=name, reason=reason, detail=detail))


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """All items under evaluation, in order of content.

    Attributes
    ----------
    n_fraction_boxes : items whose boxes `box_units="auto"` read as fractions.
    """

    items: tuple[Candidate, ...]
    n_fraction_boxes: int

    @property
    def samples(self) -> tuple[Candidate, ...]:
        """Items with a frame, a sound and a ground truth."""
        return tuple(item for item in self.items if item.truth is not None)


def usable_truth(boxes: tuple[AnnotatedBox, ...], options: LocalizationOptions) -> GroundTruth:
    """Return the ground truth of boxes. Raises GroundTruthError where nothing can be found."""
    truth = ground_truth(boxes, agreement=options.agreement, n_agree=options.n_agree)
    if not truth.masks(SIZE_PX).any():
        raise GroundTruthError(EMPTY)
    return truth
