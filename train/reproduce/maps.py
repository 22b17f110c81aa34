"""Figures 3, 5, 7 and 8: heat maps side by side, and what they must show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from encoder.localization.evaluate import annotator_ious
from train.reproduce.drawing import Strip, heated, plain, sheet, with_boxes
from train.reproduce.lab import Lab
from train.reproduce.learning import blind
from train.reproduce.localized import Localized, better, localized, localized_on
from train.reproduce.looking import Maps, attention_maps
from train.reproduce.material import Places, wanted
from train.reproduce.orderings import above
from train.reproduce.outcome import Check, Findings, Table
from train.reproduce.schemes import Scheme, semi_supervised, supervised, unsupervised

N_SHOWN = 8


def figure_3(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 3: where unsupervised learning looks at the wrong thing, and labels mend it.

    Shown are the frames of the test set that the labels mend most.
    """
    rows = _with_company(lab)
    plain_scheme, semi_scheme = unsupervised(lab.size, large=True), semi_supervised(lab.size)
    before, after = (localized_on(lab, scheme, rows) for scheme in (plain_scheme, semi_scheme))
    gained = after.values[0] - before.values[0]
    shown = rows[np.argsort(-gained, kind="stable")[:N_SHOWN]]
    path = _sheet(lab, shown, [plain_scheme, semi_scheme], name)
    return Findings(
        tables=(_figures([before, after]),),
        checks=(
            better("labels correct false conclusions: semi-supervised is better", after, before),
            above(
                "labels mend more misses than they make",
                after.found * (1 - before.found),
                before.found * (1 - after.found),
                what="share mended and made",
                is_close=True,  # few are missed, and these are of a kind or two
            ),
        ),
        pictures=(path,),
        notes=("Frames that labels mend most; from left: frame, unsupervised, semi-supervised.",),
    )


def figure_5(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 5: maps of the unsupervised network, a column for each kind of sound."""
    scheme = unsupervised(lab.size, large=True)
    found, noise = localized(lab, scheme), blind(lab)[0]
    network, bank = lab.network(scheme), lab.bank
    columns = _by_kind(lab, lab.test())
    heads = list(columns)
    strips = []
    for number in range(min(map(len, columns.values()))):
        rows = np.array([places[number] for places in columns.values()])
        maps = attention_maps(network, bank, rows)
        strips += [
            Strip(title="", pictures=[plain(p) for p in bank.pictures_at(bank.picture_of[rows])]),
            Strip(title="", pictures=_heated(lab, rows, maps)),
        ]
    path = lab.picture_path(name)
    sheet(strips, heads=heads).save(path)
    return Findings(
        tables=(_figures([found, noise]),),
        checks=(better("sounds are localized without labels: beats a random map", found, noise),),
        pictures=(path,),
        notes=("The first frames of each kind, not chosen by how well they are localized.",),
    )


def figure_7(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 7: the unsupervised network beside what each person drew."""
    scheme, rows = unsupervised(lab.size, large=True), lab.test()
    shown = rows[:N_SHOWN]
    maps = attention_maps(lab.network(scheme), lab.bank, shown)
    truths = [lab.material.truths[row] for row in shown.tolist()]
    frames = [plain(p) for p in lab.bank.pictures_at(lab.bank.picture_of[shown])]
    strips = [
        Strip(title="people", pictures=[with_boxes(*p) for p in zip(frames, truths, strict=True)]),
        Strip(
            title="network",
            pictures=[with_boxes(*p) for p in zip(_heated(lab, shown, maps), truths, strict=True)],
        ),
    ]
    path = lab.picture_path(name)
    sheet(strips).save(path)
    return Findings(
        checks=tuple(_agreement_checks(lab, scheme, rows)),
        pictures=(path,),
        notes=("The first frames of the test set; each annotator has a colour.",),
    )


def _agreement_checks(lab: Lab, scheme: Scheme, rows: Places) -> list[Check]:
    """Claim that the network agrees with each person more than a random map does."""
    size_px = (lab.size.map_px, lab.size.map_px)
    truths = [lab.material.truths[row] for row in rows.tolist()]
    maps = [attention_maps(network, lab.bank, rows) for network in lab.networks(scheme)]
    noise = np.random.default_rng(lab.seed).random(maps[0].shape, dtype=np.float32)
    *found, blind_ = (
        annotator_ious(one, truths, threshold=lab.threshold, size_px=size_px)
        for one in (*maps, noise)
    )
    return [
        above(
            f"subject {who}: the maps agree with the boxes more than a random map does",
            np.stack([run[who] for run in found]),
            blind_[who][None],
            what="mean IoU",
        )
        for who in blind_
    ]


def figure_8(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 8: one frame under every way of learning."""
    size = lab.size
    schemes = [
        unsupervised(size, large=True),
        supervised(size),
        unsupervised(size, large=False),
        semi_supervised(size),
    ]
    found = [localized(lab, scheme) for scheme in schemes]
    path = _sheet(lab, lab.test()[:N_SHOWN], schemes, name)
    many, labelled, few, semi = found
    return Findings(
        tables=(_figures(found),),
        checks=(
            better("supervised beats unsupervised", labelled, many),
            better("supervised beats unsupervised on fewer pairs", labelled, few),
            better("semi-supervised beats unsupervised", semi, many),
        ),
        pictures=(path,),
        notes=("The first frames of the test set, each with the boxes of its annotators.",),
    )


def _with_company(lab: Lab) -> Places:
    """Rows of the test set whose source always has a silent companion; all where nobody knows."""
    rows, company = lab.test(), lab.material.accompanied
    if company is None:
        return rows
    return wanted(rows[np.isin(rows, company)], len(rows), "test frames with a companion")


def _sheet(lab: Lab, rows: Places, schemes: Sequence[Scheme], name: str) -> Path:
    """Draw frames in rows: the frame with its boxes, then its map under each scheme."""
    bank = lab.bank
    maps = [attention_maps(lab.network(scheme), bank, rows) for scheme in schemes]
    heats = [_heated(lab, rows, of_scheme) for of_scheme in maps]
    frames = [
        with_boxes(plain(picture), lab.material.truths[row])
        for picture, row in zip(bank.pictures_at(bank.picture_of[rows]), rows.tolist(), strict=True)
    ]
    strips = [
        Strip(title=_kind(lab, row), pictures=[frames[i], *(of_one[i] for of_one in heats)])
        for i, row in enumerate(rows.tolist())
    ]
    path = lab.picture_path(name)
    sheet(strips, heads=["frame", *(scheme.name for scheme in schemes)]).save(path)
    return path


def _heated(lab: Lab, rows: Places, maps: Maps) -> list[Image.Image]:
    pictures = lab.bank.pictures_at(lab.bank.picture_of[rows])
    return [heated(picture, one) for picture, one in zip(pictures, maps, strict=True)]


def _kind(lab: Lab, row: int) -> str:
    label = int(lab.bank.labels[row])
    return lab.bank.names[label] if label >= 0 else ""


def _by_kind(lab: Lab, rows: Places) -> dict[str, list[int]]:
    """The first two rows of each kind, up to `N_SHOWN` kinds; without kinds, rows two by two."""
    columns: dict[str, list[int]] = {}
    for row in rows.tolist():
        columns.setdefault(_kind(lab, row), []).append(row)
    full = {kind: of_kind[:2] for kind, of_kind in columns.items() if kind and len(of_kind) > 1}
    if not full:
        halves = np.array_split(rows[: 2 * N_SHOWN], max(1, min(N_SHOWN, len(rows) // 2)))
        full = {str(number): half[:2].tolist() for number, half in enumerate(halves, start=1)}
    return dict(list(full.items())[:N_SHOWN])


def _figures(found: Sequence[Localized]) -> Table:
    rows = tuple((one.name, one.success, one.auc) for one in found)
    return Table(columns=("training", "cIoU", "AUC"), rows=rows)
