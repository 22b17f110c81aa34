"""What is asked of a gallery: weighted terms, each a formula of definitions §3 for one item.

A term of pictures scores a frame Y_v by cos(f_v(Y_v, h), target), a term of sounds scores a sound
Y_s by cos(f_v(X_v, Y_s), target). The answer to several terms is the weighted mean of their
cosines, Σ w·cos / Σ |w|: a negative weight pushes away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError
from indexer.blocks import Floats, SoundBlock

if TYPE_CHECKING:
    from encoder.embedder import Embedder

Map = NDArray[np.floating]
MOST = 8.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameTerm:
    """Scores a frame Y_v.

    Attributes
    ----------
    target : (1000,), unit norm, what f_v(Y_v, h) should be near.
    h : (512,), the sound that every frame is looked at with; None for f_v⁰, the frame alone.
    """

    target: Floats
    h: Floats | None
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class SoundTerm:
    """Scores a sound Y_s.

    Attributes
    ----------
    visual_map : (M, 512), the frame that every sound looks at; None for f_s, the sound alone.
    target : (1000,), unit norm, what the result should be near; None for the f_s of Y_s itself.
    h : (512,), the sound that the frame was looked at with where `target` is what came of it.
    """

    visual_map: Map | None
    target: Floats | None
    h: Floats | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.target is None and (self.visual_map is None or self.h is not None):
            raise ValueError("a term of sounds without a target looks at a frame, and only that")


def frames_for_sound(sound: SoundBlock) -> FrameTerm:
    """`audio→image, conditional`: cos(f_s(X_s), f_v(Y_v, X_s)) of a block of one sound."""
    return FrameTerm(target=sound.f_s[0], h=sound.h[0])


def sounds_for_frame(visual_map: Map) -> SoundTerm:
    """`image→audio, conditional`: cos(f_v(X_v, Y_s), f_s(Y_s)) of a frame (M, 512)."""
    return SoundTerm(visual_map=visual_map, target=None)


def keep_image(embedder: Embedder, visual_map: Map, h: Floats) -> SoundTerm:
    """`associate --keep image`: cos(f_v(X_v, X_s), f_v(X_v, Y_s)) of a pair (S19 §5.3)."""
    asked = embedder.condition(visual_map[None], h[None]).f_v[0]
    return SoundTerm(visual_map=visual_map, target=asked, h=h)


def keep_audio(embedder: Embedder, visual_map: Map, h: Floats) -> FrameTerm:
    """`associate --keep audio`: cos(f_v(X_v, X_s), f_v(Y_v, X_s)) of a pair (S19 §5.3)."""
    asked = embedder.condition(visual_map[None], h[None]).f_v[0]
    return FrameTerm(target=asked, h=h)


def frames_like(coarse: Floats) -> FrameTerm:
    """`image→image`: cos(f_v⁰(X_v), f_v⁰(Y_v))."""
    return FrameTerm(target=coarse, h=None)


def sounds_like(f_s: Floats) -> SoundTerm:
    """`audio→audio`: cos(f_s(X_s), f_s(Y_s))."""
    return SoundTerm(visual_map=None, target=f_s)


def check_finite(terms: Sequence[FrameTerm | SoundTerm]) -> None:
    """Raise InputError where a term has NaN or infinity in it: no order would come of it."""
    for term in terms:
        looked = term.visual_map if isinstance(term, SoundTerm) else None
        for name, values in (("target", term.target), ("h", term.h), ("visual map", looked)):
            if values is not None and not np.isfinite(values).all():
                raise InputError(f"query {name}: NaN or infinite values; embed its file again")


def cancelling(terms: Sequence[FrameTerm | SoundTerm]) -> float:
    """Return how much closer to look than at a single term, from 1 to MOST.

    It is the inverse of what is left of the terms when they are added up. What is left of two
    sounds that are alike, one of them subtracted, is the little that tells them apart, and
    approximate scores resolve it that much worse.
    """
    shares = weighted(terms)
    targets = [term.target for term in terms if term.target is not None]
    left = abs(sum(shares))
    if len(targets) == len(terms):
        left = float(
            np.linalg.norm(np.sum([w * t for w, t in zip(shares, targets, strict=True)], 0))
        )
    return min(MOST, 1 / max(left, 1 / MOST))


def weighted(terms: Sequence[FrameTerm | SoundTerm]) -> list[float]:
    """Return the factors of the weighted mean, whose absolute values sum to 1.

    Raises
    ------
    ValueError : no term, a weight that is not finite, or all of them 0.
    """
    total = sum(abs(term.weight) for term in terms)
    if not (terms and 0 < total < float("inf")):
        raise ValueError(f"weights {[term.weight for term in terms]}: give finite ones, not all 0")
    return [term.weight / total for term in terms]
