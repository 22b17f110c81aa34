"""What an index keeps of its frames' maps, and whether the bases of compact ones still fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indexer.compact.maps import basis_in
from indexer.compact.writing import drifted, form_of
from indexer.lookup import BasisRow
from indexer.options import MapForm
from indexer.segments import MAPS, VISUAL
from indexer.storage import FileRecord

Names = Mapping[str, FileRecord]
FORMS: tuple[MapForm, ...] = ("none", "compact", "full")
"""From the least to the most."""


@dataclass(frozen=True, kw_only=True)
class KeptMaps:
    """The maps of an index.

    Attributes
    ----------
    form : what new frames will keep, unless a build is told otherwise.
    bytes_per_frame : of all maps, over all frames.
    frames : number of frames by the best that is kept of them; full maps have compact ones beside
        them.
    bases : number, file facts and fit of each basis in use, as the catalogue has them.
    drifted : segments that their basis no longer fits.
    refits : whether `build-index --refit-maps` reaches all of these; it needs full maps.
    """

    form: MapForm
    bytes_per_frame: float
    frames: dict[MapForm, int]
    bases: tuple[dict[str, Any], ...]
    drifted: tuple[int, ...]
    refits: bool

    @property
    def n_frames(self) -> int:
        return sum(self.frames.values())


def kept_maps(files: Mapping[int, Names], bases: Mapping[int, BasisRow]) -> KeptMaps:
    """Sum up the segments of a generation, by number, with all bases that the catalogue knows."""
    frames: dict[MapForm, int] = {"full": 0, "compact": 0, "none": 0}
    for names in files.values():
        frames[best_form(names)] += names[VISUAL].rows
    used = {basis_in(names) for names in files.values()}
    rows = [row for number, row in bases.items() if number in used]
    lost = sorted(segment for row in rows for segment in drifted(row.facts) if segment in files)
    n_frames = sum(frames.values())
    n_bytes = sum(_map_bytes(names) for names in files.values())
    return KeptMaps(
        form=form_of_all(files),
        bytes_per_frame=n_bytes / n_frames if n_frames else 0.0,
        frames=frames,
        bases=tuple({"id": row.id} | row.facts for row in rows),
        drifted=tuple(lost),
        refits=all(MAPS in files[segment] for segment in lost),
    )


def best_form(names: Names) -> MapForm:
    """Return the best that a segment with these files keeps of its frames."""
    if MAPS in names:
        return "full"
    return "none" if basis_in(names) is None else "compact"


def keeps_more(files: Mapping[int, Names], form: MapForm) -> bool:
    """Say whether any frame keeps more than a form."""
    most = FORMS.index(form)
    return any(
        names[VISUAL].rows and FORMS.index(best_form(names)) > most for names in files.values()
    )


def form_of_all(files: Mapping[int, Names]) -> MapForm:
    """Return what an index with these segments goes on with: `full` where any full map is kept."""
    if any(MAPS in names and names[VISUAL].rows for names in files.values()):
        return "full"
    return form_of(files)


def _map_bytes(names: Names) -> int:
    return sum(r.bytes for name, r in names.items() if name == MAPS or basis_in([name]) is not None)
