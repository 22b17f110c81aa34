"""What a bank is: rows of pictures and sounds, in memory, in a packed cache, or joined of several.

A bank is the only thing the loop reads. `pictures_at` and `sounds_at` work on every kind of bank;
`pictures` and `sounds` are empty where they are not in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.records import Records

AGREEMENT_PX = 160
"""Side of a kept agreement: grids of 8, 10 and 20 cells divide it."""
NONE = -1
"""Stands for a missing picture or sound of a row, and for a missing label."""


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Where annotators saw the source of the sound, for the rows that they looked at.

    Attributes
    ----------
    maps : (A, 1, AGREEMENT_PX, AGREEMENT_PX) uint8, their agreement g (S19 eq. 9), 255 for 1.
    of : (N,) index into `maps` per row of the bank, or `NONE`: there λ of S19 eq. 7 is 0.
    """

    maps: Tensor
    of: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Features:
    """What frozen streams say of every picture and sound of a bank (`train.frozen`).

    Attributes
    ----------
    pictures : (P, C, H', W') float16, what the visual stream's trained part takes.
    f_s : (S, 1000) float32.
    """

    pictures: Tensor
    f_s: Tensor


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What the pictures and sounds of a bank are, whatever their files are called.

    Attributes
    ----------
    pictures : (P,) digest of the file and seconds into it.
    sounds : (S,) digest of the file, from and to in seconds.
    """

    pictures: tuple[tuple[str, float], ...]
    sounds: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Rows of pictures and sounds.

    Attributes
    ----------
    pictures : (P, 3, px, px) uint8.
    sounds : (S, …) float32, the sound stream's front of one window each.
    picture_of, sound_of : (N,) index into them per row, or `NONE`.
    labels : (N,) index into `names`, or `NONE`.
    names : the labels.
    regions : what people drew, or None where nobody did.
    features : kept so that frozen streams run once for many trainings, or None.
    contents : so that figures know exact duplicates; None where each picture and each sound is
        known to be another one.
    """

    pictures: Tensor
    sounds: Tensor
    picture_of: NDArray[np.int64]
    sound_of: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    regions: Regions | None = None
    features: Features | None = None
    contents: Contents | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_pictures(self) -> int:
        return len(self.pictures)

    @property
    def n_sounds(self) -> int:
        return len(self.sounds)

    def pictures_at(self, places: NDArray[np.int64]) -> Tensor:
        """Some of the pictures, (B, 3, px, px) uint8."""
        return self.pictures[places]

    def sounds_at(self, places: NDArray[np.int64]) -> Tensor:
        """Some of the sounds, (B, …) float32."""
        return self.sounds[places]

    @property
    def is_annotated(self) -> NDArray[np.bool_]:
        """Rows into whose picture somebody drew where the sound comes from, (N,)."""
        return np.zeros(len(self), bool) if self.regions is None else self.regions.of != NONE

    @property
    def paired(self) -> NDArray[np.int64]:
        """Rows that have both a picture and a sound."""
        return np.flatnonzero((self.picture_of != NONE) & (self.sound_of != NONE))

    def only(self, keep: NDArray[np.bool_]) -> Bank:
        """Some of the rows; `keep` is (N,) bool. Pictures, sounds and labels keep their numbers."""
        return self.at(np.flatnonzero(keep))

    def at(self, rows: NDArray[np.int64]) -> Bank:
        """Some of the rows by number, in the order given. Pictures and sounds keep theirs."""
        regions = self.regions and replace(self.regions, of=self.regions.of[rows])
        return replace(
            self,
            picture_of=self.picture_of[rows],
            sound_of=self.sound_of[rows],
            labels=self.labels[rows],
            regions=regions,
        )

    def members(self, of: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
        """For each label, the distinct entries of `picture_of` or `sound_of` that bear it."""
        found = {int(k): np.unique(of[(self.labels == k) & (of != NONE)]) for k in set(self.labels)}
        return {label: entries for label, entries in sorted(found.items()) if len(entries)}


@dataclass(frozen=True, kw_only=True)
class PackedBank(Bank):
    """Rows whose pictures and sounds lie in a packed cache, and are read when they are asked for.

    Attributes
    ----------
    picture_records, sound_records : all records of two shelves, of other banks, too.
    picture_places, sound_places : (P,) and (S,) record of each picture and sound.
    """

    picture_records: Records
    sound_records: Records
    picture_places: NDArray[np.int64]
    sound_places: NDArray[np.int64]

    @property
    def n_pictures(self) -> int:
        return len(self.picture_places)

    @property
    def n_sounds(self) -> int:
        return len(self.sound_places)

    def pictures_at(self, places: NDArray[np.int64]) -> Tensor:
        """Read some of the pictures, (B, 3, px, px) uint8."""
        return self.picture_records.take(self.picture_places[places])

    def sounds_at(self, places: NDArray[np.int64]) -> Tensor:
        """Read some of the sounds, (B, …) float32."""
        return self.sound_records.take(self.sound_places[places])


@dataclass(frozen=True, kw_only=True)
class JoinedBank(Bank):
    """Banks one behind the other, of which one at least is not in memory."""

    parts: tuple[Bank, ...]

    @property
    def n_pictures(self) -> int:
        return sum(part.n_pictures for part in self.parts)

    @property
    def n_sounds(self) -> int:
        return sum(part.n_sounds for part in self.parts)

    def pictures_at(self, places: NDArray[np.int64]) -> Tensor:
        """Some of the pictures, (B, 3, px, px) uint8."""
        sizes = [part.n_pictures for part in self.parts]
        return _from_parts([part.pictures_at for part in self.parts], sizes, places)

    def sounds_at(self, places: NDArray[np.int64]) -> Tensor:
        """Some of the sounds, (B, …) float32."""
        sizes = [part.n_sounds for part in self.parts]
        return _from_parts([part.sounds_at for part in self.parts], sizes, places)


def _from_parts(
    looks: Sequence[Callable[[NDArray[np.int64]], Tensor]],
    sizes: Sequence[int],
    places: NDArray[np.int64],
) -> Tensor:
    """Ask each part for its own, and put what they give back into the order asked."""
    first = np.cumsum([0, *sizes])
    part_of = np.searchsorted(first, places, side="right") - 1
    asked = [np.flatnonzero(part_of == part) for part in range(len(looks))]
    found = [
        look(places[at] - first[part])
        for part, (look, at) in enumerate(zip(looks, asked, strict=True))
        if len(at)
    ]
    if not found:
        return looks[0](places)
    back = np.argsort(np.concatenate(asked), kind="stable")
    return torch.cat(found)[back]


def join(banks: Sequence[Bank]) -> Bank:
    """Put banks one behind the other; their labels stay apart even where names agree.

    Kept features are dropped: they say nothing of the other banks' pictures. What figures know of
    contents is dropped, too: they are over one collection.
    """

    def shifted(values: NDArray[np.int64], by: int) -> NDArray[np.int64]:
        return np.where(values == NONE, NONE, values + by)

    n_pictures = np.cumsum([0] + [bank.n_pictures for bank in banks])
    n_sounds = np.cumsum([0] + [bank.n_sounds for bank in banks])
    n_names = np.cumsum([0] + [len(bank.names) for bank in banks])
    picture_of = [shifted(b.picture_of, n_pictures[i]) for i, b in enumerate(banks)]
    joined = Bank(
        pictures=torch.empty(0),
        sounds=torch.empty(0),
        picture_of=np.concatenate(picture_of),
        sound_of=np.concatenate([shifted(b.sound_of, n_sounds[i]) for i, b in enumerate(banks)]),
        labels=np.concatenate([shifted(b.labels, n_names[i]) for i, b in enumerate(banks)]),
        names=tuple(name for bank in banks for name in bank.names),
        regions=_joined_regions(banks),
    )
    if any(type(bank) is not Bank for bank in banks):
        return JoinedBank(**vars(joined), parts=tuple(banks))
    return replace(
        joined,
        pictures=torch.cat([bank.pictures for bank in banks]),
        sounds=torch.cat([bank.sounds for bank in banks]),
    )


def _joined_regions(banks: Sequence[Bank]) -> Regions | None:
    drawn = [bank.regions for bank in banks]
    if not any(drawn):
        return None
    maps = [torch.empty(0, 1, AGREEMENT_PX, AGREEMENT_PX, dtype=torch.uint8)]
    of, n_maps = [], 0
    for bank, regions in zip(banks, drawn, strict=True):
        if regions is None:
            of.append(np.full(len(bank), NONE))
            continue
        of.append(np.where(regions.of == NONE, NONE, regions.of + n_maps))
        maps.append(regions.maps)
        n_maps += len(regions.maps)
    return Regions(maps=torch.cat(maps), of=np.concatenate(of))
