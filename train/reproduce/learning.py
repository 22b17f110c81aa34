"""Tables 1 to 5 and the success curve of Figure 9: what more data, labels and weights bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from encoder.localization.baselines import centre_box, whole_picture
from encoder.localization.evaluate import annotator_ious, random_ious, region_ious
from encoder.localization.metrics import CURVE_AT, Values
from train.reproduce.drawing import curves
from train.reproduce.lab import Lab
from train.reproduce.localized import Localized, agreements, better, localized
from train.reproduce.looking import attention_maps
from train.reproduce.outcome import Cell, Check, Findings, Table
from train.reproduce.schemes import (
    NAMES,
    Attention,
    Scheme,
    semi_supervised,
    supervised,
    unsupervised,
)

BOTH: tuple[Attention, ...] = ("cos", "relu")
WEIGHTS = ((0.1, 0.9), (0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (0.9, 0.1))
"""w_U and w_S of S19 Table 5."""
WOBBLE = 0.03
"""AUC that one more step of labels or of weight may lose: the papers' own tables wobble so."""


def table_1(lab: Lab, *, with_centre: bool = True) -> Findings:
    """S19 Table 1: learning schemes, both attentions, beside what knows nothing."""
    size = lab.size
    rows = [
        [unsupervised(size, large=False), unsupervised(size, large=True)],
        [supervised(size), semi_supervised(size)],
    ]
    schemes = [scheme for pair in rows for scheme in pair]
    found = {a: [localized(lab, replace(s, attention=a)) for s in schemes] for a in BOTH}
    lines = [_line(soft.name, [soft, relu]) for soft, relu in zip(*found.values(), strict=True)]
    if size.eq_6_beside:
        eq_6 = localized(lab, replace(schemes[1], eq_6=True))
        lines.insert(2, (*_line(eq_6.name, [eq_6]), "–", "–"))
    baselines = blind(lab)
    shown = baselines if with_centre else baselines[:1]
    lines += [(*_line(one.name, [one]), "", "") for one in shown]
    heads = [f"{NAMES[a]} {figure}" for a in BOTH for figure in ("cIoU", "AUC")]
    return Findings(
        tables=(Table(columns=("training", *heads), rows=tuple(lines), note=_note(lab)),),
        checks=tuple(_scheme_checks(found, baselines, with_centre=with_centre)),
        notes=lab.material.remarks,
    )


def _scheme_checks(
    found: dict[Attention, list[Localized]], blind: Sequence[Localized], *, with_centre: bool
) -> list[Check]:
    checks = []
    for attention, (few, many, labelled, semi) in found.items():
        name = NAMES[attention]
        checks += [
            better(f"{name}: semi-supervised beats supervised", semi, labelled),
            better(f"{name}: supervised beats unsupervised", labelled, many),
        ]
        if attention == "cos":  # the papers print no smaller set for ReLU
            checks.append(better(f"{name}: more unlabelled pairs beat fewer", many, few))
        checks.append(better(f"{name}: unsupervised beats a random map", many, blind[0]))
    if with_centre:
        checks.append(better("unsupervised beats the centre box", found["cos"][1], blind[1]))
    return checks


def table_2(lab: Lab) -> Findings:
    """S19 Table 2: how many annotated pairs it takes."""
    size = lab.size
    plain = [unsupervised(size, large=False), unsupervised(size, large=True)]
    semi = [semi_supervised(size, n_labelled=n) for n in size.n_labelled]
    other = replace(semi[-1], n_unlabelled=size.n_unlabelled[not size.semi_large])
    found = [localized(lab, scheme) for scheme in (*plain, *semi, other)]
    with_labels = found[2 : 2 + len(semi)]
    best_plain = max(found[:2], key=lambda one: one.auc.mean)
    checks = [
        better(f"{one.name} beats unsupervised learning", one, best_plain) for one in with_labels
    ]
    return Findings(
        tables=(_listed(lab, found),),
        checks=(*checks, *_growing(with_labels, "labels")),
        notes=lab.material.remarks,
    )


def _growing(found: Sequence[Localized], what: str, where: str = "") -> list[Check]:
    """Claim that more is better, up to the wobble of single steps."""
    steps = [second.auc.mean - first.auc.mean for first, second in pairwise(found)]
    shown = ", ".join(f"{one.auc.mean:.3f}" for one in found)
    return [
        better(f"{where}most {what} beat fewest", found[-1], found[0]),
        Check(
            claim=f"{where}no step to more {what} loses {WOBBLE} or more",
            holds=min(steps, default=0.0) > -WOBBLE,
            found=f"AUC {shown}",
        ),
    ]


def table_3(lab: Lab) -> Findings:
    """S19 Table 3: against each annotator alone."""
    size = lab.size
    schemes = [unsupervised(size, large=True), supervised(size), semi_supervised(size)]
    found = [_by_annotator(lab, scheme) for scheme in schemes]
    people = list(found[0])
    heads = [
        f"{lab.taken(scheme).name} {figure}" for scheme in schemes for figure in ("IoU", "AUC")
    ]
    lines = [_line(f"Subj. {who}", [one[who] for one in found]) for who in people]
    checks = [
        better(f"subject {who}: {other.name} beats unsupervised", other, found[0][who])
        for who in people
        for other in (found[1][who], found[2][who])
    ]
    spreads = [np.ptp([one[who].auc.mean for who in people]) for one in found]
    gap = found[2][people[0]].auc.mean - found[0][people[0]].auc.mean
    checks.append(
        Check(
            claim="subjects differ less than the methods do",
            holds=max(spreads) < gap,
            found=f"AUC between subjects {max(spreads):.3f} < between methods {gap:.3f}",
        )
    )
    return Findings(
        tables=(Table(columns=("subject", *heads), rows=tuple(lines), note=_note(lab)),),
        checks=tuple(checks),
        notes=lab.material.remarks,
    )


def _by_annotator(lab: Lab, scheme: Scheme) -> dict[str, Localized]:
    rows, px = lab.test(), lab.size.map_px
    truths = [lab.material.truths[row] for row in rows.tolist()]
    runs = [
        annotator_ious(
            attention_maps(network, lab.bank, rows),
            truths,
            threshold=lab.threshold,
            size_px=(px, px),
        )
        for network in lab.networks(scheme)
    ]
    name = lab.taken(scheme).name
    return {
        who: Localized(name=name, values=np.stack([run[who] for run in runs])) for who in runs[0]
    }


def table_4(lab: Lab) -> Findings:
    """S19 Table 4: three disjoint test sets, each with networks that never saw it."""
    sets = range(len(lab.material.tests))
    counts = lab.size.n_labelled
    found = [
        [localized(lab, semi_supervised(lab.size, n_labelled=n, test=test)) for n in counts]
        for test in sets
    ]
    lines = [_line(found[0][i].name, [of_set[i] for of_set in found]) for i in range(len(counts))]
    heads = [f"Set{test + 1} {figure}" for test in sets for figure in ("cIoU", "AUC")]
    checks = [
        check
        for test in sets
        for check in _growing(found[test], "labels", where=f"set {test + 1}: ")
    ]
    return Findings(
        tables=(Table(columns=("training", *heads), rows=tuple(lines), note=_note(lab)),),
        checks=tuple(checks),
        notes=lab.material.remarks,
    )


def table_5(lab: Lab) -> Findings:
    """S19 Table 5: weights of the two losses, the larger unlabelled set and few labels."""
    size = lab.size
    base = replace(
        semi_supervised(size, n_labelled=size.n_labelled[0]), n_unlabelled=size.n_unlabelled[1]
    )
    found = [
        localized(lab, replace(base, unsupervised=w_u, supervised=w_s)) for w_u, w_s in WEIGHTS
    ]
    plain = localized(lab, unsupervised(size, large=True))
    names = [f"Unsup. = {w_u:g}, Sup. = {w_s:g}" for w_u, w_s in WEIGHTS]
    lines = [_line(name, [one]) for name, one in zip(names, found, strict=True)]
    checks = [
        better(f"{name} beats unsupervised learning", one, plain)
        for name, one in zip(names, found, strict=True)
    ]
    return Findings(
        tables=(
            Table(columns=("loss weights", "cIoU", "AUC"), rows=tuple(lines), note=_note(lab)),
        ),
        checks=(*checks, _balanced(found)),
        notes=(f"Data: {found[0].name}.", *lab.material.remarks),
    )


def _balanced(found: Sequence[Localized]) -> Check:
    """Claim that weights of one half or three quarters on the unsupervised loss are best."""
    areas = [one.auc.mean for one in found]
    middle, ends = max(areas[2:4]), max(areas[0], areas[1], areas[4])
    return Check(
        claim="balanced weights (0.5/0.5 or 0.75/0.25) are not beaten by more than "
        f"{WOBBLE} of AUC",
        holds=middle > ends - WOBBLE,
        found=f"AUC {middle:.3f} against {ends:.3f}",
    )


def figure_9(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 9: the share of successes as the cIoU that counts as one grows."""
    size = lab.size
    schemes = [
        unsupervised(size, large=False),
        unsupervised(size, large=True),
        supervised(size),
        semi_supervised(size),
    ]
    found = [localized(lab, scheme) for scheme in schemes]
    noise = blind(lab)[0]
    path = lab.picture_path(name)
    lines = [(one.name, one.curve.tolist()) for one in (*found, noise)]
    curves(CURVE_AT.tolist(), lines, x_label="cIoU threshold", y_label="success ratio").save(path)
    few, many, labelled, semi = found
    reached = many.curve > 0
    return Findings(
        tables=(_listed(lab, [*found, noise]),),
        checks=(
            better("semi-supervised beats supervised", semi, labelled),
            Check(
                claim="both supervised curves lie above the unsupervised ones",
                holds=bool(
                    all((one.curve >= many.curve)[reached].all() for one in (labelled, semi))
                ),
                found=f"{int(reached.sum())} thresholds with successes compared",
            ),
            better("more unlabelled pairs beat fewer", many, few),
            better("unsupervised beats a random map", few, noise),
        ),
        pictures=(path,),
        notes=lab.material.remarks,
    )


def blind(lab: Lab) -> list[Localized]:
    """What knows nothing of sound or picture: random maps, the centre box, the whole picture."""
    truths = agreements(lab, lab.test())
    keys = lab.test().tolist()
    noise = [
        random_ious(truths, [lab.threshold], keys=keys, seed=lab.seed + i)
        for i in range(lab.size.n_random)
    ]
    regions: list[tuple[str, Values]] = [
        ("centre box, half of the sides", region_ious(truths, centre_box)[None]),
        ("whole picture", region_ious(truths, whole_picture)[None]),
    ]
    return [
        Localized(name=f"random map, {len(noise)} times", values=np.concatenate(noise)),
        *(Localized(name=name, values=values) for name, values in regions),
    ]


def _listed(lab: Lab, found: Sequence[Localized]) -> Table:
    lines = tuple(_line(one.name, [one]) for one in found)
    return Table(columns=("training", "cIoU", "AUC"), rows=lines, note=_note(lab))


def _line(name: str, found: Sequence[Localized]) -> tuple[Cell, ...]:
    return (name, *(figure for one in found for figure in (one.success, one.auc)))


def _note(lab: Lab) -> str:
    runs = f", mean of {lab.size.n_runs} trainings" if lab.size.n_runs > 1 else ""
    return f"cIoU is the share of samples at 0.5 or above; threshold {lab.threshold}{runs}."
