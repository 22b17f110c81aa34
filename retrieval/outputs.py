"""Files that a search leaves for a person: heat maps and copies of hits."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from encoder.errors import MediaError
from indexer.paths import from_text
from retrieval.contact_sheet import Cell, side_by_side
from retrieval.errors import OutputExists, QueryError, one_line
from retrieval.hits import Hit, Results
from retrieval.plan import Plan, Ranking

BEFORE_AFTER: dict[Ranking, tuple[str, str]] = {
    "associate-image": ("before: with its own sound", "after: with the found sound"),
    "associate-audio": ("before: the query's picture", "after: the found picture, same sound"),
}
"""What the two panels of an associative hit show."""


@dataclass(frozen=True, kw_only=True)
class WrittenFiles:
    """What was written.

    Attributes
    ----------
    paths : in the order of the hits.
    failures : one line for each hit whose file is gone.
    n_others : PNG files that stood in the folder before and still do.
    """

    paths: tuple[Path, ...]
    failures: tuple[str, ...]
    n_others: int = 0


def check_heatmaps(plan: Plan) -> None:
    """Raise QueryError where query and hits are of one kind, so there is nothing to show."""
    if not plan.has_heatmap:
        raise QueryError(
            f"{plan.ranking} has no heat map; search across kinds, or give both halves"
        )


def write_heatmaps(results: Results, folder: Path, *, strength: float = 0.6) -> WrittenFiles:
    """Write `01-0.734-stem.png` for each hit: rank, score, name of what was found.

    Of an associative hit both panels, what was looked at before and after the exchange.

    Raises
    ------
    QueryError : query and hits are of one kind, so there is nothing to show.
    OSError : the folder cannot be written.
    """
    check_heatmaps(results.plan)
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*.png"))
    paths, failures = [], []
    for hit in results:
        path = folder / f"{hit.rank:02d}-{hit.score:.3f}-{_name(hit).stem}.png"
        try:
            picture = _shown(hit, results.plan, strength)
        except MediaError as error:
            failures.append(str(error))
            continue
        picture.save(path)
        paths.append(path)
    return WrittenFiles(
        paths=tuple(paths), failures=tuple(failures), n_others=len(before.difference(paths))
    )


def _shown(hit: Hit, plan: Plan, strength: float) -> Image.Image:
    """Return the overlay of a hit, beside the one before where the hit has such."""
    after, before = hit.heatmap().overlay(strength=strength), hit.before()
    if before is None:
        return after
    pictures = (before.overlay(strength=strength), after)
    return side_by_side(
        [
            Cell(picture=picture, caption=caption)
            for picture, caption in zip(pictures, BEFORE_AFTER[plan.ranking], strict=True)
        ]
    )


def copy_hits(results: Results, folder: Path) -> WrittenFiles:
    """Copy what was found to `01-name.ext`, by rank; replaces nothing.

    Raises
    ------
    OutputExists : one of the files is there already; nothing was copied then.
    OSError : the folder cannot be written.
    """
    targets = [(hit.file, folder / f"{hit.rank:02d}-{_name(hit).name}") for hit in results]
    for _, target in targets:
        if target.exists():
            raise OutputExists(f"{target}: is there already; give --copy-to an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    paths, failures = [], []
    for source, target in targets:
        try:
            opened = source.open("rb")
        except OSError as error:
            failures.append(one_line(error))
            continue
        with opened, target.open("xb") as copy:
            shutil.copyfileobj(opened, copy)
        paths.append(target)
    return WrittenFiles(paths=tuple(paths), failures=tuple(failures))


def _name(hit: Hit) -> PurePosixPath:
    return PurePosixPath(from_text(hit.path))
