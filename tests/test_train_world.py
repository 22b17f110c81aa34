"""The made world: what it claims about itself is checked against its own pixels and samples."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from train.world import (
    AMBIENT_SOUNDS,
    KINDS,
    Box,
    Scene,
    WorldConfig,
    WorldError,
    make_clip,
    make_panorama,
    make_scene,
    make_sound,
)
from train.world.config import Stream, generator
from train.world.layout import ScenePlan, plan_scene
from train.world.looks import LOOKS
from train.world.panorama import paste_on_sphere, scenery, sphere
from train.world.props import PROPS
from train.world.scenes import set_stage, shoot
from train.world.sprites import Sprite, draw
from train.world.synthesis import _fast_length, band, modes, shaped_noise
from train.world.voices import VOICES

SMALL = WorldConfig(
    frame_px=96, sound_s=1.0, rate_hz=8_000, panorama_px=96, video_s=1.0, n_videos=2, n_panoramas=1
)
LONE = replace(SMALL, two_source_share=0.0, offscreen_share=0.0, ambient_share=0.0)
PAIRS = replace(SMALL, two_source_share=1.0, offscreen_share=0.0, ambient_share=0.0)


def same(a: Scene, b: Scene) -> bool:
    return (
        np.array_equal(a.image, b.image)
        and np.array_equal(a.waveform, b.waveform)
        and a.sounds.keys() == b.sounds.keys()
        and all(np.array_equal(a.sounds[kind], b.sounds[kind]) for kind in a.sounds)
        and (a.kind, a.kinds, a.boxes, a.onscreen) == (b.kind, b.kinds, b.boxes, b.onscreen)
    )


def iou(a: Box, b: Box) -> float:
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)
    high = min(a.y1, b.y1) - max(a.y0, b.y0)
    both = max(0, wide) * max(0, high)
    areas = [(box.x1 - box.x0) * (box.y1 - box.y0) for box in (a, b)]
    return both / (sum(areas) - both)


def pixels_of(config: WorldConfig, plan: ScenePlan, name: str) -> NDArray[np.bool_]:
    """Draw a scene with and without one thing; return where the two differ."""
    others = tuple(thing for thing in plan.things if thing.name != name)
    full = shoot(set_stage(config, plan))
    bare = shoot(set_stage(config, replace(plan, things=others)))
    return (full != bare).any(axis=2)


# --- determinism -----------------------------------------------------------------------------


def test_a_scene_depends_on_seed_and_index_alone() -> None:
    forwards = [make_scene(SMALL, i) for i in range(6)]
    larger = replace(SMALL, n_scenes=10_000)
    backwards = [make_scene(larger, i) for i in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))


def test_scenes_can_be_made_in_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda i: make_scene(SMALL, i), range(12)))
    assert all(same(scene, make_scene(SMALL, i)) for i, scene in enumerate(threaded))


def test_seeds_and_indices_give_different_scenes() -> None:
    scenes = [make_scene(replace(LONE, seed=seed), i) for seed in (0, 1) for i in (0, 1)]
    for a, b in combinations(scenes, 2):
        assert not np.array_equal(a.image, b.image)
        assert not np.array_equal(a.waveform, b.waveform)


def test_streams_of_one_seed_do_not_meet() -> None:
    draws = [
        generator(0, stream, *indices).random()
        for stream in Stream
        for indices in ((), (0,), (0, 0), (1,), (0, 1), (1, 0))
    ]
    assert len(set(draws)) == len(draws)


# --- composition -----------------------------------------------------------------------------


def test_every_kind_has_a_look_and_a_voice() -> None:
    assert tuple(LOOKS) == KINDS
    assert tuple(VOICES) == KINDS + AMBIENT_SOUNDS
    assert not set(PROPS) & set(KINDS)


def test_kinds_are_balanced_and_shares_hold() -> None:
    plans = [plan_scene(LONE, i) for i in range(7 * len(KINDS))]
    assert set(Counter(plan.label for plan in plans).values()) == {7}
    config = replace(LONE, two_source_share=0.3, offscreen_share=0.2, ambient_share=0.1)
    plans = [plan_scene(config, i) for i in range(200)]
    n_two = sum(len(plan.heard) == 2 for plan in plans)
    n_ambient = sum(plan.label == "ambient" for plan in plans)
    n_offscreen = sum(plan.label != "ambient" and not plan.sources for plan in plans)
    assert (n_two, n_offscreen, n_ambient) == pytest.approx((60, 40, 20), abs=2)


def test_an_offscreen_sound_has_no_object_and_no_box() -> None:
    config = replace(LONE, offscreen_share=1.0, distractor_rate=3.0)
    for i in range(5):
        scene, plan = make_scene(config, i), plan_scene(config, i)
        assert (scene.onscreen, scene.boxes, scene.kinds) == (False, (), ())
        assert scene.kind in KINDS
        assert scene.kind not in {thing.name for thing in plan.things}


def test_an_ambient_sound_has_three_boxes_tagged_so() -> None:
    config = replace(LONE, ambient_share=1.0)
    scene = make_scene(config, 0)
    (sound,) = scene.sounds
    assert (scene.kind, scene.onscreen) == ("ambient", False)
    assert sound in AMBIENT_SOUNDS
    assert [(box.tag, box.kind) for box in scene.boxes] == [("ambient", sound)] * 3


def test_silent_things_have_no_box() -> None:
    config = replace(LONE, distractor_rate=4.0, mute_share=1.0)
    plans = [plan_scene(config, i) for i in range(8)]
    for i, plan in enumerate(plans):
        (mute,) = (thing.name for thing in plan.things if thing.role == "mute")
        scene = make_scene(config, i)
        assert {box.kind for box in scene.boxes} == set(scene.kinds) == set(scene.sounds)
        assert mute not in scene.sounds
    assert sum(thing.role == "prop" for plan in plans for thing in plan.things) > 8


def test_a_companion_stands_beside_every_source_and_looks_the_same() -> None:
    config = replace(LONE, correlated_distractor=True, distractor_rate=0.0, kinds=("car", "bee"))
    looks = {}
    for i in range(12):
        companion, source = plan_scene(config, i).things
        assert (companion.role, source.role) == ("prop", "source")
        gap = max(source.x_px, companion.x_px) - min(
            source.x_px + source.side_px, companion.x_px + companion.side_px
        )
        assert gap == 0
        picture = draw(replace(companion, side_px=40)).rgb
        assert np.array_equal(looks.setdefault(source.name, picture), picture)
    assert not np.array_equal(looks["car"], looks["bee"])


# --- boxes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(8))
def test_boxes_hold_exactly_the_object(index: int) -> None:
    config = replace(PAIRS, frame_px=192)
    scene, plan = make_scene(config, index), plan_scene(config, index)
    assert len(scene.boxes) == 6
    for kind in scene.kinds:
        pixels = pixels_of(config, plan, kind)
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        for box in (box for box in scene.boxes if box.kind == kind):
            inside = pixels[box.y0 : box.y1, box.x0 : box.x1]
            assert inside.sum() >= 0.97 * pixels.sum()
            slack = 0.05 * max(np.ptp(rows), np.ptp(columns)) + 2
            assert abs(box.x0 - columns[0]) <= slack
            assert abs(box.x1 - 1 - columns[-1]) <= slack
            assert abs(box.y0 - rows[0]) <= slack
            assert abs(box.y1 - 1 - rows[-1]) <= slack


def test_annotators_differ_but_agree() -> None:
    for i in range(30):
        scene = make_scene(replace(SMALL, frame_px=160, sound_s=0.5), i)
        for kind in {box.kind for box in scene.boxes}:
            boxes = [box for box in scene.boxes if box.kind == kind]
            assert [box.annotator for box in boxes] == [1, 2, 3]
            assert len({(box.x0, box.y0, box.x1, box.y1) for box in boxes}) > 1
            assert all(iou(a, b) > 0.6 for a, b in combinations(boxes, 2))
            assert all(0 <= box.x0 < box.x1 <= 160 and 0 <= box.y0 < box.y1 <= 160 for box in boxes)


def test_two_sources_do_not_cover_each_other() -> None:
    for i in range(10):
        first, second = (
            pixels_of(PAIRS, plan_scene(PAIRS, i), k) for k in make_scene(PAIRS, i).kinds
        )
        assert not (first & second).any()


# --- sounds ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS + AMBIENT_SOUNDS),
    seed=st.integers(0, 2**32),
    seconds=st.floats(0.5, 3.0),
    rate_hz=st.sampled_from((8_000, 22_050, 44_100)),
)
def test_every_sound_is_finite_heard_and_in_range(
    kind: str, seed: int, seconds: float, rate_hz: int
) -> None:
    sound = make_sound(kind, np.random.default_rng(seed), seconds=seconds, rate_hz=rate_hz)
    assert sound.dtype == np.float32
    assert sound.shape == (round(seconds * rate_hz),)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 0.9701
    assert sound.std() > 10 ** (-50 / 20)


def test_a_mix_holds_both_sounds_and_little_else() -> None:
    for i in range(10):
        scene = make_scene(PAIRS, i)
        first, second = scene.sounds.values()
        rest = scene.waveform - first - second
        assert np.linalg.norm(rest) <= 0.31 * np.linalg.norm(first + second)
        assert 0.45 < np.linalg.norm(first) / np.linalg.norm(second) < 2.2
        assert np.abs(scene.waveform).max() <= 0.9701


def spectrum(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean and spread over time of the log power in 30 bands, without the overall level."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::512] * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(1, 512, 31).astype(int))
    log = np.log(np.add.reduceat(power[:, :512], edges[:-1], axis=1) + 1e-6)
    return np.concatenate([log.mean(axis=0) - log.mean(), log.std(axis=0)])


def nearest_mean_accuracy(features: NDArray[np.float64]) -> float:
    """Features (kinds, examples, D): the first half of the examples teaches, the second asks."""
    half = features.shape[1] // 2
    features = features / features.reshape(-1, features.shape[2]).std(axis=0)
    means = features[:, :half].mean(axis=1)
    distances = ((features[:, half:, None] - means) ** 2).sum(axis=3)
    return float((distances.argmin(axis=2) == np.arange(len(means))[:, None]).mean())


def test_kinds_are_told_by_spectrum_and_not_by_loudness() -> None:
    sounds = [
        [make_sound(kind, np.random.default_rng((i, j)), seconds=3.0) for j in range(30)]
        for i, kind in enumerate(KINDS)
    ]
    spectra = np.array([[spectrum(sound) for sound in row] for row in sounds])
    levels = np.array([[[np.log(sound.std())] for sound in row] for row in sounds])
    assert nearest_mean_accuracy(spectra) > 0.8
    assert nearest_mean_accuracy(levels) < 0.3


def test_modes_equal_the_sum_of_decaying_sines() -> None:
    rate_hz, n = 8_000, 1_000
    frequencies, decays, levels = [440.0, 1_234.5, 3_700.0], [0.1, 0.02, 0.5], [1.0, 0.5, 9.0]
    times = np.arange(n) / rate_hz
    slow = sum(
        level * np.exp(-times / decay) * np.sin(2 * np.pi * hz * times)
        for hz, decay, level in zip(frequencies[:2], decays[:2], levels[:2], strict=True)
    )
    np.testing.assert_allclose(modes(frequencies, decays, levels, n, rate_hz), slow, atol=1e-5)


def test_shaped_noise_lies_in_its_band() -> None:
    noise = shaped_noise(np.random.default_rng(0), 22_050, 22_050, band(1_000, 2_000, 8.0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert power[900:2_300].sum() > 0.95 * power.sum()
    assert noise.std() == pytest.approx(1.0, abs=1e-3)


@given(st.integers(2, 200_000))
def test_fast_lengths_are_even_smooth_and_tight(n: int) -> None:
    length = _fast_length(n)
    rest = length
    for factor in (2, 3, 5):
        while rest % factor == 0:
            rest //= factor
    assert rest == 1
    assert length % 2 == 0
    assert n <= length <= max(n + 2, 1.2 * n + 2)


# --- clips and panoramas ---------------------------------------------------------------------


def test_a_clip_moves_its_source_and_nothing_else() -> None:
    config = replace(LONE, frame_px=160)
    clip, plan = make_clip(config, 0), plan_scene(config, 0, stream=Stream.VIDEO)
    (source,) = plan.sources
    moved = (clip.frames != clip.frames[0]).any(axis=(0, 3))
    margin = round(0.13 * 160)
    around = np.zeros_like(moved)
    around[
        max(0, source.y_px - margin) : source.y_px + source.side_px + margin,
        max(0, source.x_px - margin) : source.x_px + source.side_px + margin,
    ] = True
    assert clip.frames.shape == (12, 160, 160, 3)
    assert moved.any()
    assert not (moved & ~around).any()
    assert {box.kind for box in clip.boxes} == {clip.kind}


@pytest.mark.parametrize("azimuth", [0.0, 90.0, -137.0, 179.5, -180.0])
@pytest.mark.parametrize("elevation", [0.0, 30.0, -62.0])
def test_a_disc_on_the_sphere_lies_where_it_was_put(azimuth: float, elevation: float) -> None:
    height = 120
    x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    alpha = (np.hypot(x, y) < 0.9).astype(np.float32)
    sprite = Sprite(rgb=255 * np.stack([alpha] * 3), alpha=alpha)
    view = np.zeros((3, height, 2 * height), np.float32)
    paste_on_sphere(view, sprite, sphere(height), azimuth, elevation, 40.0)
    assert off_by_deg(view[0], azimuth, elevation) < 0.6


def off_by_deg(weights: NDArray[np.floating], azimuth: float, elevation: float) -> float:
    """Angle between a direction and the mean direction of a map, written independently here."""
    height, width = weights.shape
    turn = np.radians(180 - 360 * (np.arange(width) + 0.5) / width)[None, :]
    lift = np.radians(90 - 180 * (np.arange(height) + 0.5) / height)[:, None]
    mass = weights * np.cos(lift)
    mean = np.array(
        [
            (mass * np.cos(lift) * np.cos(turn)).sum(),
            (mass * np.cos(lift) * np.sin(turn)).sum(),
            (mass * np.sin(lift)).sum(),
        ]
    )
    a, e = np.radians(azimuth), np.radians(elevation)
    truth = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    return float(np.degrees(np.arccos(np.clip(truth @ mean / np.linalg.norm(mean), -1, 1))))


@pytest.mark.parametrize("index", range(4))
def test_a_panorama_follows_its_path(index: int) -> None:
    config = replace(SMALL, panorama_px=160, video_s=3.0, seed=11)
    panorama = make_panorama(config, index)
    empty = np.clip(scenery(config, index), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    assert panorama.frames.shape == (36, 160, 320, 3)
    steps = (np.diff(panorama.azimuth_deg) + 180) % 360 - 180
    assert np.abs(steps).max() < 60 / config.video_hz
    assert np.abs(np.diff(panorama.elevation_deg)).max() < 60 / config.video_hz
    assert ((panorama.azimuth_deg >= -180) & (panorama.azimuth_deg < 180)).all()
    for i in range(0, 36, 7):
        changed = (panorama.frames[i] != empty).any(axis=2)
        off = off_by_deg(changed.astype(float), panorama.azimuth_deg[i], panorama.elevation_deg[i])
        assert changed.any()
        assert off < 8


# --- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ("bell", "spoon")}, "kinds: bell, spoon"),
        ({"kinds": ()}, "kinds: none"),
        ({"kinds": ("bell",)}, "one kind only"),
        ({"ambient_share": 1.2}, "ambient_share: 1.2"),
        ({"offscreen_share": 0.6, "ambient_share": 0.6}, "more than 1"),
        ({"distractor_rate": 7.0}, "distractor_rate: 7.0"),
        ({"frame_px": 8}, "frame_px: 8"),
        ({"frame_px": 65}, "frame_px: 65 is odd"),
        ({"seed": -1}, "seed: -1"),
        ({"seed": 2**32}, "seed: 4294967296"),
        ({"object_size": (0.8, 0.3)}, "object_size"),
    ],
)
def test_impossible_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(WorldError, match=message):
        replace(WorldConfig(), **settings)  # type: ignore[arg-type]


def test_an_unknown_kind_of_sound_is_named() -> None:
    with pytest.raises(WorldError, match="spoon: makes no sound here; choose among bell"):
        make_sound("spoon", np.random.default_rng(0))
