"""The catalogue: every table and figure of S18 and S19 with what it shows, claims and needs.

What a paper shows is told in words. Its numbers are never printed: they are no result of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from train.reproduce.lab import Lab
from train.reproduce.outcome import Findings

Need = Literal["pairs", "boxes", "annotators", "duets", "ambient", "clips", "panoramas", "votes"]
NEEDS: Mapping[Need, str] = {
    "pairs": "pairs without boxes: frames/, sounds/ or videos/, and unlabelled.txt "
    "(S19: Flickr-SoundNet, Flickr_train_144k.txt), or manifest.csv",
    "boxes": "boxes: annotations/ID.xml of the pairs (S19: 2 786 of Flickr-SoundNet) and test.txt, "
    "or vggss.json, or the column boxes of manifest.csv",
    "annotators": "boxes of several annotators for each pair, as annotations/ID.xml holds",
    "duets": "interactive.csv: several rows of one image, each with a sound in it and its boxes",
    "ambient": "pairs whose boxes are all tagged ambient, in annotations/ or manifest.csv",
    "clips": "clips/: videos with their sound",
    "panoramas": "panoramas/: equirectangular videos with their sound",
    "votes": "user-study.csv: video, choice (ours, other or similar), a row per vote",
}
"""What a row can need, and what to put into DIR for it (`entries.LAYOUT`)."""
LEARNING: tuple[Need, ...] = ("pairs", "boxes")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A table or a figure of a paper.

    Attributes
    ----------
    id : `S19-table-1`.
    shows : what the paper shows, in words.
    claims : what it claims, as an ordering; this is checked.
    computed : how it is computed here.
    needs : what must be there.
    compute : does it; None where a part of the project is still missing.
    missing : which part that is.
    """

    id: str
    shows: str
    claims: str
    computed: str
    needs: tuple[Need, ...]
    compute: Callable[[Lab], Findings] | None
    missing: str = ""

    @property
    def what_to_put(self) -> str:
        """What must be put where, in one line."""
        return "; ".join(NEEDS[need] for need in self.needs)


def all_rows() -> tuple[Row, ...]:
    """Return the catalogue, S19 first."""
    from train.reproduce import learning, maps, moving, neighbours, sounds

    return (
        Row(
            id="S19-table-1",
            shows="cIoU and AUC by way of learning, both attentions, beside what knows nothing",
            claims="semi-supervised > supervised > unsupervised > centre box > random map; "
            "more unlabelled pairs > fewer",
            computed="a training per scheme and attention, measured on the first test set",
            needs=LEARNING,
            compute=learning.table_1,
        ),
        Row(
            id="S19-table-2",
            shows="cIoU and AUC by number of annotated pairs",
            claims="few labels already beat none, more labels are better",
            computed="a semi-supervised training per number of labels",
            needs=LEARNING,
            compute=learning.table_2,
        ),
        Row(
            id="S19-table-3",
            shows="IoU and AUC against each annotator alone",
            claims="supervision wins for every annotator; annotators differ less than methods",
            computed="the maps of Table 1 against each annotator's own boxes",
            needs=(*LEARNING, "annotators"),
            compute=learning.table_3,
        ),
        Row(
            id="S19-table-4",
            shows="three disjoint test sets, by number of annotated pairs",
            claims="the trend is the same on every set: more labels are better",
            computed="trainings from scratch per set, on none of its pairs",
            needs=LEARNING,
            compute=learning.table_4,
        ),
        Row(
            id="S19-table-5",
            shows="weights of the unsupervised and the supervised loss",
            claims="balanced weights are best; every balance beats unsupervised learning",
            computed="a training per pair of weights, few labels, the larger unlabelled set",
            needs=LEARNING,
            compute=learning.table_5,
        ),
        Row(
            id="S19-table-6",
            shows="success of the nearest neighbours across modalities, by pseudo labels",
            claims="success falls with k and stays above chance, both ways",
            computed="cosines over the first test set, labels from labellers; leak-free beside",
            needs=LEARNING,
            compute=neighbours.table_6,
        ),
        Row(
            id="S19-table-7",
            shows="a user study: maps made with sound against maps made by vision alone",
            claims="maps made with sound are preferred",
            computed="a tally of votes",
            needs=("votes",),
            compute=None,
        ),
        Row(
            id="S19-figure-3",
            shows="frames where unsupervised learning looks at the wrong thing",
            claims="labels correct such false conclusions",
            computed="test frames whose source always has a silent companion, where that is known",
            needs=LEARNING,
            compute=partial(maps.figure_3, name="S19-figure-3"),
        ),
        Row(
            id="S19-figure-5",
            shows="maps of the unsupervised network on many kinds of sound",
            claims="sounds are localized without labels",
            computed="the first frames of each kind",
            needs=LEARNING,
            compute=partial(maps.figure_5, name="S19-figure-5"),
        ),
        Row(
            id="S19-figure-6",
            shows="one frame under different sounds",
            claims="the map moves with the sound",
            computed="frames with two sources, each sound alone",
            needs=(*LEARNING, "duets"),
            compute=partial(sounds.figure_6, name="S19-figure-6"),
        ),
        Row(
            id="S19-figure-7",
            shows="the unsupervised network beside what people drew",
            claims="the network agrees with people",
            computed="maps and boxes of the first test frames",
            needs=LEARNING,
            compute=partial(maps.figure_7, name="S19-figure-7"),
        ),
        Row(
            id="S19-figure-8",
            shows="the same frames under every way of learning",
            claims="supervised and semi-supervised maps fit the source better",
            computed="maps of the first test frames",
            needs=LEARNING,
            compute=partial(maps.figure_8, name="S19-figure-8"),
        ),
        Row(
            id="S19-figure-9",
            shows="success against the cIoU threshold",
            claims="the supervised curves lie above the unsupervised ones",
            computed="curves of Table 1",
            needs=LEARNING,
            compute=partial(learning.figure_9, name="S19-figure-9"),
        ),
        Row(
            id="S19-figure-10",
            shows="responses to object sounds and to ambient sounds, both attentions",
            claims="ambient sounds get weaker responses; ReLU suppresses them better",
            computed="g before the softmax on the same frames under both kinds of sound",
            needs=(*LEARNING, "ambient"),
            compute=partial(sounds.figure_10, name="S19-figure-10"),
        ),
        Row(
            id="S19-figure-11",
            shows="nearest neighbours across modalities",
            claims="neighbours have semantic content in common with the query",
            computed="the rankings of Table 6",
            needs=LEARNING,
            compute=partial(neighbours.figure_11, name="S19-figure-11"),
        ),
        Row(
            id="S19-figure-12",
            shows="neighbours while the query's frame, or its sound, is kept",
            claims="the kept modality selects: neighbours share the query's context",
            computed="cosines of f_v under every pair of frame and sound",
            needs=LEARNING,
            compute=partial(neighbours.figure_12, name="S19-figure-12"),
        ),
        Row(
            id="S19-figure-13",
            shows="maps of video frames",
            claims="the source is found frame by frame without motion",
            computed="each frame with the sound around it",
            needs=(*LEARNING, "clips"),
            compute=partial(moving.figure_13, name="S19-figure-13"),
        ),
        Row(
            id="S19-figure-14",
            shows="sound saliency of 360° videos beside saliency by vision",
            claims="sound finds the source in equirectangular frames",
            computed="equirectangular frames as they are; without the row by vision",
            needs=(*LEARNING, "panoramas"),
            compute=partial(moving.figure_14, name="S19-figure-14"),
        ),
        Row(
            id="S19-figure-15",
            shows="views along a camera path through 360° videos",
            claims="the path follows the sound",
            computed="AUTOCAM over the maps of Figure 14",
            needs=(*LEARNING, "panoramas"),
            compute=None,
            missing="the camera path (AUTOCAM) over saliency maps",
        ),
        *_earlier(),
    )


def _earlier() -> tuple[Row, ...]:
    """S18: the same protocols; its Table 1 lacks the centre box, its loss is the same function."""
    from train.reproduce import learning, maps, sounds

    computes: dict[str, Callable[[Lab], Findings]] = {
        "S18-table-1": partial(learning.table_1, with_centre=False),
        "S18-table-2": learning.table_2,
        "S18-table-3": learning.table_3,
        "S18-figure-3": partial(maps.figure_3, name="S18-figure-3"),
        "S18-figure-5": partial(maps.figure_5, name="S18-figure-5"),
        "S18-figure-6": partial(sounds.figure_6, name="S18-figure-6"),
        "S18-figure-7": partial(maps.figure_7, name="S18-figure-7"),
        "S18-figure-8": partial(maps.figure_8, name="S18-figure-8"),
        "S18-figure-9": partial(learning.figure_9, name="S18-figure-9"),
    }
    shows = {
        "S18-table-1": "as S19 Table 1, without the centre box",
        "S18-table-2": "as S19 Table 2, from 500 labels on",
        "S18-figure-6": "as S19 Figure 6",
    }
    rows = []
    for row_id, compute in computes.items():
        needs: tuple[Need, ...] = (*LEARNING, "duets") if row_id == "S18-figure-6" else LEARNING
        _, kind, number = row_id.split("-")
        rows.append(
            Row(
                id=row_id,
                shows=shows.get(row_id, f"as S19 {kind.capitalize()} {number}"),
                claims=f"as S19 {kind.capitalize()} {number}",
                computed=f"as S19 {kind.capitalize()} {number}",
                needs=(*needs, "annotators") if row_id == "S18-table-3" else needs,
                compute=compute,
            )
        )
    return tuple(rows)
