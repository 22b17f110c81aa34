"""Files that a search leaves for a person: heat maps and copies of hits."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from encoder.errors import MediaError
from indexer.paths import from_text
from retrieval.errors import OutputExists, QueryError
from retrieval.hits import Hit, Results


@dataclass(frozen=True, kw_only=True)
class WrittenHeatmaps:
    """`paths` of the PNG files; `failures`, one line for each hit whose picture is gone."""

    paths: tuple[Path, ...]
    failures: tuple[str, ...]


def write_heatmaps(results: Results, folder: Path, *, strength: float = 0.6) -> WrittenHeatmaps:
    """Write `01-0.734-stem.png` for each hit: rank, score, name of what was found.

    Raises
    ------
    QueryError : query and hits are of one kind, so there is nothing to show.
    OSError : the folder cannot be written.
    """
    if not results.plan.has_heatmap:
        raise QueryError(
            f"{results.plan.ranking} has no heat map; search across kinds, or give both halves"
        )
    folder.mkdir(parents=True, exist_ok=True)
    paths, failures = [], []
    for hit in results:
        path = folder / f"{hit.rank:02d}-{hit.score:.3f}-{_name(hit).stem}.png"
        try:
            picture = hit.heatmap().overlay(strength=strength)
        except MediaError as error:
            failures.append(str(error))
            continue
        picture.save(path)
        paths.append(path)
    return WrittenHeatmaps(paths=tuple(paths), failures=tuple(failures))


def copy_hits(results: Results, folder: Path) -> tuple[Path, ...]:
    """Copy what was found to `01-name.ext`, by rank; replaces nothing.

    Raises
    ------
    OutputExists : one of the files is there already; nothing was copied then.
    OSError : a file of the corpus is gone, or the folder cannot be written.
    """
    targets = [(hit.file, folder / f"{hit.rank:02d}-{_name(hit).name}") for hit in results]
    for _, target in targets:
        if target.exists():
            raise OutputExists(f"{target}: is there already; give --copy-to an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    for source, target in targets:
        shutil.copyfile(source, target)
    return tuple(target for _, target in targets)


def _name(hit: Hit) -> PurePosixPath:
    return PurePosixPath(from_text(hit.path))
