"""Figures 6 and 10: one frame, several sounds. Do the maps listen?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import COSINES, SHARES, Figure, mean_figure, rate_figure
from encoder.localization.evaluate import consensus_ious
from encoder.localization.metrics import Values, all_found, auroc_figure
from train.reproduce.drawing import Strip, grey, heated, plain, sheet, with_boxes
from train.reproduce.lab import Lab
from train.reproduce.localized import agreements
from train.reproduce.looking import as_grids, look
from train.reproduce.material import Places, wanted
from train.reproduce.orderings import above
from train.reproduce.outcome import Cell, Findings, Table
from train.reproduce.schemes import NAMES, Attention, Scheme, semi_supervised, unsupervised

N_SHOWN = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class _Heard:
    """cIoU (runs, rows) of each source under its own sound, and under another one of its frame."""

    own: Values
    other: Values


def figure_6(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 6: the map follows the sound while the frame stays."""
    duets = lab.material.duets
    every = np.array([row for duet in duets for row in duet], np.int64)
    rows = wanted(every, len(every), DUETS)
    others = np.array([row for duet in duets for row in (*duet[1:], duet[0])], np.int64)
    frames = np.repeat(np.arange(len(duets)), [len(duet) for duet in duets])
    schemes = [unsupervised(lab.size, large=True), semi_supervised(lab.size)]
    lines: list[tuple[Cell, ...]] = []
    checks = []
    for scheme in schemes:
        heard = _heard(lab, scheme, rows, others)
        own, other = _by_frame(heard.own, frames), _by_frame(heard.other, frames)
        both = rate_figure(all_found(heard.own[0], frames))
        shown = (_share(own), _share(other))
        lines.append((scheme.name, *shown, both))
        claim = f"{scheme.name}: a source is found better under its own sound than another's"
        checks.append(above(claim, own, other, what="mean cIoU"))
    heads = ("training", "own sound", "another sound", "all found (IIoU)")
    note = (
        f"Mean cIoU of a frame's sources, threshold {lab.threshold}; IIoU: all sources of a frame "
        "at 0.5 or above, of the first training."
    )
    return Findings(
        tables=(Table(columns=heads, rows=tuple(lines), note=note),),
        checks=tuple(checks),
        pictures=(_duet_sheet(lab, schemes[-1], name),),
        notes=(
            "The first frames with several sources; the boxes are those of the source that sounds.",
        ),
    )


def _share(values: Values) -> Figure:
    """Mean of shares (runs, N) over the runs, then over the N."""
    return mean_figure(values.mean(axis=0), within=SHARES)


DUETS = "frames with two or more sources, each with its own sound"


def _by_frame(values: Values, frames: Places) -> Values:
    """Mean over the sources of each frame: (runs, rows) to (runs, frames)."""
    n_sources = np.bincount(frames)
    return np.stack([np.bincount(frames, weights=run) / n_sources for run in values])


def _heard(lab: Lab, scheme: Scheme, rows: Places, others: Places) -> _Heard:
    truths = agreements(lab, rows)

    def found(sounds: Places) -> Values:
        maps = [
            as_grids(look(network, lab.bank, rows, sounds=sounds).attention)
            for network in lab.networks(scheme)
        ]
        return np.concatenate([consensus_ious(run, truths, [lab.threshold]) for run in maps])

    return _Heard(own=found(rows), other=found(others))


def _duet_sheet(lab: Lab, scheme: Scheme, name: str) -> Path:
    network, bank, material = lab.network(scheme), lab.bank, lab.material
    strips = []
    for duet in material.duets[:N_SHOWN]:
        rows = np.array(duet)
        maps = as_grids(look(network, bank, rows).attention)
        frame = bank.pictures_at(bank.picture_of[rows[:1]])[0]
        heats = [
            with_boxes(heated(frame, one), material.truths[row])
            for one, row in zip(maps, duet, strict=True)
        ]
        kinds = [bank.names[label] if (label := int(bank.labels[row])) >= 0 else "" for row in duet]
        strips.append(Strip(title="", pictures=[plain(frame), *heats], captions=["", *kinds]))
    most = max(len(strip.pictures) for strip in strips)
    path = lab.picture_path(name)
    sheet(strips, heads=["frame", *(f"sound {i}" for i in range(1, most))]).save(path)
    return path


@dataclass(frozen=True, kw_only=True, eq=False)
class _Responses:
    """Responses before the softmax, (runs, N, H', W'), of the same frames to two kinds of sound."""

    to_object: NDArray[np.float32]
    to_ambient: NDArray[np.float32]

    def means(self) -> tuple[Values, Values]:
        """Mean over the cells of each frame, (runs, N) each."""
        heard, quiet = self.to_object, self.to_ambient
        return heard.mean(axis=(2, 3), dtype=float), quiet.mean(axis=(2, 3), dtype=float)

    def peaks(self) -> tuple[Values, Values]:
        """Highest over the cells of each frame, (runs, N) each."""
        heard, quiet = self.to_object.astype(float), self.to_ambient.astype(float)
        return heard.max(axis=(2, 3)), quiet.max(axis=(2, 3))

    def answering(self) -> Values:
        """Share of each frame's cells that an ambient sound makes answer, (runs, N)."""
        return np.asarray((np.abs(self.to_ambient) > ANSWERS).mean(axis=(2, 3), dtype=float))

    def lit(self) -> Values:
        """Share of each frame's cells that an ambient sound lights up, (runs, N)."""
        return np.asarray((self.to_ambient > ANSWERS).mean(axis=(2, 3), dtype=float))


ANSWERS = 0.1
"""From this response on a cell answers, be it that it attracts the sound or that it repels it."""


def figure_10(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 10: weak responses to ambient sound, weakest under ReLU.

    Responses are absolute: g before the softmax (definitions §1).
    """
    rows = lab.test()
    ambient = wanted(lab.material.ambient, len(rows), "ambient sounds")
    sounds = np.resize(ambient, len(rows))
    found = {
        attention: _responses(
            lab, replace(semi_supervised(lab.size), attention=attention), rows, sounds
        )
        for attention in NAMES
    }
    heads = (
        "attention",
        "sound",
        "mean response",
        "highest response",
        "AUROC",
        "answering cells",
        "lit cells",
    )
    return Findings(
        tables=(
            Table(
                columns=heads,
                rows=tuple(line for pair in found.items() for line in _lines(*pair)),
                note=f"A cell answers above |response| {ANSWERS:g}, and is lit above {ANSWERS:g}.",
            ),
        ),
        checks=(
            *(
                above(
                    f"{NAMES[attention]}: weaker to ambient sounds than to object sounds",
                    *one.peaks(),
                    what="highest response",
                )
                for attention, one in found.items()
            ),
            above(
                "ReLU+softmax leaves less of the frame answering to ambient sounds than softmax",
                found["cos"].answering(),
                found["relu"].answering(),
                what="share of the cells under softmax and under ReLU+softmax",
            ),
        ),
        pictures=(_ambient_sheet(lab, found, rows, name),),
        notes=(
            "Columns: (a) frame, (b, c) softmax under the object's and an ambient sound, "
            "(d, e) the same under ReLU+softmax; black is 0 and below, white the highest.",
            "ReLU takes the negative answers away (S19 §5.3); of positive ones it need not leave "
            "fewer, and AUROC says how well each tells the two kinds of sound apart.",
        ),
    )


def _lines(attention: Attention, found: _Responses) -> list[tuple[Cell, ...]]:
    (mean, quiet_mean), (peak, quiet_peak) = (
        [one.mean(axis=0) for one in pair] for pair in (found.means(), found.peaks())
    )
    apart = auroc_figure(peak, quiet_peak, paired=True)
    shares = [_share(one) for one in (found.answering(), found.lit())]
    heard, quiet = (
        [mean_figure(values, within=COSINES) for values in pair]
        for pair in ((mean, peak), (quiet_mean, quiet_peak))
    )
    return [
        (NAMES[attention], "object", *heard, apart, "", ""),
        (NAMES[attention], "ambient", *quiet, "", *shares),
    ]


def _responses(lab: Lab, scheme: Scheme, rows: Places, ambient: Places) -> _Responses:
    networks = lab.networks(scheme)
    return _Responses(
        to_object=np.stack([as_grids(look(one, lab.bank, rows).response) for one in networks]),
        to_ambient=np.stack(
            [as_grids(look(one, lab.bank, rows, sounds=ambient).response) for one in networks]
        ),
    )


def _ambient_sheet(lab: Lab, found: dict[Attention, _Responses], rows: Places, name: str) -> Path:
    highest = max(float(one.to_object[0].max()) for one in found.values())
    frames = lab.bank.pictures_at(lab.bank.picture_of[rows[:N_SHOWN]])
    strips = []
    for i, frame in enumerate(frames):
        maps = [
            grey(shown[0, i], highest=highest)
            for one in found.values()
            for shown in (one.to_object, one.to_ambient)
        ]
        strips.append(Strip(title="", pictures=[plain(frame), *maps]))
    path = lab.picture_path(name)
    sheet(strips, heads=["(a)", "(b)", "(c)", "(d)", "(e)"]).save(path)
    return path
