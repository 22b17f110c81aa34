"""Scores from codes against the exact formula over what the codes stand for."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from compact_fixtures import (
    MECHANISMS,
    embedder_of,
    even_maps,
    few_directions,
    frames_of,
    head_of,
    sounds_of,
)
from numpy.typing import NDArray

from encoder.embedder import Embedder
from indexer.blocks import FrameBlock, SoundBlock
from indexer.compact.codes import unit
from indexer.compact.maps import compress, fit_basis, pooled, restored
from indexer.compact.projection import Projection
from indexer.compact.scan import ChordScan, FrameScan, KeptScan, SoundScan, on_cores
from indexer.conditional import score_frames, score_sounds
from indexer.terms import frames_for_sound, keep_audio, keep_image, sounds_for_frame

CLOSE = 2e-5
"""In float32: norms are kept in half precision, scores of the twin are rounded to 6 digits."""
IN_BFLOAT16 = 1e-3
"""bfloat16 has 8 bits, but hundreds of roundings average out. What a sound does to a score is
2e-3 with a learned scale and 2e-4 without one."""
GRIDS = [(4, 4), (1, 6), (5, 3)]
TYPES = [(torch.float32, CLOSE), (torch.bfloat16, IN_BFLOAT16)]


@pytest.fixture(params=MECHANISMS, ids=lambda m: f"{m[0]}-{'learned' if m[1] else 'plain'}")
def embedder(request: pytest.FixtureRequest) -> Embedder:
    return embedder_of(*request.param)


@pytest.mark.parametrize(("dtype", "close"), TYPES)
@pytest.mark.parametrize("grid", GRIDS)
def test_frames_score_what_their_compact_maps_stand_for(
    embedder: Embedder, grid: tuple[int, int], dtype: torch.dtype, close: float
) -> None:
    rng = np.random.default_rng(1)
    frames, sounds = frames_of(rng, 30, grid[0] * grid[1]), sounds_of(rng, 3)
    basis = fit_basis(frames.maps, grid)
    block = compress(basis, frames.ids, frames.maps, grid)
    stands_for = FrameBlock(ids=block.ids, maps=restored(basis, block), coarse=frames.coarse)
    silence = np.zeros(512, np.float32)
    terms = [
        frames_for_sound(sounds),
        replace(frames_for_sound(sounds), h=silence),
        keep_audio(embedder, frames.maps[2], sounds.h[1]),
    ]
    for term in terms:
        scores = FrameScan.of(head_of(embedder, dtype=dtype), basis, term)(block)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, score_frames(embedder, [term], stands_for), atol=close)


@pytest.mark.parametrize("grid", GRIDS)
def test_compact_scores_are_near_those_of_full_maps(
    embedder: Embedder, grid: tuple[int, int]
) -> None:
    rng = np.random.default_rng(2)
    cell = frames_of(rng, 30, 1).maps
    even = np.repeat(cell, grid[0] * grid[1], axis=1)  # pooling loses nothing of an even map
    frames = FrameBlock(ids=np.arange(30), maps=even, coarse=frames_of(rng, 30, 1).coarse)
    term = frames_for_sound(sounds_of(rng, 1))
    basis = fit_basis(frames.maps, grid)
    block = compress(basis, frames.ids, frames.maps, grid)
    scores = FrameScan.of(head_of(embedder), basis, term)(block)
    np.testing.assert_allclose(scores, score_frames(embedder, [term], frames), atol=2e-3)


def test_a_frame_scores_the_same_wherever_it_stands(embedder: Embedder) -> None:
    rng = np.random.default_rng(3)
    frames = frames_of(rng, 9, 16)
    basis = fit_basis(frames.maps, (4, 4))
    block = compress(basis, frames.ids, frames.maps, (4, 4))
    scan = FrameScan.of(head_of(embedder), basis, frames_for_sound(sounds_of(rng, 1)))
    together = scan(block)
    for row in range(9):
        np.testing.assert_allclose(scan(block.take(np.array([row]))), together[row], atol=2e-6)


# ── sounds ───────────────────────────────────────────────────────────────────────────────────────


def projections_of(sounds: SoundBlock, rank: int = 64) -> tuple[Projection, Projection]:
    """Return those of h̄ and of f_s."""
    return Projection.fit(unit(sounds.h), rank), Projection.fit(sounds.f_s, rank)


def rebuilt(sounds: SoundBlock, h: Projection, f_s: Projection) -> SoundBlock:
    """Return what the codes of sounds stand for."""
    return SoundBlock(
        ids=sounds.ids,
        f_s=f_s.rows(f_s.codes(sounds.f_s)),
        h=h.rows(h.codes(unit(sounds.h))),
    )


@pytest.mark.parametrize(("dtype", "close"), TYPES)
@pytest.mark.parametrize("grid", [(4, 4), (2, 6)])
def test_sounds_score_what_their_codes_stand_for(
    embedder: Embedder, grid: tuple[int, int], dtype: torch.dtype, close: float
) -> None:
    rng = np.random.default_rng(4)
    sounds = sounds_of(rng, 50)
    h, f_s = projections_of(sounds)
    stands_for = rebuilt(sounds, h, f_s)
    codes = f_s.codes(sounds.f_s), h.codes(unit(sounds.h))
    visual_map = even_maps(rng, 1, grid)[0]
    given = replace(sounds_for_frame(visual_map), target=sounds.f_s[3])
    for term in (sounds_for_frame(visual_map), given):
        scan = SoundScan.of(head_of(embedder, dtype=dtype), h, f_s, term, grid)
        expected = score_sounds(embedder, [term], stands_for)
        np.testing.assert_allclose(scan(*codes), expected, atol=max(close, 2e-4))


def test_sounds_score_by_the_formula_of_the_small_space(embedder: Embedder) -> None:
    """In float32 the scan is the network, with h̄ as its code gives it: not quite of length 1."""
    rng = np.random.default_rng(5)
    sounds, grid = sounds_of(rng, 50), (5, 3)
    h, f_s = projections_of(sounds)
    stands_for = rebuilt(sounds, h, f_s)
    visual_map = frames_of(rng, 1, 15).maps
    blocks = torch.from_numpy(pooled(visual_map, grid)[0])
    network = embedder.network
    with torch.inference_mode():
        g = torch.from_numpy(stands_for.h) @ torch.nn.functional.normalize(blocks, dim=1).T
        g = g.relu() if network.config.attention == "relu" else g
        z = torch.softmax(network.scale * g, dim=1) @ blocks
        f_v = torch.nn.functional.normalize(network.embed_z(z), dim=1).numpy()
    scan = SoundScan.of(head_of(embedder), h, f_s, sounds_for_frame(visual_map[0]), grid)
    scores = scan(f_s.codes(sounds.f_s), h.codes(unit(sounds.h)))
    np.testing.assert_allclose(scores, np.einsum("nd,nd->n", f_v, stands_for.f_s), atol=CLOSE)


def test_a_frame_of_no_grid_is_looked_at_as_it_is(embedder: Embedder) -> None:
    rng = np.random.default_rng(6)
    sounds = sounds_of(rng, 20)
    h, f_s = projections_of(sounds)
    codes = f_s.codes(sounds.f_s), h.codes(unit(sounds.h))
    term = sounds_for_frame(frames_of(rng, 1, 7).maps[0])
    scores = SoundScan.of(head_of(embedder), h, f_s, term, (4, 4))(*codes)
    expected = score_sounds(embedder, [term], rebuilt(sounds, h, f_s))
    np.testing.assert_allclose(scores, expected, atol=2e-4)


# ── sounds along chords ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, CLOSE), (torch.bfloat16, 5e-3)])
def test_chords_are_means_of_what_the_cells_give(
    embedder: Embedder, dtype: torch.dtype, close: float
) -> None:
    rng = np.random.default_rng(12)
    sounds, visual_map = sounds_of(rng, 40), frames_of(rng, 1, 7).maps[0]
    h, f_s = projections_of(sounds)
    stand_for = rebuilt(sounds, h, f_s)
    network, cells = embedder.network, torch.from_numpy(visual_map).float()
    with torch.inference_mode():
        g = torch.from_numpy(stand_for.h) @ torch.nn.functional.normalize(cells, dim=1).T
        g = g.relu() if network.config.attention == "relu" else g
        f_v = torch.softmax(network.scale * g, dim=1) @ network.embed_z(cells)
        f_v = torch.nn.functional.normalize(f_v, dim=1).numpy()
    term = sounds_for_frame(visual_map)
    for asked, target in (
        (term, stand_for.f_s),
        (replace(term, target=sounds.f_s[3]), sounds.f_s[[3]]),
    ):
        scan = ChordScan.of(head_of(embedder, dtype=dtype), h, f_s, asked, (4, 4))
        scores = scan(f_s.codes(sounds.f_s), h.codes(unit(sounds.h)))
        expected = (f_v * target).sum(axis=1)
        np.testing.assert_allclose(scores, expected, atol=close)


def test_chords_of_a_frame_of_one_cell_are_exact(embedder: Embedder) -> None:
    rng = np.random.default_rng(13)
    sounds, term = sounds_of(rng, 40), sounds_for_frame(frames_of(rng, 1, 1).maps[0])
    h, f_s = projections_of(sounds)
    codes = f_s.codes(sounds.f_s), h.codes(unit(sounds.h))
    near = ChordScan.of(head_of(embedder), h, f_s, term, (1, 1))(*codes)
    expected = score_sounds(embedder, [term], rebuilt(sounds, h, f_s))
    np.testing.assert_allclose(near, expected, atol=CLOSE)


# ── sounds that act alike in a frame ─────────────────────────────────────────────────────────────


def heard_in(rng: np.random.Generator, visual_map: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return an h (512,) that the cells of a map respond to, each in its own measure."""
    weights = rng.uniform(0, 1, len(visual_map)).astype(np.float32)
    return weights @ visual_map.astype(np.float32)


def around(h: NDArray[np.float32], n: int, size: float) -> SoundBlock:
    """Return sounds whose h is the given one, and it moved by `size` of its length."""
    steps = few_directions(np.random.default_rng(8), (n,), 512, 20)
    steps *= size * np.linalg.norm(h) / np.linalg.norm(steps, axis=1, keepdims=True)
    moved = np.concatenate([h[None], h + steps]).astype(np.float32)
    f_s = sounds_of(np.random.default_rng(8), n + 1).f_s
    return SoundBlock(ids=np.arange(n + 1), f_s=f_s, h=moved)


def kept(
    embedder: Embedder, sounds: SoundBlock, visual_map: NDArray[np.float16]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return 1 - cos of sounds with the first of them, to first order and exactly, in float64."""
    h = Projection.fit(unit(sounds.h), 64)
    codes = h.codes(unit(sounds.h))
    stand_for = h.rows(codes)
    term = keep_image(embedder, visual_map, stand_for[0])
    scan = KeptScan.of(head_of(embedder), h, term, (4, 4))
    network = deepcopy(embedder.network).double()
    with torch.inference_mode():
        f_v = network.condition(
            torch.from_numpy(visual_map[None].astype(np.float64)),
            torch.from_numpy(stand_for.astype(np.float64)),
        ).f_v
        f_v = torch.nn.functional.normalize(f_v, dim=1)
        exact = torch.square(f_v - f_v[0]).sum(dim=1).numpy() / 2
    return 1 - scan(codes, codes), exact


@pytest.mark.parametrize("attention", ["cos", "relu"])
def test_the_first_order_is_right(attention: str) -> None:
    """What the first order leaves of a distance grows with it."""
    embedder, rng = embedder_of(attention, True), np.random.default_rng(9)
    visual_map = even_maps(rng, 1, (4, 4))[0]
    h, means = heard_in(rng, visual_map), []
    for size in (0.3, 0.1):
        near, exact = kept(embedder, around(h, 40, size), visual_map)
        assert near[0] == pytest.approx(0, abs=1e-6)
        assert exact[1:].min() > 1e-6
        np.testing.assert_allclose(near[1:], exact[1:], rtol=size, atol=3e-7)
        means.append(exact[1:].mean())
    assert means[0] / means[1] == pytest.approx(9, rel=0.3)


@pytest.mark.parametrize("attention", ["cos", "relu"])
def test_sounds_that_act_alike_come_in_the_exact_order(attention: str) -> None:
    rng = np.random.default_rng(10)
    near, exact = kept(
        embedder_of(attention, True), sounds_of(rng, 60), even_maps(rng, 1, (4, 4))[0]
    )
    assert near.argmin() == exact.argmin() == 0
    best = set(np.argsort(exact)[:10].tolist())
    assert len(best & set(np.argsort(near)[:20].tolist())) == 10


def test_far_scores_stay_cosines() -> None:
    embedder = embedder_of("cos", True, log_scale=3.9)
    rng = np.random.default_rng(11)
    sounds = sounds_of(rng, 60)
    h = Projection.fit(unit(sounds.h), 64)
    visual_map = (100 * even_maps(rng, 1, (4, 4))[0].astype(np.float32)).astype(np.float16)
    scan = KeptScan.of(head_of(embedder), h, keep_image(embedder, visual_map, sounds.h[0]), (4, 4))
    codes = h.codes(unit(-3 * sounds.h))
    assert scan(codes, codes).min() >= -1


# ── cores ────────────────────────────────────────────────────────────────────────────────────────


def test_parts_come_back_in_order_and_errors_come_through() -> None:
    assert on_cores(lambda n: n * n, range(40)) == [n * n for n in range(40)]
    assert on_cores(str, []) == []
    with pytest.raises(ZeroDivisionError):
        on_cores(lambda n: 1 // n, [1, 0, 1])
