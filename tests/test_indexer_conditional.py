"""The exact conditional rankings against loops over single pairs, straight from definitions §3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from indexer_fixtures import frame_block, sound_block

from encoder.embedder import Embedder
from indexer.blocks import FrameBlock, SoundBlock
from indexer.conditional import rank_frames, rank_sounds
from indexer.neighbours import Neighbours
from indexer.terms import (
    frames_for_sound,
    frames_like,
    keep_audio,
    keep_image,
    sounds_for_frame,
    sounds_like,
)

RNG = np.random.default_rng(7)
FRAMES = frame_block(RNG, list(range(30, 0, -1)))
SOUNDS = sound_block(RNG, list(range(100, 120)))
MAP, H, F_S = FRAMES.maps[3], SOUNDS.h[2], SOUNDS.f_s[2]


def frame_blocks(size: int = 7) -> list[FrameBlock]:
    cuts = [slice(i, i + size) for i in range(0, len(FRAMES.ids), size)]
    return [
        FrameBlock(ids=FRAMES.ids[c], maps=FRAMES.maps[c], coarse=FRAMES.coarse[c]) for c in cuts
    ]


def sound_blocks(size: int = 6) -> list[SoundBlock]:
    cuts = [slice(i, i + size) for i in range(0, len(SOUNDS.ids), size)]
    return [SoundBlock(ids=SOUNDS.ids[c], f_s=SOUNDS.f_s[c], h=SOUNDS.h[c]) for c in cuts]


def f_v(embedder: Embedder, visual_map: np.ndarray, h: np.ndarray) -> np.ndarray:
    return embedder.condition(visual_map[None], h[None]).f_v[0]


def assert_ranked(found: Neighbours, ids: np.ndarray, scores: list[float], k: int) -> None:
    order = sorted(range(len(ids)), key=lambda n: (-round(scores[n], 6), ids[n]))[:k]
    assert len(found.ids) == min(k, len(ids))
    np.testing.assert_allclose(found.scores, [scores[n] for n in order], atol=2e-6)
    score_of = dict(zip(ids.tolist(), scores, strict=True))
    for item, score in zip(found.ids.tolist(), found.scores, strict=True):
        assert score_of[item] == pytest.approx(float(score), abs=2e-6)


@pytest.mark.parametrize("k", [1, 9, 500])
def test_rank_frames_is_the_loop(tiny_embedder: Embedder, k: int) -> None:
    query = SoundBlock(ids=SOUNDS.ids[2:3], f_s=SOUNDS.f_s[2:3], h=SOUNDS.h[2:3])
    scores = [float(f_v(tiny_embedder, m, H) @ F_S) for m in FRAMES.maps]
    found = rank_frames(tiny_embedder, [frames_for_sound(query)], frame_blocks(), k)
    assert_ranked(found, FRAMES.ids, scores, k)


@pytest.mark.parametrize("k", [1, 9, 500])
def test_rank_sounds_is_the_loop(tiny_embedder: Embedder, k: int) -> None:
    scores = [
        float(f_v(tiny_embedder, MAP, h) @ f_s) for h, f_s in zip(SOUNDS.h, SOUNDS.f_s, strict=True)
    ]
    assert_ranked(
        rank_sounds(tiny_embedder, [sounds_for_frame(MAP)], sound_blocks(), k),
        SOUNDS.ids,
        scores,
        k,
    )


def test_associations_are_the_loops(tiny_embedder: Embedder) -> None:
    asked = f_v(tiny_embedder, MAP, H)
    by_sound = [float(asked @ f_v(tiny_embedder, MAP, h)) for h in SOUNDS.h]
    by_frame = [float(asked @ f_v(tiny_embedder, m, H)) for m in FRAMES.maps]
    sounds = rank_sounds(tiny_embedder, [keep_image(tiny_embedder, MAP, H)], sound_blocks(), 8)
    frames = rank_frames(tiny_embedder, [keep_audio(tiny_embedder, MAP, H)], frame_blocks(), 8)
    assert_ranked(sounds, SOUNDS.ids, by_sound, 8)
    assert_ranked(frames, FRAMES.ids, by_frame, 8)
    # The pair itself stands first: the same frame under the same sound.
    assert (sounds.ids[0], frames.ids[0]) == (SOUNDS.ids[2], FRAMES.ids[3])


@pytest.mark.parametrize("size", [1, 4, 30])
def test_the_cut_into_blocks_changes_nothing(tiny_embedder: Embedder, size: int) -> None:
    query = SoundBlock(ids=SOUNDS.ids[:1], f_s=SOUNDS.f_s[:1], h=SOUNDS.h[:1])
    whole = rank_frames(tiny_embedder, [frames_for_sound(query)], [FRAMES], 12)
    cut = rank_frames(tiny_embedder, [frames_for_sound(query)], frame_blocks(size), 12)
    np.testing.assert_allclose(cut.scores, whole.scores, atol=2e-6)
    assert set(cut.ids) == set(whole.ids)


def test_duplicates_come_by_id(tiny_embedder: Embedder) -> None:
    twins = FrameBlock(
        ids=np.array([9, 4, 7]), maps=FRAMES.maps[[0, 0, 0]], coarse=FRAMES.coarse[[0, 0, 0]]
    )
    query = SoundBlock(ids=SOUNDS.ids[:1], f_s=SOUNDS.f_s[:1], h=SOUNDS.h[:1])
    assert rank_frames(tiny_embedder, [frames_for_sound(query)], [twins], 2).ids.tolist() == [4, 7]


RANKINGS: list[Callable[[Embedder], Neighbours]] = [
    lambda e: rank_frames(e, [frames_for_sound(SOUNDS)], [], 5),
    lambda e: rank_sounds(e, [sounds_for_frame(MAP)], [], 5),
    lambda e: rank_sounds(e, [keep_image(e, MAP, H)], [], 5),
    lambda e: rank_frames(e, [keep_audio(e, MAP, H)], [], 5),
]


@pytest.mark.parametrize("ranking", RANKINGS)
def test_an_empty_gallery_has_no_answer(
    tiny_embedder: Embedder, ranking: Callable[[Embedder], Neighbours]
) -> None:
    assert ranking(tiny_embedder).ids.size == 0


def test_terms_are_averaged_by_their_weights(tiny_embedder: Embedder) -> None:
    query = SoundBlock(ids=SOUNDS.ids[2:3], f_s=SOUNDS.f_s[2:3], h=SOUNDS.h[2:3])
    towards, away = frames_for_sound(query), frames_like(FRAMES.coarse[5])
    scores = [
        (0.5 * float(f_v(tiny_embedder, m, H) @ F_S) - 1.5 * float(coarse @ FRAMES.coarse[5])) / 2
        for m, coarse in zip(FRAMES.maps, FRAMES.coarse, strict=True)
    ]
    terms = [replace(towards, weight=0.5), replace(away, weight=-1.5)]
    assert_ranked(rank_frames(tiny_embedder, terms, frame_blocks(), 9), FRAMES.ids, scores, 9)


def test_terms_of_sounds_are_averaged_too(tiny_embedder: Embedder) -> None:
    looked = [
        float(f_v(tiny_embedder, MAP, h) @ f) for h, f in zip(SOUNDS.h, SOUNDS.f_s, strict=True)
    ]
    scores = [(a + 3 * float(f @ F_S)) / 4 for a, f in zip(looked, SOUNDS.f_s, strict=True)]
    terms = [sounds_for_frame(MAP), replace(sounds_like(F_S), weight=3.0)]
    assert_ranked(rank_sounds(tiny_embedder, terms, sound_blocks(), 9), SOUNDS.ids, scores, 9)


@pytest.mark.parametrize("weights", [(), (0.0,), (1.0, float("inf")), (float("nan"),)])
def test_weights_that_say_nothing_are_refused(
    tiny_embedder: Embedder, weights: tuple[float, ...]
) -> None:
    terms = [replace(frames_like(F_S), weight=weight) for weight in weights]
    with pytest.raises(ValueError, match="give finite ones, not all 0"):
        rank_frames(tiny_embedder, terms, frame_blocks(), 3)
