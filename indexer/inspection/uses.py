"""Which items use which file, and which part of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from indexer.plan import PlannedItem, Source

Span = tuple[float, float | None]


@dataclass(kw_only=True)
class SourceUse:
    """A file, and what items take from it.

    Attributes
    ----------
    spans : (t0_s, t1_s) of its sound → keys of items; None is the end of the file.
    times : time_s of its frames → keys of items.
    """

    source: Source
    spans: dict[Span, list[str]] = field(default_factory=dict)
    times: dict[float, list[str]] = field(default_factory=dict)

    @property
    def items(self) -> tuple[str, ...]:
        keys = [key for users in (self.spans, self.times) for one in users.values() for key in one]
        return tuple(dict.fromkeys(keys))


def uses_of(items: Iterable[PlannedItem]) -> list[SourceUse]:
    """Gather what items use by file, in order of first use."""
    found: dict[str, SourceUse] = {}

    def use(source: Source) -> SourceUse:
        return found.setdefault(source.path, SourceUse(source=source))

    for item in items:
        if item.frame:
            of_frame = use(item.frame.source)
            of_frame.times.setdefault(item.frame.time_s, []).append(item.key)
        if item.sound:
            span = (item.sound.t0_s, item.sound.t1_s)
            use(item.sound.source).spans.setdefault(span, []).append(item.key)
    return list(found.values())
