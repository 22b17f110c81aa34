"""The catalogue: every table and figure of S18 and S19 with what it shows, claims and needs.

What a paper shows is told in words. Its numbers are never printed: they are no result of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from train.reproduce import plans
from train.reproduce.lab import Lab
from train.reproduce.outcome import Findings
from train.reproduce.schemes import Scheme
from train.reproduce.size import Size

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
    compute : does it on trained networks, or None.
    tally : does it on a file of votes, or None.
    missing : the part of the project that is not there yet, of a row that has neither.
    trains : networks that `compute` asks for at a size.
    """

    id: str
    shows: str
    claims: str
    computed: str
    needs: tuple[Need, ...]
    compute: Callable[[Lab], Findings] | None = None
    tally: Callable[[Path | None], Findings] | None = None
    missing: str = ""
    trains: Callable[[Size], Sequence[Scheme]] = lambda _: ()

    @property
    def what_to_put(self) -> str:
        """What must be put where, in one line."""
        return "; ".join(NEEDS[need] for need in self.needs)

    @property
    def is_within_a_world(self) -> bool:
        """Whether a made world can give it: no people, and no part of the project is missing."""
        return self.compute is not None

    def to_json(self) -> dict[str, object]:
        return {
            "row": self.id,
            "shows": self.shows,
            "claims": self.claims,
            "computed": self.computed,
            "needs": list(self.needs),
            "missing": self.missing,
        }


def all_rows() -> tuple[Row, ...]:
    """Return the catalogue, S19 first."""
    from train.reproduce import learning, maps, moving, nearest, neighbours, sounds, study

    return (
        Row(
            id="S19-table-1",
            shows="cIoU and AUC by way of learning, both attentions, beside what knows nothing",
            claims="semi-supervised > supervised > unsupervised > centre box > random map; "
            "more unlabelled pairs > fewer",
            computed="a training per scheme and attention, measured on the first test set",
            needs=LEARNING,
            compute=learning.table_1,
            trains=plans.table_1,
        ),
        Row(
            id="S19-table-2",
            shows="cIoU and AUC by number of annotated pairs",
            claims="few labels already beat none, more labels are better",
            computed="a semi-supervised training per number of labels",
            needs=LEARNING,
            compute=learning.table_2,
            trains=plans.table_2,
        ),
        Row(
            id="S19-table-3",
            shows="IoU and AUC against each annotator alone",
            claims="supervision wins for every annotator; annotators differ less than methods",
            computed="the maps of Table 1 against each annotator's own boxes",
            needs=(*LEARNING, "annotators"),
            compute=learning.table_3,
            trains=plans.table_3,
        ),
        Row(
            id="S19-table-4",
            shows="three disjoint test sets, by number of annotated pairs",
            claims="the trend is the same on every set: more labels are better",
            computed="trainings from scratch per set, on none of its pairs",
            needs=LEARNING,
            compute=learning.table_4,
            trains=plans.table_4,
        ),
        Row(
            id="S19-table-5",
            shows="weights of the unsupervised and the supervised loss",
            claims="balanced weights are best; every balance beats unsupervised learning",
            computed="a training per pair of weights, few labels, the larger unlabelled set",
            needs=LEARNING,
            compute=learning.table_5,
            trains=plans.table_5,
        ),
        Row(
            id="S19-table-6",
            shows="success of the nearest neighbours across modalities, by pseudo labels",
            claims="success falls with k and stays above chance, both ways",
            computed="cosines over the first test set, labels from labellers; leak-free beside",
            needs=LEARNING,
            compute=neighbours.table_6,
            trains=plans.semi,
        ),
        Row(
            id="S19-table-7",
            shows="a user study: maps made with sound against maps made by vision alone",
            claims="maps made with sound are preferred",
            computed="a tally of votes",
            needs=("votes",),
            tally=study.table_7,
        ),
        Row(
            id="S19-figure-3",
            shows="frames where unsupervised learning looks at the wrong thing",
            claims="labels correct such false conclusions",
            computed="test frames whose source always has a silent companion, where that is known",
            needs=LEARNING,
            compute=partial(maps.figure_3, name="S19-figure-3"),
            trains=plans.many_and_semi,
        ),
        Row(
            id="S19-figure-5",
            shows="maps of the unsupervised network on many kinds of sound",
            claims="sounds are localized without labels",
            computed="the first frames of each kind",
            needs=LEARNING,
            compute=partial(maps.figure_5, name="S19-figure-5"),
            trains=plans.many,
        ),
        Row(
            id="S19-figure-6",
            shows="one frame under different sounds",
            claims="the map moves with the sound",
            computed="frames with two sources, each sound alone",
            needs=(*LEARNING, "duets"),
            compute=partial(sounds.figure_6, name="S19-figure-6"),
            trains=plans.many_and_semi,
        ),
        Row(
            id="S19-figure-7",
            shows="the unsupervised network beside what people drew",
            claims="the network agrees with people",
            computed="maps and boxes of the first test frames",
            needs=LEARNING,
            compute=partial(maps.figure_7, name="S19-figure-7"),
            trains=plans.many,
        ),
        Row(
            id="S19-figure-8",
            shows="the same frames under every way of learning",
            claims="supervised and semi-supervised maps fit the source better",
            computed="maps of the first test frames",
            needs=LEARNING,
            compute=partial(maps.figure_8, name="S19-figure-8"),
            trains=plans.all_softmax,
        ),
        Row(
            id="S19-figure-9",
            shows="success against the cIoU threshold",
            claims="the supervised curves lie above the unsupervised ones",
            computed="curves of Table 1",
            needs=LEARNING,
            compute=partial(learning.figure_9, name="S19-figure-9"),
            trains=plans.all_softmax,
        ),
        Row(
            id="S19-figure-10",
            shows="responses to object sounds and to ambient sounds, both attentions",
            claims="ambient sounds get weaker responses; ReLU suppresses them better",
            computed="g before the softmax on the same frames under both kinds of sound",
            needs=(*LEARNING, "ambient"),
            compute=partial(sounds.figure_10, name="S19-figure-10"),
            trains=plans.semi_under_both,
        ),
        Row(
            id="S19-figure-11",
            shows="nearest neighbours across modalities",
            claims="neighbours have semantic content in common with the query",
            computed="the rankings of Table 6",
            needs=LEARNING,
            compute=partial(nearest.figure_11, name="S19-figure-11"),
            trains=plans.semi,
        ),
        Row(
            id="S19-figure-12",
            shows="neighbours while the query's frame, or its sound, is kept",
            claims="the kept modality selects: neighbours share the query's context",
            computed="cosines of f_v under every pair of frame and sound",
            needs=LEARNING,
            compute=partial(nearest.figure_12, name="S19-figure-12"),
            trains=plans.semi,
        ),
        Row(
            id="S19-figure-13",
            shows="maps of video frames",
            claims="the source is found frame by frame without motion",
            computed="each frame with the sound around it",
            needs=(*LEARNING, "clips"),
            compute=partial(moving.figure_13, name="S19-figure-13"),
            trains=plans.semi,
        ),
        Row(
            id="S19-figure-14",
            shows="sound saliency of 360° videos beside saliency by vision",
            claims="sound finds the source in equirectangular frames",
            computed="equirectangular frames as they are; without the row by vision",
            needs=(*LEARNING, "panoramas"),
            compute=partial(moving.figure_14, name="S19-figure-14"),
            trains=plans.semi,
        ),
        Row(
            id="S19-figure-15",
            shows="views along a camera path through 360° videos",
            claims="the path follows the sound",
            computed="AUTOCAM over the maps of Figure 14",
            needs=(*LEARNING, "panoramas"),
            missing="the camera path (AUTOCAM) over saliency maps",
        ),
        *_earlier(),
    )


def _earlier() -> tuple[Row, ...]:
    """S18: the same protocols; its Table 1 lacks the centre box, its loss is the same function."""
    from train.reproduce import learning, maps, sounds

    computes: dict[str, tuple[Callable[[Lab], Findings], Callable[[Size], Sequence[Scheme]]]] = {
        "S18-table-1": (partial(learning.table_1, with_centre=False), plans.table_1),
        "S18-table-2": (learning.s18_table_2, plans.s18_table_2),
        "S18-table-3": (learning.table_3, plans.table_3),
        "S18-figure-3": (partial(maps.figure_3, name="S18-figure-3"), plans.many_and_semi),
        "S18-figure-5": (partial(maps.figure_5, name="S18-figure-5"), plans.many),
        "S18-figure-6": (partial(sounds.figure_6, name="S18-figure-6"), plans.many_and_semi),
        "S18-figure-7": (partial(maps.figure_7, name="S18-figure-7"), plans.many),
        "S18-figure-8": (partial(maps.figure_8, name="S18-figure-8"), plans.all_softmax),
        "S18-figure-9": (partial(learning.figure_9, name="S18-figure-9"), plans.all_softmax),
    }
    shows = {
        "S18-table-1": "as S19 Table 1, without the centre box",
        "S18-table-2": "as S19 Table 2 under softmax, from 500 labels on",
    }
    needs: dict[str, tuple[Need, ...]] = {
        "S18-table-3": (*LEARNING, "annotators"),
        "S18-figure-6": (*LEARNING, "duets"),
    }
    rows = []
    for row_id, (compute, trains) in computes.items():
        _, kind, number = row_id.split("-")
        same = f"as S19 {kind.capitalize()} {number}"
        rows.append(
            Row(
                id=row_id,
                shows=shows.get(row_id, same),
                claims=same,
                computed=same,
                needs=needs.get(row_id, LEARNING),
                compute=compute,
                trains=trains,
            )
        )
    return tuple(rows)
