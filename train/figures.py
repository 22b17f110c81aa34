"""How good a network is: the figures of definitions §3 and §4 that training chooses by.

Leak-free first. The own-sound protocol of S19 and the swap test stand beside it, because a network
that leaks shines in the one and fails in the other. Order, exclusions, partners, draws and verdicts
are those of `retrieval evaluate` (`indexer.rules`, `indexer.metrics`,
`encoder.localization.concat`); here they are over the rows of a bank, and no index is needed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from encoder.intervals import SHARES, mean_figure
from encoder.intervals import Figure as Figure
from encoder.two_stream import TwoStreamEncoder
from indexer.metrics import Values
from train.bank import NONE, Bank
from train.errors import PairsError
from train.glued import glued_figures
from train.items import items_of
from train.looking import hear, look, swap_of
from train.ranking import Ranking, coarse, leak_free, own_sound

NOT_MEASURABLE = (
    "figures need two labels with two rows of a picture and a sound each; "
    "label the rows, or leave the split out"
)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures on the rows of a bank that have a picture, a sound and a label.

    The query's own row and exact duplicates of its picture or sound are never answers.

    Attributes
    ----------
    leak_free_audio_to_image, leak_free_image_to_audio : class mAP.
    own_sound_audio_to_image, own_sound_image_to_audio : the same by the protocol of S19 §5.3.
    swapped_audio_to_image : own-sound, but every frame is conditioned on a sound of another label;
        own-sound minus swapped is the leak.
    coarse_audio_to_image, coarse_image_to_audio : with f_v under uniform attention.
    chance : expectation of the class mAP under a random order.
    side_accuracy : share of glued frames whose attention lies mostly on the right half.
    conditional_accuracy : share of glued frames whose f_v is nearer to the sound's own label.
    conditioning_strength : mean of 1 − cos of one frame's f_v under its own sound and under those
        of other labels.
    conditioning_strength_same_label : the same under other sounds of the frame's own label.
    """

    leak_free_audio_to_image: Figure
    leak_free_image_to_audio: Figure
    own_sound_audio_to_image: Figure
    own_sound_image_to_audio: Figure
    swapped_audio_to_image: Figure
    coarse_audio_to_image: Figure
    coarse_image_to_audio: Figure
    chance: float
    side_accuracy: Figure
    conditional_accuracy: Figure
    conditioning_strength: Figure
    conditioning_strength_same_label: Figure

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @property
    def worst(self) -> float:
        """The lower of the two leak-free figures: what checkpoints are chosen by."""
        return min(self.leak_free_audio_to_image.mean, self.leak_free_image_to_audio.mean)


def is_measurable(bank: Bank) -> bool:
    """Say whether two labels have two paired rows each: below that nothing can be ranked."""
    labels = bank.labels[bank.paired]
    _, counts = np.unique(labels[labels != NONE], return_counts=True)
    return bool((counts >= 2).sum() >= 2)


def measure(network: TwoStreamEncoder, bank: Bank, *, frame_px: int, seed: int = 0) -> Figures:
    """Measure a network in eval mode on a bank, in float32, on the network's device.

    Raises
    ------
    PairsError : see `is_measurable`.
    """
    if not is_measurable(bank):
        raise PairsError(NOT_MEASURABLE)
    items = items_of(bank)
    sounds, swap = hear(network, bank, items), swap_of(items, seed)
    looked = look(network, bank, items, sounds, swap, frame_px=frame_px, seed=seed)
    glued = glued_figures(network, bank, items, sounds, frame_px=frame_px, seed=seed)
    to_frames, to_sounds = leak_free(items, looked)
    own_to_frames, own_to_sounds = own_sound(items, looked.f_s, looked.own)
    swapped, _ = own_sound(items, looked.f_s, looked.swapped, heard=swap.sounds)
    coarse_to_frames, coarse_to_sounds = coarse(items, looked)

    def mean(values: Values) -> Figure:
        return mean_figure(values, seed=seed, within=SHARES)

    def distance(values: list[float]) -> Figure:
        return mean_figure(np.array(values), seed=seed, within=(0.0, 2.0))

    return Figures(
        leak_free_audio_to_image=mean(to_frames.average_precision()),
        leak_free_image_to_audio=mean(to_sounds.average_precision()),
        own_sound_audio_to_image=mean(own_to_frames.average_precision()),
        own_sound_image_to_audio=mean(own_to_sounds.average_precision()),
        swapped_audio_to_image=mean(swapped.average_precision()),
        coarse_audio_to_image=mean(coarse_to_frames.average_precision()),
        coarse_image_to_audio=mean(coarse_to_sounds.average_precision()),
        chance=to_frames.chance(),
        side_accuracy=glued.side_accuracy,
        conditional_accuracy=glued.conditional_accuracy,
        conditioning_strength=distance([one.other_label for one in looked.moved]),
        conditioning_strength_same_label=distance([one.same_label for one in looked.moved]),
    )


def leak_free_of(
    network: TwoStreamEncoder, bank: Bank, *, frame_px: int, seed: int = 0
) -> tuple[Ranking, Ranking]:
    """Rank a bank leak-free, audio→image and image→audio."""
    items = items_of(bank)
    sounds, swap = hear(network, bank, items), swap_of(items, seed)
    return leak_free(items, look(network, bank, items, sounds, swap, frame_px=frame_px, seed=seed))


def precision_at(network: TwoStreamEncoder, bank: Bank, k: int, *, frame_px: int) -> Figure:
    """Share of the k best leak-free answers that bear the query's label, both directions pooled."""
    rankings = leak_free_of(network, bank, frame_px=frame_px)
    values = np.concatenate([ranking.precision_at(k) for ranking in rankings])
    return mean_figure(values, within=SHARES)
