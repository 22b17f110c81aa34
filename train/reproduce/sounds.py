"""Figures 6 and 10: one frame, several sounds. Do the maps listen?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import mean_figure, rate_figure
from encoder.localization.evaluate import consensus_ious
from encoder.localization.metrics import Values, all_found, auroc_figure
from encoder.two_stream import TwoStreamEncoder
from train.reproduce.drawing import Strip, grey, heated, plain, sheet, with_boxes
from train.reproduce.lab import Lab
from train.reproduce.localized import agreements
from train.reproduce.looking import as_grids, look
from train.reproduce.material import Places, wanted
from train.reproduce.outcome import Cell, Check, Findings, Table
from train.reproduce.schemes import NAMES, Attention, Scheme, semi_supervised, unsupervised

N_SHOWN = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class _Heard:
    """cIoU (rows,) of each source under its own sound, and under the other one of its frame."""

    own: Values
    other: Values


def figure_6(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 6: the map follows the sound while the frame stays."""
    duets = lab.material.duets
    rows = wanted(
        np.array([row for duet in duets for row in duet], np.int64), 2 * len(duets), DUETS
    )
    others = np.array([row for duet in duets for row in reversed(duet)], np.int64)
    frames = np.repeat(np.arange(len(duets)), 2)
    schemes = [unsupervised(lab.size, large=True), semi_supervised(lab.size)]
    lines: list[tuple[Cell, ...]] = []
    checks = []
    for scheme in schemes:
        heard = _heard(lab, lab.network(scheme), rows, others)
        title = lab.taken(scheme).name
        both = rate_figure(all_found(heard.own, frames))
        lines.append((title, mean_figure(heard.own), mean_figure(heard.other), both))
        checks.append(
            Check(
                claim=f"{title}: a source is found better under its own sound than another's",
                holds=bool(heard.own.mean() > heard.other.mean()),
                found=f"mean cIoU {heard.own.mean():.3f} > {heard.other.mean():.3f}",
            )
        )
    heads = ("training", "own sound", "the other sound", "both found (IIoU)")
    note = (
        f"Mean cIoU of sources, threshold {lab.threshold}; IIoU: both of a frame at 0.5 or above."
    )
    return Findings(
        tables=(Table(columns=heads, rows=tuple(lines), note=note),),
        checks=tuple(checks),
        pictures=(_duet_sheet(lab, schemes[-1], name),),
        notes=(
            "The first frames with two sources; the boxes are those of the source that sounds.",
        ),
    )


DUETS = "frames with two sources, each with its own sound"


def _heard(lab: Lab, network: TwoStreamEncoder, rows: Places, others: Places) -> _Heard:
    truths = agreements(lab, rows)
    own, other = (
        consensus_ious(
            as_grids(look(network, lab.bank, rows, sounds=sounds).attention),
            truths,
            [lab.threshold],
        )[0]
        for sounds in (rows, others)
    )
    return _Heard(own=own, other=other)


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
    path = lab.picture_path(name)
    sheet(strips, heads=["frame", "first sound", "second sound"]).save(path)
    return path


@dataclass(frozen=True, kw_only=True, eq=False)
class _Responses:
    """Responses before the softmax, (N, H', W'), of the same frames to two kinds of sound."""

    to_object: NDArray[np.float32]
    to_ambient: NDArray[np.float32]

    def means(self) -> tuple[Values, Values]:
        """Mean over the cells of each frame, (N,) each."""
        heard, quiet = self.to_object, self.to_ambient
        return heard.mean(axis=(1, 2), dtype=float), quiet.mean(axis=(1, 2), dtype=float)

    def peaks(self) -> tuple[Values, Values]:
        """Highest over the cells of each frame, (N,) each."""
        heard, quiet = self.to_object.astype(float), self.to_ambient.astype(float)
        return heard.max(axis=(1, 2)), quiet.max(axis=(1, 2))


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
    lines: list[tuple[Cell, ...]] = []
    checks = []
    for attention, one in found.items():
        (mean, quiet_mean), (peak, quiet_peak) = one.means(), one.peaks()
        apart = auroc_figure(peak, quiet_peak, paired=True)
        lines += [
            (NAMES[attention], "object", mean_figure(mean), mean_figure(peak), apart),
            (NAMES[attention], "ambient", mean_figure(quiet_mean), mean_figure(quiet_peak), ""),
        ]
        checks.append(
            Check(
                claim=f"{NAMES[attention]}: weaker to ambient sounds than to object sounds",
                holds=bool(quiet_peak.mean() < peak.mean() and apart.mean > 0.5),
                found=f"highest response {quiet_peak.mean():.3f} < {peak.mean():.3f}, "
                f"AUROC {apart.mean:.3f}",
            )
        )
    heads = ("attention", "sound", "mean response", "highest response", "AUROC")
    return Findings(
        tables=(Table(columns=heads, rows=tuple(lines)),),
        checks=(*checks, _relu_check(found)),
        pictures=(_ambient_sheet(lab, found, rows, name),),
        notes=(
            "Columns: (a) frame, (b, c) softmax under the object's and an ambient sound, "
            "(d, e) the same under ReLU+softmax; black is 0 and below, white the highest.",
        ),
    )


def _relu_check(found: dict[Attention, _Responses]) -> Check:
    """Claim that ReLU leaves less of the frame lit under an ambient sound."""
    lit = {
        attention: float((np.abs(one.to_ambient) > LIT).mean()) for attention, one in found.items()
    }
    return Check(
        claim="ReLU+softmax suppresses uncorrelated sounds better than softmax",
        holds=lit["relu"] < lit["cos"],
        found=f"cells with |response| above {LIT:g}: {lit['relu']:.3f} < {lit['cos']:.3f}",
    )


LIT = 0.1
"""From this absolute response on a cell counts as answering."""


def _responses(lab: Lab, scheme: Scheme, rows: Places, ambient: Places) -> _Responses:
    network = lab.network(scheme)
    return _Responses(
        to_object=as_grids(look(network, lab.bank, rows).response),
        to_ambient=as_grids(look(network, lab.bank, rows, sounds=ambient).response),
    )


def _ambient_sheet(lab: Lab, found: dict[Attention, _Responses], rows: Places, name: str) -> Path:
    highest = {a: float(one.to_object.max()) for a, one in found.items()}
    frames = lab.bank.pictures_at(lab.bank.picture_of[rows[:N_SHOWN]])
    strips = []
    for i, frame in enumerate(frames):
        maps = [
            grey(shown[i], highest=highest[attention])
            for attention, one in found.items()
            for shown in (one.to_object, one.to_ambient)
        ]
        strips.append(Strip(title="", pictures=[plain(frame), *maps]))
    path = lab.picture_path(name)
    sheet(strips, heads=["(a)", "(b)", "(c)", "(d)", "(e)"]).save(path)
    return path
