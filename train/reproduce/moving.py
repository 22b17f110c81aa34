"""Figures 13 and 14: maps of clips and panoramas, frame by frame, each with the sound around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.localization.baselines import centre_box
from encoder.localization.evaluate import consensus_ious, region_ious
from encoder.localization.ground_truth import score_maps
from train.errors import DataAbsent
from train.reproduce.drawing import Strip, heated, plain, sheet
from train.reproduce.lab import Lab
from train.reproduce.looking import Maps, film_maps
from train.reproduce.material import Film
from train.reproduce.orderings import above
from train.reproduce.outcome import Check, Findings
from train.reproduce.schemes import semi_supervised

N_FILMS, N_FRAMES = 4, 8
CLIPS, PANORAMAS = "clips with their sound", "360° videos with their sound"


def figure_13(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 13: the sounding object is found frame by frame, without any use of motion."""
    films = _there(lab.material.clips(), CLIPS)
    maps = _looked_at(lab, films)
    path = _film_sheet(lab, films, maps[0], name)
    return Findings(
        checks=tuple(_found_checks(lab, films, maps)),
        pictures=(path,),
        notes=("Every frame is seen by itself with the sound around it; of each film, two rows.",),
    )


def _found_checks(lab: Lab, films: Sequence[Film], runs: Sequence[Sequence[Maps]]) -> list[Check]:
    """Claim that annotated frames are localized; none where nobody annotated any."""
    px = lab.size.map_px
    shown = [(number, i) for number, film in enumerate(films) for i in film.truths]
    if not shown:
        return []
    truths = score_maps([films[number].truths[i] for number, i in shown], (px, px))
    found = np.concatenate(
        [
            consensus_ious(np.stack([maps[n][i] for n, i in shown]), truths, [lab.threshold])
            for maps in runs
        ]
    )
    return [
        above(
            "frames of clips are localized better than by the centre box",
            found,
            region_ious(truths, centre_box)[None],
            what="mean cIoU",
        )
    ]


def figure_14(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 14: sound saliency of equirectangular frames, fed as they are.

    The row of the vision-based method of the figure is another project's and is not drawn.
    """
    films = _there(lab.material.panoramas(), PANORAMAS)
    maps = _looked_at(lab, films)
    path = _film_sheet(lab, films, maps[0], name)
    return Findings(
        checks=tuple(_direction_checks(films, maps)),
        pictures=(path,),
        notes=(
            "The vision-based saliency that S19 compares with is not part of this project.",
            "The network never saw an equirectangular frame.",
        ),
    )


def _direction_checks(films: Sequence[Film], runs: Sequence[Sequence[Maps]]) -> list[Check]:
    """Claim that the strongest cell lies near the source; none where nobody knows where it is.

    The frames of one panorama are much alike: a panorama counts once, by its mean angle.
    """
    away = np.array(
        [
            [
                np.mean(_angles(one, film.azimuth_deg, film.elevation_deg))
                for film, one in zip(films, maps, strict=True)
                if film.azimuth_deg is not None and film.elevation_deg is not None
            ]
            for maps in runs
        ]
    )
    if not away.size:
        return []
    return [
        above(
            "the map points towards the source: nearer than a random direction",
            np.full_like(away, RANDOM_DEG) / 180,
            away / 180,
            what="mean angle, half turns, random and found,",
        )
    ]


def _looked_at(lab: Lab, films: Sequence[Film]) -> list[list[Maps]]:
    """Maps of every film by every run of the semi-supervised network."""
    networks = lab.networks(semi_supervised(lab.size))
    return [[film_maps(network, film) for film in films] for network in networks]


RANDOM_DEG = 90.0
"""Mean angle between a fixed and a random direction."""


def _angles(
    maps: Maps, azimuth_deg: NDArray[np.float64], elevation_deg: NDArray[np.float64]
) -> list[float]:
    """Angle between each frame's strongest cell and the true direction, degrees."""
    height, width = maps.shape[1:]
    cells = maps.reshape(len(maps), -1).argmax(axis=1)
    rows, columns = cells // width, cells % width
    seen = _vectors(360 * (0.5 - (columns + 0.5) / width), 180 * (0.5 - (rows + 0.5) / height))
    true = _vectors(azimuth_deg, elevation_deg)
    cosines = np.clip((seen * true).sum(axis=0), -1, 1)
    return np.degrees(np.arccos(cosines)).tolist()  # type: ignore[no-any-return]


def _vectors(
    azimuth_deg: NDArray[np.float64], elevation_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Unit vectors (3, F): ahead, left, up."""
    turn, lift = np.radians(azimuth_deg), np.radians(elevation_deg)
    flat = np.cos(lift)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), np.sin(lift)])


def _film_sheet(lab: Lab, films: Sequence[Film], maps: Sequence[Maps], name: str) -> Path:
    strips = []
    for film, one in list(zip(films, maps, strict=True))[:N_FILMS]:
        shown = np.unique(np.linspace(0, len(film.frames) - 1, N_FRAMES).round().astype(int))
        frames = torch.from_numpy(film.frames[shown]).permute(0, 3, 1, 2)
        times = [f"{time:.1f} s" for time in film.times_s[shown].tolist()]
        heats = [heated(frame, heat) for frame, heat in zip(frames, one[shown], strict=True)]
        strips += [
            Strip(title=film.name, pictures=[plain(frame) for frame in frames]),
            Strip(title="", pictures=heats, captions=times),
        ]
    path = lab.picture_path(name)
    sheet(strips).save(path)
    return path


def _there(films: tuple[Film, ...], what: str) -> tuple[Film, ...]:
    if not films:
        raise DataAbsent(what)
    return films
