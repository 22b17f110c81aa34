"""The material as a folder of the papers' data, or of anybody's pairs, on disk (`LAYOUT`).

A file that cannot be decoded is left out and counted, once, before anything is trained.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from encoder.labellers import LabellerPair, load_labellers
from encoder.localization.errors import GroundTruthError
from encoder.localization.ground_truth import GroundTruth, ground_truth
from encoder.localization.splits import N_SPLITS, disjoint_splits
from encoder.media import probe, read_frame, read_sound
from encoder.two_stream import TwoStreamEncoder
from train.bank import AGREEMENT_PX, NONE, OnFile, Regions
from train.bank_on_demand import on_demand_bank, readable
from train.errors import DataAbsent
from train.reproduce.entries import Entry, read_entries, read_interactive
from train.reproduce.material import Film, Material, Places, Waveform
from train.reproduce.size import Size

RATE_HZ = 22_050
N_FILM_FRAMES = 8
CLIP_PX, PANORAMA_PX = 320, 480
"""Heights of frames; S19 §6 feeds panoramas of 480 × 960."""
UNREADABLE = "a file that cannot be decoded"
VISUAL_WEIGHTS = ("vgg16.safetensors", "vgg16.pth")


def folder_material(
    folder: Path,
    network: TwoStreamEncoder,
    size: Size,
    *,
    seed: int,
    on_file: OnFile | None = None,
) -> Material:
    """List what a folder holds; pictures and sounds stay on disk.

    Raises
    ------
    DataAbsent : no such folder, or no pair in it.
    """
    if not folder.is_dir():
        raise DataAbsent(f"{folder}: no such folder")
    listed, interactive = read_entries(folder), read_interactive(folder)
    left_out = Counter(listed.left_out) + Counter(interactive.left_out)
    judged = _judged(listed.entries, left_out)
    duets = _judged(interactive.entries, left_out)
    entries = _readable([*_chosen(judged, size, seed), *duets], left_out, on_file)
    if not entries:
        raise DataAbsent("pairs of frames and sounds")
    truths = {row: truth for row, (_, truth) in enumerate(entries) if truth is not None}
    is_duet = np.array([entry.frame_of_duet is not None for entry, _ in entries])
    annotated = np.array([row for row in truths if not is_duet[row]], np.int64)
    pairs = [entry.pair for entry, _ in entries]
    ambient = np.array([entry.is_ambient for entry, _ in entries])
    return Material(
        name=str(folder),
        key=_key([entry for entry, _ in entries]),
        is_world=False,
        bank=on_demand_bank(
            pairs, network, picture_px=size.recipe.crop_px, regions=_regions(truths, len(pairs))
        ),
        unlabelled=np.flatnonzero([not e.boxes and e.frame_of_duet is None for e, _ in entries]),
        tests=_tests([entry for entry, _ in entries], annotated, size, seed),
        annotated=annotated,
        truths=truths,
        ambient=np.flatnonzero(ambient),
        duets=_duets(entries),
        accompanied=None,
        waveform=partial(_waveform, [entry for entry, _ in entries]),
        clips=lambda: _films(folder / "clips", network, CLIP_PX),
        panoramas=lambda: _films(folder / "panoramas", network, PANORAMA_PX),
        remarks=_remarks(entries, left_out),
    )


def visual_weights(folder: Path | None) -> Path | None:
    """Return ImageNet weights that lie in the folder, or None."""
    if folder is None:
        return None
    there = [path for name in VISUAL_WEIGHTS if (path := folder / "weights" / name).is_file()]
    return there[0] if there else None


def labellers_of(folder: Path | None, device: str) -> LabellerPair:
    """Load the paper's pair where both weight files are there, else the shipped one."""
    visual = visual_weights(folder)
    sound = None if folder is None else folder / "weights" / "soundnet.safetensors"
    if visual is None or sound is None or not sound.is_file():
        return load_labellers("shipped", device=device)
    return load_labellers("paper", image_weights=visual, audio_weights=sound, device=device)


Judged = tuple[Entry, GroundTruth | None]


def _judged(entries: Sequence[Entry], left_out: Counter[str]) -> list[Judged]:
    """Give each entry what is to be found in it; those whose annotators disagree are left out.

    S19 §5.1 keeps the pairs "that all subjects agree" on. Pairs of an ambient sound keep none.
    """
    judged: list[Judged] = []
    for entry in entries:
        if not entry.boxes or entry.is_ambient:
            judged.append((entry, None))
            continue
        try:
            judged.append((entry, ground_truth(entry.boxes)))
        except GroundTruthError as error:
            left_out[str(error)] += 1
    return judged


def _chosen(judged: list[Judged], size: Size, seed: int) -> list[Judged]:
    """As many pairs as the size can use: the test list first, the rest in a seeded order."""
    rng = np.random.default_rng(seed)
    shuffled = [judged[i] for i in rng.permutation(len(judged))]
    shuffled.sort(key=lambda one: not one[0].is_test)
    annotated = [one for one in shuffled if one[1] is not None]
    ambient = [one for one in shuffled if one[0].is_ambient]
    unlabelled = [one for one in judged if not one[0].boxes]
    most = N_SPLITS * size.n_test + size.n_labelled[-1]
    return [
        *annotated[:most],
        *ambient[: size.n_test],
        *unlabelled[: size.n_unlabelled[1]],
    ]


def _readable(judged: list[Judged], left_out: Counter[str], on_file: OnFile | None) -> list[Judged]:
    problems = readable([entry.pair for entry, _ in judged], on_file=on_file)
    kept = [one for one, problem in zip(judged, problems, strict=True) if problem is None]
    left_out[UNREADABLE] += len(judged) - len(kept)
    return kept


def _regions(truths: dict[int, GroundTruth], n: int) -> Regions | None:
    if not truths:
        return None
    of = np.full(n, NONE)
    of[list(truths)] = np.arange(len(truths))
    maps = np.stack([truth.score_map((AGREEMENT_PX, AGREEMENT_PX)) for truth in truths.values()])
    return Regions(maps=torch.from_numpy((255 * maps).round().astype(np.uint8))[:, None], of=of)


def _tests(
    entries: Sequence[Entry], annotated: Places, size: Size, seed: int
) -> tuple[Places, ...]:
    """Deal three disjoint test sets; the first is the listed one where there is a list."""
    listed = np.array([row for row in annotated if entries[row].is_test], np.int64)
    rest = annotated[~np.isin(annotated, listed)]
    names = [entries[row].name for row in rest]
    n_dealt = N_SPLITS - bool(len(listed))
    dealt: tuple[Places, ...] = ()
    # Sets that would leave nothing to train on are not dealt.
    if len(rest) > n_dealt:
        dealt = disjoint_splits(names, n_splits=n_dealt, n_samples=size.n_test, seed=seed)
    sets = [rest[positions] for positions in dealt]
    return tuple([listed[: size.n_test], *sets] if len(listed) else sets)


def _duets(entries: Sequence[Judged]) -> tuple[tuple[int, ...], ...]:
    """Rows of one frame, of every frame that has several sounds with something to be found."""
    by_frame: dict[str, list[int]] = {}
    for row, (entry, truth) in enumerate(entries):
        if entry.frame_of_duet is not None and truth is not None:
            by_frame.setdefault(entry.frame_of_duet, []).append(row)
    return tuple(tuple(rows) for rows in by_frame.values() if len(rows) > 1)


def _waveform(entries: Sequence[Entry], row: int) -> Waveform:
    sound = entries[row].pair.sound
    assert sound is not None  # every entry has both
    return read_sound(sound.path, t0_s=sound.t0_s, t1_s=sound.t1_s, rate_hz=RATE_HZ)


def _films(folder: Path, network: TwoStreamEncoder, height_px: int) -> tuple[Film, ...]:
    """Read a few frames of every film in a folder, and its whole sound."""
    films = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        duration_s = probe(path).duration_s or 0.0
        times = (np.arange(N_FILM_FRAMES) + 0.5) / N_FILM_FRAMES * duration_s
        frames = [_scaled(read_frame(path, time), height_px) for time in times.tolist()]
        films.append(
            Film(
                name=path.stem,
                frames=np.stack(frames),
                times_s=times,
                waveform=read_sound(path, rate_hz=network.config.rate_hz),
                rate_hz=network.config.rate_hz,
                window_s=network.config.window_s,
                truths={},
            )
        )
    return tuple(films)


def _scaled(frame: np.ndarray, height_px: int) -> np.ndarray:
    """Resize a frame to a height, the width to the nearest multiple of 16."""
    width = max(16, round(frame.shape[1] * height_px / frame.shape[0] / 16) * 16)
    image = Image.fromarray(frame).resize((width, height_px), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _remarks(entries: Sequence[Judged], left_out: Mapping[str, int]) -> tuple[str, ...]:
    pairs = [one for one in entries if one[0].frame_of_duet is None]
    n_annotated = sum(truth is not None for _, truth in pairs)
    n_unlabelled = sum(not entry.boxes for entry, _ in pairs)
    reasons = [f"{reason} ({n})" for reason, n in sorted(left_out.items()) if n]
    counted = f"{n_annotated} annotated and {n_unlabelled} unlabelled pairs."
    return (counted, f"Left out: {', '.join(reasons)}.") if reasons else (counted,)


def _key(entries: Sequence[Entry]) -> str:
    """Whatever changes what a training sees changes the key; where the folder lies does not."""
    digest = hashlib.sha256()
    for entry in entries:
        pair = entry.pair
        assert pair.picture is not None  # every entry has both
        assert pair.sound is not None
        spans = (pair.picture.time_s, pair.sound.t0_s, pair.sound.t1_s)
        states = [path.stat() for path in (pair.picture.path, pair.sound.path)]
        files = [(state.st_size, state.st_mtime_ns) for state in states]
        digest.update(repr((entry.name, entry.boxes, entry.is_test, spans, files)).encode())
    return "folder-" + digest.hexdigest()[:12]
