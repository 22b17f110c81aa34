"""Reading an index: one generation, whole, for as long as it is open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from indexer.annotations import AnnotatedItem, annotated_items
from indexer.blocks import Floats, FrameBlock, Halves, Ids, SoundBlock
from indexer.calibration import percentiles
from indexer.catalogue import Catalogue
from indexer.compact.codes import CodeFiles
from indexer.compact.effort import Effort, Side
from indexer.compact.engine import Answer, Engine, Keep
from indexer.compact.writing import read_bases
from indexer.conditional import rank_frames, rank_sounds
from indexer.errors import REBUILD_VECTORS, IndexCorrupt, IndexMissing, MapsMissing
from indexer.history import n_changes, next_id
from indexer.kept_maps import KeptMaps, kept_maps
from indexer.labels.errors import LabelsMissing
from indexer.labels.lookup import described, labels_of, set_rows, sets_of
from indexer.lookup import (
    BasisRow,
    Generation,
    ItemRow,
    Part,
    basis_rows,
    failure_rows,
    hidden_ids,
    item_boxes,
    item_rows,
    latest_generation,
    matching_ids,
    unknown_ids,
)
from indexer.neighbours import Neighbours, best_of
from indexer.parts import WIDTHS, has_codes, open_codes, part_folder, space_file
from indexer.paths import found_corpus, from_text
from indexer.plan import Box, FailureRow
from indexer.pseudo_labels import LabelSet, PseudoLabels
from indexer.storage import is_intact, open_checked
from indexer.store import SegmentStore
from indexer.terms import FrameTerm, SoundTerm, check_finite
from indexer.vectors import Chosen, Device, VectorIndex
from indexer.verify import named_files

if TYPE_CHECKING:
    from encoder.embedder import Embedder

Space = Literal["sound", "coarse", "own_sound"]
OPEN_TRIES = 5
"""A writer may publish, and sweep what was before, while a reader opens; so it looks again."""


class IndexReader:
    """One generation of an index, read-only; safe to share between threads.

    Deleted items are left out from the moment their deletion commits, whatever a caller allows.

    Examples
    --------
    >>> with IndexReader.open(Path("corpus/.retrieval")) as reader:
    ...     dogs = reader.allowed("label = 'dog'")
    ...     near = reader.nearest("sound", vector, 10, allowed=dogs)
    ...     rows = reader.rows(near.ids)
    """

    def __init__(
        self,
        path: Path,
        catalogue: Catalogue,
        generation: Generation,
        rows: dict[int, BasisRow],
    ) -> None:
        self.path, self._catalogue, self._generation = path, catalogue, generation
        self.corpus, self._basis_rows = found_corpus(generation.corpus, path), rows
        bases = read_bases(path, rows, generation.segments)
        self._store = SegmentStore(path, generation.segments, bases=bases)
        with ExitStack() as opened:
            opened.callback(self._store.close)
            self._files, self._codes = self._pinned(opened), self._code_files()
            opened.pop_all()
        self._vectors: dict[str, list[VectorIndex]] = {}
        self._prepared: Engine | None = None
        self._loading = Lock()
        self._hidden_at: tuple[int | None, Ids] = (None, np.empty(0, np.int64))

    @classmethod
    def open(cls, index_dir: Path) -> IndexReader:
        """Open the newest generation.

        Raises
        ------
        IndexMissing : no index, or none that was ever finished.
        IndexCorrupt : the catalogue or a file is damaged.
        """
        path = index_dir.absolute()
        catalogue = Catalogue.open(path)
        try:
            return cls._open(path, catalogue)
        except BaseException:
            catalogue.close()
            raise

    @classmethod
    def _open(cls, path: Path, catalogue: Catalogue) -> IndexReader:
        seen: Generation | None = None
        for _ in range(OPEN_TRIES):
            with catalogue.reading() as connection:
                generation, rows = latest_generation(connection), basis_rows(connection)
            if generation is None:
                raise IndexMissing(path, "the index was never finished")
            try:
                return cls(path, catalogue, generation, rows)
            except (IndexCorrupt, FileNotFoundError):
                if generation == seen:
                    raise
                seen = generation
        raise IndexCorrupt(path, "it changes faster than it can be opened", "try again")

    def close(self) -> None:
        """Let go of every file. What was handed out stays valid."""
        for files in self._files.values():
            for file in files:
                file.close()
        self._vectors.clear()
        if self._codes is not None:
            self._codes.close()
        self._store.close()
        self._catalogue.close()

    def __enter__(self) -> IndexReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── what it is ───────────────────────────────────────────────────────────────────────────

    @property
    def generation(self) -> int:
        return self._generation.id

    @property
    def encoder_fingerprint(self) -> str:
        return self._generation.edition.encoder_fingerprint

    @property
    def encoder_name(self) -> str:
        return self._generation.edition.encoder_name

    @property
    def grid(self) -> tuple[int, int]:
        """Cells (H', W') of the visual maps."""
        return self._generation.edition.grid

    @property
    def ids(self) -> Ids:
        """(n,) ids of all items that may be shown, ascending."""
        ids = self._store.ids
        return ids[self._keeper(None)(ids)]

    @property
    def n_items(self) -> int:
        return len(self.ids)

    def info(self) -> dict[str, Any]:
        """Return what `retrieval info` prints; values are JSON."""
        hidden = self._hidden()
        failures = self.failures()
        files = [
            record for files in self._generation.segments.values() for record in files.values()
        ]
        files += [record for part in self._generation.parts for record in part.files.values()]
        return {
            "path": str(self.path),
            "corpus": str(self.corpus),
            "generation": self.generation,
            "encoder": {"name": self.encoder_name, "fingerprint": self.encoder_fingerprint},
            "grid": list(self.grid),
            "n_items": self.n_items,
            "n_frames": len(np.setdiff1d(self._store.frame_ids, hidden)),
            "n_sounds": len(np.setdiff1d(self._store.sound_ids, hidden)),
            "n_segments": len(self._generation.segments),
            "n_failures": len(failures),
            "failures_by_code": _counted([failure.code for failure in failures]),
            "maps": asdict(self.kept_maps),
            "conditional": self._generation.efforts,
            "vectors": [
                {"part": part.id, "n_segments": len(part.segments)}
                | {space: part.facts.get(space) for space in WIDTHS}
                for part in self._generation.parts
            ],
            "bytes": sum(record.bytes for record in files),
        }

    @cached_property
    def kept_maps(self) -> KeptMaps:
        """What is kept of the frames, and how well the bases of compact maps still fit."""
        return kept_maps(self._generation.segments, self._basis_rows)

    @property
    def keeps_maps(self) -> bool:
        """Whether `frame_map` has the full map of every frame."""
        return self._store.keeps_maps

    def failures(self) -> list[FailureRow]:
        """Return every file that could not be used, by path."""
        with self._catalogue.reading() as connection:
            return failure_rows(connection, self._generation.edition.id)

    def verify(self) -> list[str]:
        """Read every byte of the index; return the paths of files that are damaged."""
        named = named_files(self._generation.segments, self._generation, self._basis_rows)
        return [name for name, record in named.items() if not is_intact(self.path / name, record)]

    # ── items ────────────────────────────────────────────────────────────────────────────────

    def rows(self, ids: Sequence[int] | Ids) -> list[ItemRow]:
        """Return the rows of these items, in the order asked; raises KeyError for an unknown id."""
        wanted = [int(item) for item in ids]
        with self._catalogue.reading() as connection:
            found = item_rows(connection, wanted)
        return [found[item] for item in wanted]

    def annotated(self, ids: Sequence[int] | Ids) -> list[AnnotatedItem]:
        """Return items with all that people say of them, in the order asked; raises KeyError."""
        wanted = [int(item) for item in ids]
        with self._catalogue.reading() as connection:
            found = annotated_items(connection, wanted)
        return [found[item] for item in wanted]

    def boxes(self, item: int) -> list[Box]:
        """Return the boxes that the manifest gave for the frame of an item."""
        with self._catalogue.reading() as connection:
            return item_boxes(connection, int(item))

    def label_sets(self) -> list[LabelSet]:
        """Return what labels the items have, by provider and version, the newest last."""
        shown = self.ids
        with self._catalogue.reading() as connection:
            return [described(connection, row, shown) for row in set_rows(connection)]

    def pseudo_labels(self, name: str, version: str | None = None) -> PseudoLabels:
        """Return what a provider says of the items that may be shown.

        Parameters
        ----------
        name : of the provider, as `label_sets` lists it.
        version : default the one that was begun last, of those that have labels.

        Raises
        ------
        LabelsMissing : there are no such labels; the message has the command that makes them.
        """
        shown = self.ids
        with self._catalogue.reading() as connection:
            for row in reversed(sets_of(connection, name, version)):
                found = labels_of(connection, row, shown, self.path)
                if found.image or found.audio:
                    return found
            there = set_rows(connection)
        raise LabelsMissing(self.path, name, version, there=[row.name for row in there])

    def locate(self, name: str) -> Path:
        """Return where `ItemRow.image` or `.audio` is, as the system can open it."""
        return self.corpus / from_text(name)

    def allowed(self, where: str | None) -> Ids | None:
        """Return the ids (n,) that a filter lets through, ascending; None where there is none.

        Raises
        ------
        FilterError : the text does not parse; see `indexer.where` for the grammar.
        """
        if where is None or not where.strip():
            return None
        with self._catalogue.reading() as connection:
            matching = matching_ids(connection, where)
        return np.intersect1d(matching, self.ids, assume_unique=True)

    # ── vectors ──────────────────────────────────────────────────────────────────────────────

    def sound_blocks(self, allowed: Ids | None = None) -> Iterator[SoundBlock]:
        """Yield all sounds that may be shown, block by block; h in float32."""
        keep = self._keeper(allowed)
        for block in self._store.sound_blocks():
            kept = keep(block.ids)
            if kept.all():
                yield block
            elif kept.any():
                yield SoundBlock(ids=block.ids[kept], f_s=block.f_s[kept], h=block.h[kept])

    def frame_blocks(self, allowed: Ids | None = None) -> Iterator[FrameBlock]:
        """Yield all frames that may be shown, block by block: views of the file where all are."""
        keep = self._keeper(allowed)
        for block in self._store.frame_blocks():
            kept = keep(block.ids)
            if kept.all():
                yield block
            elif kept.any():
                yield FrameBlock(
                    ids=block.ids[kept], maps=block.maps[kept], coarse=block.coarse[kept]
                )

    @property
    def sound_ids(self) -> Ids:
        """(n,) ids of all sounds that may be shown, ascending."""
        ids = self._store.sound_ids
        return ids[self._keeper(None)(ids)]

    @property
    def frame_ids(self) -> Ids:
        """(n,) ids of all frames that may be shown, ascending."""
        ids = self._store.frame_ids
        return ids[self._keeper(None)(ids)]

    @property
    def compact_ids(self) -> Ids:
        """(n,) ids of the frames that a compact map is kept of."""
        return self._store.compact_ids

    def compact_maps(self, ids: Ids) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return compact maps (k, C, 512) of frames by id, and the mean (512,) of a basis.

        Raises
        ------
        KeyError : no compact map is kept of one of them.
        """
        return self._store.compact_maps(ids)

    def nearest(
        self,
        space: Space,
        vector: NDArray[np.float32],
        k: int,
        allowed: Ids | None = None,
        device: Device = "cpu",
    ) -> Neighbours:
        """Return the k nearest to a unit vector (1000,): score descending, then id ascending.

        Parameters
        ----------
        space : `sound` (f_s), `coarse` (f_v of the frame alone), `own_sound` (f_v of the frame with
            the sound it came with).
        allowed : ids to choose from, as `allowed()` gives them.

        Raises
        ------
        InputError : the vector has NaN in it or another width.
        IndexCorrupt : the FAISS file is damaged.
        """
        hidden = self._hidden()
        chosen = None if allowed is None else Chosen(np.setdiff1d(allowed, hidden))
        found = [
            index.nearest(vector, k, allowed=chosen, excluded=hidden, device=device)
            for index in self._indexes(space)
        ]
        if len(found) == 1:
            return found[0]
        return best_of(((one.ids, one.scores) for one in found), k)

    def frame_map(self, item: int) -> Halves:
        """Return the visual map of an item, float16 (M, 512).

        Raises
        ------
        KeyError : the item has no frame.
        MapsMissing : the index does not keep it (`build-index --maps`).
        """
        if not self._store.has_map(int(item)):
            raise MapsMissing(self.path)
        visual_map: Halves = self._store.frame(int(item)).maps[0]
        return visual_map

    def sound(self, item: int) -> SoundBlock:
        """Return the sound of an item as a block of one; raises KeyError without a sound."""
        return self._store.sound(int(item))

    def vectors(self, space: Space) -> Iterator[tuple[Ids, Floats]]:
        """Yield ids (n,) and unit vectors (n, 1000) of what may be shown, block by block."""
        keep = self._keeper(None)
        for ids, vectors in self._store.vectors(space):
            kept = keep(ids)
            if kept.any():
                yield ids[kept], vectors[kept]

    def answer(
        self,
        embedder: Embedder,
        terms: Sequence[FrameTerm | SoundTerm],
        k: int,
        allowed: Ids | None = None,
        *,
        exact: bool = False,
    ) -> Answer:
        """Return the k items that score highest by the weighted mean of terms, all of one kind.

        Parameters
        ----------
        terms : of pictures or of sounds (`indexer.terms`); at least one.
        allowed : ids to choose from, as `allowed()` gives them.
        exact : score every item in full, whatever was measured (`indexer.conditional`).

        Raises
        ------
        InputError : a term has NaN in it.
        """
        check_finite(terms)
        frames = [term for term in terms if isinstance(term, FrameTerm)]
        sounds = [term for term in terms if isinstance(term, SoundTerm)]
        if bool(frames) == bool(sounds):
            raise ValueError("terms: give some, all of pictures or all of sounds")
        effort = None if exact else self.effort("frames" if frames else "sounds")
        if effort is not None and self._codes is not None:
            engine, keep = self._engine(embedder, self._codes), self._shown(allowed)
            if frames:
                return engine.frames(frames, k, effort, keep)
            return engine.sounds(sounds, k, effort, keep)
        if frames:
            found = rank_frames(embedder, frames, self.frame_blocks(allowed), k)
        else:
            found = rank_sounds(embedder, sounds, self.sound_blocks(allowed), k)
        return Answer(neighbours=found, exact=not frames or self._store.keeps_maps)

    def effort(self, side: Side) -> Effort | None:
        """Return how `frames` or `sounds` are searched; None where each item is scored in full."""
        values = self._generation.efforts.get(side)
        if side == "frames" and not self._store.can_scan:
            return None
        effort = None if values is None else Effort.from_json(values)
        return None if effort is None or effort.is_exact else effort

    def percentiles(self, ranking: str, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the share of random pairs that score lower, (n,) in [0, 100].

        NaN where the collection has no such pairs, as a gallery of pictures without one sound.
        """
        return percentiles(self._generation.calibration, ranking, scores)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _hidden(self) -> Ids:
        """Ask anew each time whether it changed: a deletion holds from its commit on."""
        with self._catalogue.reading() as connection:
            now = n_changes(connection)
            known, hidden = self._hidden_at
            if now is None or now != known:
                hidden = hidden_ids(connection, self.generation)
                if next_id(connection, "generation") > self.generation + 1:  # cleared away since
                    hidden = np.union1d(hidden, unknown_ids(connection, self._store.ids))
                self._hidden_at = (now, hidden)
        return hidden

    def _keeper(self, allowed: Ids | None, hidden: Ids | None = None) -> Keep:
        """Return what says for ids (n,) of this generation which may be shown: a bool per id."""
        n_ids = int(self._store.ids[-1]) + 1 if len(self._store.ids) else 0
        shown = np.full(n_ids, allowed is None, dtype=np.bool_)
        if allowed is not None:
            shown[allowed[allowed < n_ids]] = True
        hidden = self._hidden() if hidden is None else hidden
        shown[hidden[hidden < n_ids]] = False
        return lambda ids: shown[ids]

    def _pinned(self, opened: ExitStack) -> dict[str, list[BinaryIO]]:
        """Open the FAISS files now: a generation that is swept later stays readable."""

        def pinned(part: Part, name: str) -> BinaryIO:
            path = part_folder(self.path, part.id) / name
            file = open_checked(path, part.files[name], remedy=REBUILD_VECTORS)
            return opened.enter_context(file)

        names = {space: space_file(space) for space in WIDTHS}
        return {
            space: [pinned(part, name) for part in self._generation.parts]
            for space, name in names.items()
        }

    def _engine(self, embedder: Embedder, codes: CodeFiles) -> Engine:
        """Prepare the last layers once for each embedder that asks, usually one."""
        with self._loading:
            if self._prepared is None or self._prepared.embedder is not embedder:
                self._prepared = Engine(self._store, codes, embedder, self.grid)
            return self._prepared

    def _shown(self, allowed: Ids | None) -> Keep | None:
        hidden = self._hidden()
        return None if allowed is None and not len(hidden) else self._keeper(allowed, hidden)

    def _code_files(self) -> CodeFiles | None:
        return open_codes(self.path, self._generation) if has_codes(self._generation) else None

    def _indexes(self, space: Space) -> list[VectorIndex]:
        """Read the FAISS files of a space, one of each part, when it is first asked for."""
        with self._loading:
            if space not in self._vectors:
                files = zip(self._generation.parts, self._files[space], strict=True)
                vectors_of = partial(self._store.vectors_of, space)
                self._vectors[space] = [
                    VectorIndex.read(file, Path(file.name), part.facts.get(space), vectors_of)
                    for part, file in files
                ]
            return self._vectors[space]


def _counted(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}
