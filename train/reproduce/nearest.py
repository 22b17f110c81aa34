"""Figures 11 and 12: the nearest neighbours of a few queries, drawn, and whether they are akin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.evaluation.judges import PseudoJudge
from indexer.metrics import Mask, Ranked
from train.reproduce.drawing import Strip, framed, plain, sheet, whitened
from train.reproduce.lab import Lab
from train.reproduce.material import Places
from train.reproduce.orderings import above
from train.reproduce.outcome import Check, Findings
from train.reproduce.pseudo import pseudo_labels
from train.reproduce.spaces import Scores, databases, spaces_of

N_QUERIES, N_NEIGHBOURS = 5, 6
QUERY = (220, 40, 40)


def figure_11(lab: Lab, *, name: str, first: int = 0) -> Findings:
    """S19 Figure 11: nearest neighbours across the modalities."""
    return _figure(
        lab,
        [("audio → image", "own_audio_to_image"), ("image → audio", "own_image_to_audio")],
        name,
        first,
        "The query has a red frame; bleached pictures stand for the sound of their pair.",
    )


def figure_12(lab: Lab, *, name: str, first: int = 0) -> Findings:
    """S19 Figure 12: neighbours while the query's frame, or its sound, is kept."""
    return _figure(
        lab,
        [("keep image", "keep_image"), ("keep audio", "keep_audio")],
        name,
        first,
        "Above, only the sounds of the gallery are used (bleached); below, only its frames.",
    )


def _figure(
    lab: Lab, searches: Sequence[tuple[str, str]], name: str, first: int, note: str
) -> Findings:
    """Draw neighbours by the first run, and check all runs; `searches` name parts of `Space`."""
    rows = databases(lab)[0]
    spaces, right = spaces_of(lab, rows), _kinds_agree(lab, rows)
    shown = [(title, getattr(spaces[0], scores)) for title, scores in searches]
    return Findings(
        checks=tuple(
            _same_kind_check(title, right, [getattr(space, scores) for space in spaces])
            for title, scores in searches
        ),
        pictures=(_neighbour_sheet(lab, rows, shown, name, first),),
        notes=(note, *NOT_CHOSEN),
    )


NOT_CHOSEN = ("The first queries of the test set, not chosen by how well they are answered.",)


def _same_kind_check(title: str, right: Mask, runs: Sequence[Scores]) -> Check:
    """Claim that neighbours sound or look like the query: more of its kind than by chance."""
    itself = np.eye(len(right), dtype=bool)
    ranked = [Ranked.of(scores, right, itself) for scores in runs]
    n_near = min(N_NEIGHBOURS, len(right) - 1)
    return above(
        f"{title}: the first {n_near} neighbours have content in common with the query",
        np.stack([run.precision_at(n_near) for run in ranked]),
        (ranked[0].n_right / ranked[0].n_gallery)[None],
        what="share of the query's kind and chance",
    )


def _kinds_agree(lab: Lab, rows: Places) -> Mask:
    """Which items have the query's label, or without labels a pseudo label of its frame."""
    labels = lab.bank.labels[rows]
    if (labels >= 0).all():
        return np.asarray(labels[:, None] == labels)
    of_frames = pseudo_labels(lab, rows)
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
