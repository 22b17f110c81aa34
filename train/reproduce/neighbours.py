"""Table 6, Figures 11 and 12: what is near to what in the learned space (S19 §5.3).

S19 ranks frames by f_v under their own sounds, which can leak the sound into the frame. That
protocol is reproduced as it stands, and the leak-free one stands beside it (definitions §3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.intervals import mean_figure
from encoder.labellers.protocol import NO_LABEL
from indexer.evaluation.chance import ChanceLevel
from indexer.evaluation.figures import ChanceFigures
from indexer.evaluation.judges import PseudoJudge
from indexer.evaluation.options import RetrievalOptions
from indexer.metrics import Mask, Ranked, Values
from train.reproduce.drawing import Strip, framed, plain, sheet, whitened
from train.reproduce.lab import Lab
from train.reproduce.looking import every_pair, sounds_of
from train.reproduce.material import Places
from train.reproduce.outcome import Cell, Check, Findings, Table
from train.reproduce.schemes import semi_supervised

KS, RANDOM = (10, 15, 20), "Random-10"
N_QUERIES, N_NEIGHBOURS = 5, 6
QUERY = (220, 40, 40)
Scores = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Space:
    """Scores (N, N) of every query (rows) against every item of the database, higher is nearer.

    `keep_image` and `keep_audio` are the two associative searches of S19 Figure 12.
    """

    own_audio_to_image: Scores
    own_image_to_audio: Scores
    free_audio_to_image: Scores
    free_image_to_audio: Scores
    keep_image: Scores
    keep_audio: Scores


def _space(lab: Lab, rows: Places) -> _Space:
    """Score the database with the semi-supervised network."""
    network = lab.network(semi_supervised(lab.size))
    f_v, free = every_pair(network, lab.bank, rows)
    f_s = sounds_of(network, lab.bank, rows).f_s
    f_s = f_s / f_s.norm(dim=1, keepdim=True)
    itself = np.arange(len(rows))
    own = f_v[itself, itself]
    cosines = (own @ f_s.T).numpy()
    return _Space(
        own_audio_to_image=cosines.T,
        own_image_to_audio=cosines,
        free_audio_to_image=free.numpy().T,
        free_image_to_audio=free.numpy(),
        keep_image=(f_v @ own[:, :, None])[:, :, 0].numpy(),
        keep_audio=(f_v.transpose(0, 1) @ own[:, :, None])[:, :, 0].numpy(),
    )


def table_6(lab: Lab) -> Findings:
    """S19 Table 6: success of cross-modal neighbours by pseudo labels, and chance."""
    rows = lab.test()
    space, labels = _space(lab, rows), _pseudo_labels(lab, rows)
    directions = (
        (
            "Image → Audio",
            space.own_image_to_audio,
            space.free_image_to_audio,
            labels.judge("image"),
        ),
        (
            "Audio → Image",
            space.own_audio_to_image,
            space.free_audio_to_image,
            labels.judge("audio"),
        ),
    )
    lines: dict[str, list[Cell]] = {name: [] for name in (*(f"Top-{k}" for k in KS), RANDOM)}
    checks = []
    for title, own, free, judge in directions:
        successes = [_successes(scores, judge) for scores in (own, free)]
        chance = _chance(judge, lab.seed)
        for k in KS:
            lines[f"Top-{k}"] += [mean_figure(one.precision_at(k)) for one in successes]
        lines[RANDOM] += [f"{chance.trials:.3f} (closed form {chance.closed_form:.3f})", ""]
        checks += _success_checks(title, successes[0], chance)
    heads = [f"{d[0]}{protocol}" for d in directions for protocol in (", own-sound", ", leak-free")]
    table = Table(
        columns=("neighbours", *heads),
        rows=tuple((name, *cells) for name, cells in lines.items()),
        note="Share of the k neighbours that share a pseudo label with the query, itself excluded.",
    )
    return Findings(
        tables=(table,), checks=tuple(checks), notes=(labels.note, *lab.material.remarks)
    )


def _success_checks(title: str, ranked: Ranked, chance: ChanceFigures) -> list[Check]:
    at = [float(np.nanmean(ranked.precision_at(k))) for k in KS]
    shown = ", ".join(f"{value:.3f}" for value in at)
    return [
        Check(
            claim=f"{title}: success at k = {KS[-1]} is under that at k = {KS[0]}, no step rises",
            holds=at[-1] < at[0] and all(b - a < 0.01 for a, b in pairwise(at)),
            found=f"{shown} at k = {', '.join(map(str, KS))}",
        ),
        Check(
            claim=f"{title}: success stays above chance",
            holds=at[-1] > max(chance.closed_form, chance.trials),
            found=f"{at[-1]:.3f} > {max(chance.closed_form, chance.trials):.3f}",
        ),
        Check(
            claim=f"{title}: chance by trials agrees with its closed form",
            holds=chance.agrees,
            found=f"{chance.trials:.3f} and {chance.closed_form:.3f}",
        ),
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class _PseudoLabels:
    """The best labels (N, 10) of each item's frame and of its sound, -1 where there are fewer."""

    image: Labels
    audio: Labels
    n_names: int
    note: str

    def judge(self, asks: str) -> PseudoJudge:
        pair = (self.image, self.audio) if asks == "image" else (self.audio, self.image)
        return PseudoJudge(*pair, self.n_names)


def _pseudo_labels(lab: Lab, rows: Places) -> _PseudoLabels:
    """Ask the labellers. Of a small vocabulary fewer labels are kept: ten of it fit everything."""
    pair, bank = lab.labellers(), lab.bank
    n_kept = min(10, max(1, round(SHARE_OF_VOCABULARY * len(pair.vocabulary))))
    pictures = bank.pictures_at(bank.picture_of[rows]).permute(0, 2, 3, 1).numpy()
    sounds = [lab.material.waveform(row) for row in rows.tolist()]
    image = pair.image.label([pair.image.prepare(one) for one in pictures]).ids.copy()
    audio = pair.audio.label([pair.audio.prepare(one) for one in sounds]).ids.copy()
    image[:, n_kept:] = audio[:, n_kept:] = NO_LABEL
    note = (
        f"Labellers {pair.name}: the best {n_kept} of {len(pair.vocabulary)} labels of a frame and "
        "of a sound (S19: ten of a thousand)."
    )
    return _PseudoLabels(image=image, audio=audio, n_names=len(pair.vocabulary), note=note)


SHARE_OF_VOCABULARY = 0.03
"""Two of the shipped labellers' 68 labels: with ten, any two made scenes share one."""


def _successes(scores: Scores, judge: PseudoJudge) -> Ranked:
    everything = np.arange(len(scores))
    right = judge.facing(everything)(everything)
    return Ranked.of(scores, right, np.eye(len(scores), dtype=bool))


def _chance(judge: PseudoJudge, seed: int) -> ChanceFigures:
    everything = np.arange(len(judge.of_queries))
    options = RetrievalOptions(seed=seed)
    level = ChanceLevel(judge, everything, everything, everything, everything, options)
    found = level.figures("image_to_audio")
    assert found is not None  # every item has labels, and there are other items
    return found


def figure_11(lab: Lab, *, name: str, first: int = 0) -> Findings:
    """S19 Figure 11: nearest neighbours across the modalities."""
    rows = lab.test()
    space = _space(lab, rows)
    searches = [
        ("audio → image", space.own_audio_to_image),
        ("image → audio", space.own_image_to_audio),
    ]
    path = _neighbour_sheet(lab, rows, searches, name, first)
    return Findings(
        checks=tuple(_same_kind_check(lab, rows, title, scores) for title, scores in searches),
        pictures=(path,),
        notes=(
            "The query has a red frame; bleached pictures stand for the sound of their pair.",
            *NOT_CHOSEN,
        ),
    )


def figure_12(lab: Lab, *, name: str, first: int = 0) -> Findings:
    """S19 Figure 12: neighbours while the query's frame, or its sound, is kept."""
    rows = lab.test()
    space = _space(lab, rows)
    searches = [("keep image", space.keep_image), ("keep audio", space.keep_audio)]
    path = _neighbour_sheet(lab, rows, searches, name, first)
    return Findings(
        checks=tuple(_same_kind_check(lab, rows, title, scores) for title, scores in searches),
        pictures=(path,),
        notes=(
            "Above, only the sounds of the gallery are used (bleached); below, only its frames.",
            *NOT_CHOSEN,
        ),
    )


NOT_CHOSEN = ("The first queries of the test set, not chosen by how well they are answered.",)


def _same_kind_check(lab: Lab, rows: Places, title: str, scores: Scores) -> Check:
    """Claim that neighbours sound or look like the query: more of its kind than by chance."""
    right = _kinds_agree(lab, rows)
    ranked = Ranked.of(scores, right, np.eye(len(rows), dtype=bool))
    found: Values = ranked.precision_at(N_NEIGHBOURS)
    chance = float(np.mean(ranked.n_right / ranked.n_gallery))
    return Check(
        claim=f"{title}: neighbours have semantic content in common with the query",
        holds=bool(found.mean() > chance),
        found=f"same kind among the first {N_NEIGHBOURS}: {found.mean():.3f} > chance {chance:.3f}",
    )


def _kinds_agree(lab: Lab, rows: Places) -> Mask:
    """Which items have the query's label, or without labels a pseudo label of its frame."""
    labels = lab.bank.labels[rows]
    if (labels >= 0).all():
        return np.asarray(labels[:, None] == labels)
    of_frames = _pseudo_labels(lab, rows)
    judge = PseudoJudge(of_frames.image, of_frames.image, of_frames.n_names)
    return judge.facing(np.arange(len(rows)))(np.arange(len(rows)))


def _neighbour_sheet(
    lab: Lab, rows: Places, searches: Sequence[tuple[str, Scores]], name: str, first: int
) -> Path:
    pictures = [plain(one) for one in lab.bank.pictures_at(lab.bank.picture_of[rows])]
    strips = []
    for title, scores in searches:
        hears = "→ audio" in title or title == "keep image"
        for query in range(first, min(first + N_QUERIES, len(rows))):
            nearest = np.argsort(-np.where(np.arange(len(rows)) == query, -np.inf, scores[query]))
            shown = [query, *nearest[:N_NEIGHBOURS].tolist()]
            strips.append(
                Strip(
                    title=title,
                    pictures=[
                        framed(pictures[query], QUERY),
                        *(_shown(pictures[i], hears) for i in shown[1:]),
                    ],
                    captions=[_kind(lab, int(rows[i])) for i in shown],
                )
            )
    path = lab.picture_path(name)
    sheet(strips, heads=["query", *(str(i + 1) for i in range(N_NEIGHBOURS))]).save(path)
    return path


def _shown(picture: Image.Image, hears: bool) -> Image.Image:
    return whitened(picture) if hears else picture


def _kind(lab: Lab, row: int) -> str:
    label = int(lab.bank.labels[row])
    return lab.bank.names[label] if label >= 0 else ""
