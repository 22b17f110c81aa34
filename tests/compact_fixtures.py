"""Networks of both mechanisms, and random blocks that lie in few directions, as real ones do."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.config import F_S, D, tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.blocks import FrameBlock, SoundBlock
from indexer.catalogue import Catalogue
from indexer.compact.scan import Head
from indexer.compact.writing import compact_segments
from indexer.history import all_editions, next_id
from indexer.ledger import ItemRecord, SegmentRecord, add_edition, commit_segment
from indexer.options import MapForm
from indexer.plan import FramePart, PlannedItem, SoundPart, Source
from indexer.publish import publish_generation
from indexer.segments import SegmentRows, SegmentWriter
from indexer.store import segment_folder

MECHANISMS = [("cos", True), ("cos", False), ("relu", True), ("relu", False)]
"""Attention of S19 eq. 2 or 3, with a learned scale or, as there, with none."""


@cache
def embedder_of(attention: str, learned_scale: bool, *, log_scale: float = 2.5) -> Embedder:
    """Return the tiny network with a mechanism, its weights random, its biases not 0."""
    config = replace(tiny(), attention=attention, learned_scale=learned_scale)  # type: ignore[arg-type]
    network = TwoStreamEncoder(config, seed=3)
    with torch.no_grad():
        for layer in (network.fc_z1, network.fc_z2):
            layer.bias.normal_(0, 0.3, generator=torch.Generator().manual_seed(5))
        if learned_scale:
            network.log_scale.fill_(log_scale)
    return Embedder(network, name="tiny", device="cpu")


def head_of(embedder: Embedder, *, dtype: torch.dtype = torch.float32) -> Head:
    """Return its last layers in a type of our choice, whatever the processor has."""
    head = Head(embedder.network, embedder.device)
    head.dtype = dtype
    head.first, head.first_bias = (part.to(dtype) for part in head.first_exact)
    head.gram = (head.last.T @ head.last).to(dtype)
    return head


def few_directions(
    rng: np.random.Generator, shape: tuple[int, ...], width: int, n: int
) -> NDArray[np.float32]:
    """Return vectors (*shape, width) that lie, about a mean, in n directions."""
    axes, mean = rng.normal(size=(n, width)), 0.4 * rng.normal(size=width)
    weights = rng.normal(size=(*shape, n)) * np.linspace(1, 0.2, n) / np.sqrt(n)
    return (weights @ axes + mean).astype(np.float32)


def frames_of(rng: np.random.Generator, n: int, n_cells: int, *, first: int = 1) -> FrameBlock:
    """Return frames of 24 directions, with ids from `first` on."""
    coarse = few_directions(rng, (n,), F_S, 24)
    return FrameBlock(
        ids=np.arange(first, first + n),
        maps=few_directions(rng, (n, n_cells), D, 24).astype(np.float16),
        coarse=coarse / np.linalg.norm(coarse, axis=1, keepdims=True),
    )


def even_maps(rng: np.random.Generator, n: int, grid: tuple[int, int]) -> NDArray[np.float16]:
    """Return maps (n, M, 512) whose blocks hold equal cells, so that pooling loses nothing."""
    rows, columns = -(-grid[0] // 2), -(-grid[1] // 2)
    blocks = frames_of(rng, n, rows * columns).maps.reshape(n, rows, columns, D)
    cells = blocks.repeat(2, axis=1).repeat(2, axis=2)[:, : grid[0], : grid[1]]
    return np.ascontiguousarray(cells).reshape(n, grid[0] * grid[1], D)


def sounds_of(rng: np.random.Generator, n: int, *, first: int = 1) -> SoundBlock:
    """Return sounds of 24 directions, with ids from `first` on."""
    f_s = few_directions(rng, (n,), F_S, 24)
    return SoundBlock(
        ids=np.arange(first, first + n),
        f_s=f_s / np.linalg.norm(f_s, axis=1, keepdims=True),
        h=few_directions(rng, (n,), D, 24),
    )


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What an index of random vectors is made of: an id that stands in both has both sides."""

    frames: FrameBlock
    sounds: SoundBlock
    grid: tuple[int, int] = (4, 4)

    @classmethod
    def drawn(
        cls,
        seed: int,
        *,
        n_pairs: int = 0,
        n_frames: int = 0,
        n_sounds: int = 0,
        grid: tuple[int, int] = (4, 4),
    ) -> Gallery:
        """Return pairs first, then lone frames, then lone sounds, with ids from 1 on."""
        rng = np.random.default_rng(seed)
        frames = frames_of(rng, n_pairs + n_frames, 1)
        frames = replace(frames, maps=even_maps(rng, n_pairs + n_frames, grid))
        sounds = sounds_of(rng, n_pairs + n_sounds)
        ids = np.r_[1 : n_pairs + 1, n_pairs + n_frames + 1 : n_pairs + n_frames + n_sounds + 1]
        return cls(frames=frames, sounds=replace(sounds, ids=ids.astype(np.int64)), grid=grid)

    def with_copies(self, of: int, at: Sequence[int]) -> Gallery:
        """Return it with the frame and the sound of rows `at` the same as that of row `of`."""
        frames, sounds = deepcopy(self.frames), deepcopy(self.sounds)
        for array in (frames.maps, frames.coarse, sounds.f_s, sounds.h):
            array[list(at)] = array[of]
        return replace(self, frames=frames, sounds=sounds)


def write_index(
    folder: Path,
    embedder: Embedder,
    gallery: Gallery,
    *,
    n_segments: int = 1,
    form: MapForm = "full",
    min_recall: float = 0.0,
) -> Path:
    """Write an index of random vectors, as a build would; f_v⁰ is the encoder's."""
    with torch.inference_mode():
        coarse = embedder.network.coarse(torch.from_numpy(gallery.frames.maps).float())
    unit = torch.nn.functional.normalize(coarse, dim=1).numpy()
    gallery = replace(gallery, frames=replace(gallery.frames, coarse=unit))
    folder.mkdir(parents=True)
    with Catalogue.create(folder, corpus="..") as catalogue:
        with catalogue.writing() as connection:
            edition = add_edition(
                connection, fingerprint=embedder.fingerprint, name="tiny", grid=gallery.grid
            )
        ids = np.union1d(gallery.frames.ids, gallery.sounds.ids)
        for first in range(n_segments):  # ids need not ascend from segment to segment
            _write_segment(folder, catalogue, edition.id, gallery, ids[first::n_segments])
        compact_segments(folder, catalogue, edition, form)
        publish_generation(folder, catalogue, edition, embedder, min_recall=min_recall)
    return folder


def _write_segment(
    folder: Path, catalogue: Catalogue, edition: int, gallery: Gallery, ids: NDArray[np.int64]
) -> None:
    with catalogue.reading() as connection:
        number = next_id(connection, "segment")
    segment_folder(folder, number).mkdir(parents=True)
    writer = SegmentWriter(segment_folder(folder, number), gallery.grid[0] * gallery.grid[1])
    seen, heard = np.isin(gallery.frames.ids, ids), np.isin(gallery.sounds.ids, ids)
    frames = FrameBlock(
        ids=gallery.frames.ids[seen],
        maps=gallery.frames.maps[seen],
        coarse=gallery.frames.coarse[seen],
    )
    sounds = SoundBlock(
        ids=gallery.sounds.ids[heard], f_s=gallery.sounds.f_s[heard], h=gallery.sounds.h[heard]
    )
    writer.append(
        SegmentRows(
            sounds=sounds,
            frames=frames,
            own_sound=frames.coarse,
            heard=np.isin(frames.ids, gallery.sounds.ids),
        )
    )
    items = [
        _item(int(n), has_frame=n in gallery.frames.ids, has_sound=n in gallery.sounds.ids)
        for n in ids
    ]
    record = SegmentRecord(
        id=number, edition=edition, files=writer.finish(), items=items, digests={}
    )
    with catalogue.writing() as connection:
        commit_segment(connection, record)


def _item(number: int, *, has_frame: bool, has_sound: bool) -> ItemRecord:
    image = Source(path=f"{number:04d}.png", kind="image", size=1, mtime_ns=1)
    audio = Source(path=f"{number:04d}.wav", kind="audio", size=1, mtime_ns=1)
    plan = PlannedItem(
        key=str(number),
        kind="pair" if has_frame and has_sound else "image" if has_frame else "audio",
        frame=FramePart(source=image) if has_frame else None,
        sound=SoundPart(source=audio) if has_sound else None,
        label=f"label{number % 5}",
    )
    return ItemRecord(
        plan=plan, id=number, has_frame=has_frame, has_sound=has_sound, t0=0.0, t1=1.0
    )


def keep_less(folder: Path, form: MapForm) -> None:
    """Give up maps of an index, as a build does that is told to."""
    with Catalogue.create(folder, corpus="..") as catalogue:
        with catalogue.reading() as connection:
            (edition,) = all_editions(connection)
        compact_segments(folder, catalogue, edition, form)
