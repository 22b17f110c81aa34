"""Tables 1 to 5 and the success curve of Figure 9: what more data, labels and weights bring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product

import numpy as np

from encoder.localization.baselines import centre_box, whole_picture
from encoder.localization.evaluate import annotator_ious, random_ious, region_ious
from encoder.localization.metrics import CURVE_AT, Values
from train.errors import DataAbsent
from train.reproduce.drawing import curves
from train.reproduce.lab import Lab
from train.reproduce.localized import Localized, agreements, better, localized
from train.reproduce.looking import attention_maps
from train.reproduce.orderings import above, difference, fact, nowhere_below
from train.reproduce.outcome import Cell, Check, Findings, Table
from train.reproduce.schemes import (
    NAMES,
    Attention,
    Scheme,
    both_unsupervised,
    of_table_1,
    of_table_2,
    of_table_4,
    of_table_5,
    unsupervised,
)

BOTH: tuple[Attention, ...] = ("cos", "relu")


def table_1(lab: Lab, *, with_centre: bool = True) -> Findings:
    """S19 Table 1: learning schemes, both attentions, beside what knows nothing."""
    size = lab.size
    alone = [localized(lab, unsupervised(size, large=False))]
    if size.eq_6_beside:
        alone.append(localized(lab, replace(unsupervised(size, large=True), eq_6=True)))
    found = {
        attention: [localized(lab, replace(one, attention=attention)) for one in of_table_1(size)]
        for attention in BOTH
    }
    baselines = blind(lab) if with_centre else blind(lab)[:1]
    lines = [(*_line(one.name, [one]), "–", "–") for one in alone]
    lines += [_line(soft.name, [soft, relu]) for soft, relu in zip(*found.values(), strict=True)]
    lines += [(*_line(one.name, [one]), "", "") for one in baselines]
    return Findings(
        tables=(Table(columns=("training", *_heads(NAMES.values())), rows=tuple(lines)),),
        checks=tuple(_scheme_checks(alone[0], found, baselines[:2])),
        notes=(_note(lab), *lab.material.remarks),
    )


def _scheme_checks(
    few: Localized, found: dict[Attention, list[Localized]], blind: Sequence[Localized]
) -> list[Check]:
    """Claim the order of the table, from the best to what knows nothing."""
    checks = []
    for attention, (many, labelled, semi) in found.items():
        name = NAMES[attention]
        checks += [
            better(f"{name}: semi-supervised beats unsupervised", semi, many),
            better(f"{name}: supervised beats unsupervised", labelled, many),
            better(f"{name}: semi-supervised beats supervised", semi, labelled, is_close=True),
            *(better(f"{name}: unsupervised beats the {one.name}", many, one) for one in blind),
        ]
    if len(blind) > 1:
        checks.append(better(f"the {blind[1].name} beats a random map", blind[1], blind[0]))
    return [*checks, better("more unlabelled pairs beat fewer", found["cos"][0], few)]


def table_2(lab: Lab) -> Findings:
    """S19 Table 2: how many annotated pairs it takes, under both attentions."""
    plain = [localized(lab, one) for one in both_unsupervised(lab.size)]
    rows = of_table_2(lab.size, lab.size.n_labelled)
    found = {a: [localized(lab, replace(one, attention=a)) for one in rows] for a in BOTH}
    many = localized(lab, unsupervised(lab.size, large=True, attention="relu"))
    lines = [
        (*_line(plain[0].name, [plain[0]]), "–", "–"),
        _line(plain[1].name, [plain[1], many]),
        *(_line(soft.name, [soft, relu]) for soft, relu in zip(*found.values(), strict=True)),
    ]
    return Findings(
        tables=(Table(columns=("training", *_heads(NAMES.values())), rows=tuple(lines)),),
        checks=(
            *_label_checks(found["cos"][:-1], plain, f"{NAMES['cos']}: "),
            *_label_checks(found["relu"][:-1], [many], f"{NAMES['relu']}: "),
        ),
        notes=(_note(lab), *lab.material.remarks),
    )


def s18_table_2(lab: Lab) -> Findings:
    """S18 Table 2: as S19's under softmax, from the number of labels that S18 starts with."""
    plain = [localized(lab, one) for one in both_unsupervised(lab.size)]
    rows = of_table_2(lab.size, lab.size.n_labelled_of_sets)[:-1]
    found = [localized(lab, one) for one in rows]
    return Findings(
        tables=(_listed([*plain, *found]),),
        checks=tuple(_label_checks(found, plain)),
        notes=(_note(lab), *lab.material.remarks),
    )


def _label_checks(
    found: Sequence[Localized], plain: Sequence[Localized], where: str = ""
) -> list[Check]:
    """Claim that labels beat none, the fewest by no more than noise perhaps, and more are better.

    S19: "near 1k supervised samples are sufficient", that is two fifths of them.
    """
    best_plain = max(plain, key=lambda one: one.auc.mean)
    return [
        *(
            better(
                f"{where}{one.name} beats unsupervised learning",
                one,
                best_plain,
                is_close=one is not found[-1],
            )
            for one in found
        ),
        *_growing(found, where),
    ]


def _growing(found: Sequence[Localized], where: str = "") -> list[Check]:
    """Claim that more labels are better, though a single step may be lost in noise."""
    if len(found) < 2:
        return []
    steps = [difference(second.areas, first.areas) for first, second in pairwise(found)]
    return [
        better(f"{where}most labels beat fewest", found[-1], found[0]),
        nowhere_below(f"{where}no step to more labels loses", steps),
    ]


def table_3(lab: Lab) -> Findings:
    """S19 Table 3: against each annotator alone."""
    schemes = of_table_1(lab.size)
    if not any(len(truth.annotators) > 1 for truth in lab.material.truths.values()):
        raise DataAbsent("boxes of several annotators for each pair")
    found = [_by_annotator(lab, scheme) for scheme in schemes]
    people = list(found[0])
    lines = [_line(f"Subj. {who}", [one[who] for one in found]) for who in people]
    average = [
        float(np.mean([figure.mean for figure in figures]))
        for one in found
        for figures in (
            [one[who].success for who in people],
            [one[who].auc for who in people],
        )
    ]
    heads = _heads([scheme.name for scheme in schemes], figures=("IoU", "AUC"))
    return Findings(
        tables=(
            Table(columns=("subject", *heads), rows=(*lines, ("Avg.", *average)), note=_note(lab)),
        ),
        checks=tuple(_subject_checks(found)),
        notes=lab.material.remarks,
    )


def _subject_checks(found: Sequence[Mapping[str, Localized]]) -> list[Check]:
    plain, people = found[0], list(found[0])
    checks = [
        better(f"subject {who}: {other[who].name} beats unsupervised", other[who], plain[who])
        for who in people
        for other in found[1:]
    ]
    spreads = [float(np.ptp([one[who].auc.mean for who in people])) for one in found]
    gap = float(np.mean([found[-1][who].auc.mean - plain[who].auc.mean for who in people]))
    return [
        *checks,
        fact(
            "subjects differ less than the methods do",
            max(spreads) < gap,
            f"AUC between subjects {max(spreads):.3f} against {gap:.3f} between methods",
        ),
    ]


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
    return {
        who: Localized(name=scheme.name, values=np.stack([run[who] for run in runs]))
        for who in runs[0]
    }


def table_4(lab: Lab) -> Findings:
    """S19 Table 4: three disjoint test sets, each with networks that never saw it."""
    n_sets = len(lab.material.tests)
    if n_sets < 2:
        raise DataAbsent("annotated pairs for several disjoint test sets")
    found = [
        [localized(lab, scheme) for scheme in schemes] for schemes in of_table_4(lab.size, n_sets)
    ]
    lines = [_line(of_sets[0].name, of_sets) for of_sets in zip(*found, strict=True)]
    heads = _heads([f"Set{test + 1}" for test in range(n_sets)])
    checks = [
        check
        for test, of_set in enumerate(found)
        for check in _growing(of_set, where=f"set {test + 1}: ")
    ]
    return Findings(
        tables=(Table(columns=("training", *heads), rows=tuple(lines), note=_note(lab)),),
        checks=tuple(checks),
        notes=lab.material.remarks,
    )


def table_5(lab: Lab) -> Findings:
    """S19 Table 5: weights of the two losses, the larger unlabelled set and few labels."""
    schemes = of_table_5(lab.size)
    found = [localized(lab, scheme) for scheme in schemes]
    plain = localized(lab, unsupervised(lab.size, large=True))
    names = [f"Unsup. = {one.unsupervised:g}, Sup. = {one.supervised:g}" for one in schemes]
    lines = [_line(name, [one]) for name, one in zip(names, found, strict=True)]
    return Findings(
        tables=(
            Table(columns=("loss weights", *_heads([""])), rows=tuple(lines), note=_note(lab)),
        ),
        checks=(
            *(
                better(f"{name} beats unsupervised learning", one, plain, is_close=not 2 <= i < 4)
                for i, (name, one) in enumerate(zip(names, found, strict=True))
            ),
            *_balanced(found),
        ),
        notes=(f"Data: {found[0].name}.", *lab.material.remarks),
    )


def _balanced(found: Sequence[Localized]) -> list[Check]:
    """Claim that weights of one half or three quarters on the unsupervised loss are best."""
    middle = max(found[2:4], key=lambda one: one.auc.mean)
    ends = (found[0], found[1], found[4])
    return [
        nowhere_below(
            "balanced weights (0.5/0.5 or 0.75/0.25) are beaten by no others",
            [difference(middle.areas, other.areas) for other in ends],
            is_close=True,
        )
    ]


def figure_9(lab: Lab, *, name: str) -> Findings:
    """S19 Figure 9: the share of successes as the cIoU that counts as one grows."""
    plain = [localized(lab, one) for one in both_unsupervised(lab.size)]
    labelled = [localized(lab, one) for one in of_table_1(lab.size)[1:]]
    noise = blind(lab)[0]
    shown = [*plain, *labelled, noise]
    path = lab.picture_path(name)
    lines = [(one.name, one.curve.tolist()) for one in shown]
    curves(CURVE_AT.tolist(), lines, x_label="cIoU threshold", y_label="success ratio").save(path)
    return Findings(
        tables=(_listed(shown),),
        checks=(
            *(one for pair in product(labelled, plain) for one in _lies_above(*pair)),
            better("semi-supervised beats supervised", labelled[1], labelled[0], is_close=True),
            better("more unlabelled pairs beat fewer", plain[1], plain[0]),
            better("unsupervised beats a random map", plain[0], noise),
        ),
        pictures=(path,),
        notes=(_note(lab), *lab.material.remarks),
    )


def _lies_above(upper: Localized, lower: Localized) -> list[Check]:
    """Claim that one curve lies above another: by the area under it, and where half is found.

    Not at every threshold: a map that lights half of the frame touches any source a little.
    """
    claim = f"the curve of {upper.name} lies above that of {lower.name}"
    return [
        better(claim, upper, lower),
        above(f"{claim} at cIoU 0.5", upper.found, lower.found, what="success", is_close=True),
    ]


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


def _listed(found: Sequence[Localized]) -> Table:
    lines = tuple(_line(one.name, [one]) for one in found)
    return Table(columns=("training", "cIoU", "AUC"), rows=lines)


def _heads(of: Iterable[str], figures: tuple[str, str] = ("cIoU", "AUC")) -> list[str]:
    return [f"{name} {figure}".strip() for name in of for figure in figures]


def _line(name: str, found: Sequence[Localized]) -> tuple[Cell, ...]:
    return (name, *(figure for one in found for figure in (one.success, one.auc)))


def _note(lab: Lab) -> str:
    runs = f", mean of {lab.size.n_runs} trainings" if lab.size.n_runs > 1 else ""
    return f"cIoU is the share of samples at 0.5 or above; threshold {lab.threshold}{runs}."
