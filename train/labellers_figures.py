"""How often a labeller is right: on rows of a manifest, and on scenes of the world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import Figure, rate_figure
from encoder.labellers.protocol import NO_LABEL
from encoder.labellers.shipped import ShippedLabeller
from encoder.media import read_frame, read_sound
from train.errors import PairsError
from train.pairs import Pair, Picture, Span
from train.world import WorldConfig, make_scene

N_MISTAKES = 12


@dataclass(frozen=True, kw_only=True)
class LabelRecall:
    """Of n files of a label: how many were named first, and within the first five."""

    label: str
    first: int
    in_five: int
    n: int


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """So many files of `label` were called `answer`."""

    label: str
    answer: str
    n: int


@dataclass(frozen=True, kw_only=True)
class LabelFigures:
    """Shares of files whose label is the best, among the best five or ten; Wilson intervals.

    Attributes
    ----------
    n_outside : files left out because they bear no label, or one that the labeller was never
        taught and so cannot say.
    labels_outside : these labels.
    chance_top5 : five distinct labels drawn from those that it can say.
    """

    top1: Figure
    top5: Figure
    top10: Figure
    chance_top5: float
    n_outside: int
    labels_outside: tuple[str, ...]
    recalls: tuple[LabelRecall, ...]
    mistakes: tuple[Mistake, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_labeller(
    labeller: ShippedLabeller, pairs: Sequence[Pair], *, low_pass_hz: float | None = None
) -> LabelFigures:
    """Label every distinct picture or sound of rows, as files, and compare with their labels.

    Parameters
    ----------
    low_pass_hz : cut sounds above this frequency first: a labeller that leans on the bandwidth of
        a source rather than on the sound falls with it.

    Raises
    ------
    MediaError : a file cannot be read.
    PairsError : no row has a file of the labeller's kind with a label that it can say.
    """
    said = [labeller.vocabulary.names[k] for k in labeller.description.label_ids]
    files = _files(labeller, pairs)
    known = [(file, label) for file, label in files if label in said]
    if not known:
        raise PairsError(f"{labeller.name}: no {labeller.modality} has a label that it can say")
    decoded = (_decoded(labeller, file) for file, _ in known)
    if low_pass_hz is not None:
        decoded = (low_passed(sound, labeller.rate_hz, low_pass_hz) for sound in decoded)
    best = [_labels_of(labeller, item) for item in decoded]
    outside = tuple(sorted({label for _, label in files if label is not None} - set(said)))
    return _figures(labeller, [label for _, label in known], best, len(files) - len(known), outside)


def measure_on_world(labeller: ShippedLabeller, *, n_scenes: int, seed: int) -> LabelFigures:
    """The same on scenes of the procedural world that have one visible source."""
    config = WorldConfig(
        n_scenes=n_scenes,
        seed=seed,
        two_source_share=0.0,
        offscreen_share=0.0,
        ambient_share=0.0,
        rate_hz=labeller.config.rate_hz,
    )
    scenes = (make_scene(config, i) for i in range(n_scenes))
    is_image = labeller.modality == "image"
    found = [
        (scene.kind, _labels_of(labeller, scene.image if is_image else scene.waveform))
        for scene in scenes
    ]
    return _figures(labeller, [kind for kind, _ in found], [best for _, best in found], 0, ())


def _files(
    labeller: ShippedLabeller, pairs: Sequence[Pair]
) -> list[tuple[Picture | Span, str | None]]:
    """Distinct files with their label; a file that bears two is two."""
    is_image = labeller.modality == "image"
    listed = [((p.picture if is_image else p.sound), p.label) for p in pairs]
    return list(dict.fromkeys((file, label) for file, label in listed if file is not None))


def _decoded(labeller: ShippedLabeller, file: Picture | Span) -> NDArray[Any]:
    if isinstance(file, Picture):
        return read_frame(file.path, file.time_s)
    return read_sound(file.path, t0_s=file.t0_s, t1_s=file.t1_s, rate_hz=labeller.rate_hz)


def low_passed(waveform: NDArray[Any], rate_hz: int, cut_hz: float) -> NDArray[np.float32]:
    """Remove everything above a frequency from a sound (T,)."""
    spectrum = np.fft.rfft(waveform)
    spectrum[np.fft.rfftfreq(len(waveform), 1 / rate_hz) > cut_hz] = 0
    return np.fft.irfft(spectrum, len(waveform)).astype(np.float32)


def _labels_of(labeller: ShippedLabeller, decoded: NDArray[Any]) -> list[str]:
    """Names of the best ten labels."""
    ids = labeller.label([labeller.prepare(decoded)]).ids[0]
    return [labeller.vocabulary.names[k] for k in ids if k != NO_LABEL]


def _figures(
    labeller: ShippedLabeller,
    labels: list[str],
    best: list[list[str]],
    n_outside: int,
    outside: tuple[str, ...],
) -> LabelFigures:
    def within(k: int) -> NDArray[np.bool_]:
        pairs = zip(labels, best, strict=True)
        return np.array([label in names[:k] for label, names in pairs])

    first, five = within(1), within(5)
    mistakes = Counter(
        (label, names[0]) for label, names in zip(labels, best, strict=True) if label != names[0]
    )
    return LabelFigures(
        top1=rate_figure(first),
        top5=rate_figure(five),
        top10=rate_figure(within(10)),
        chance_top5=min(1.0, 5 / len(labeller.description.label_ids)),
        n_outside=n_outside,
        labels_outside=outside,
        recalls=tuple(_recalls(labels, first, five)),
        mistakes=tuple(
            Mistake(label=label, answer=answer, n=n)
            for (label, answer), n in sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))
        )[:N_MISTAKES],
    )


def _recalls(
    labels: list[str], first: NDArray[np.bool_], five: NDArray[np.bool_]
) -> Iterator[LabelRecall]:
    named = np.array(labels)
    for label in sorted(set(labels)):
        own = named == label
        yield LabelRecall(
            label=label, first=int(first[own].sum()), in_five=int(five[own].sum()), n=int(own.sum())
        )
