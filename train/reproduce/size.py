"""How large a reproduction is: how much data, which network, which training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from encoder.localization.masks import ADAPTIVE, MEDIAN, Threshold
from train.recipe import Recipe

SizeName = Literal["small", "full"]


@dataclass(frozen=True, kw_only=True)
class Size:
    """Numbers that a reproduction is made with.

    Attributes
    ----------
    n_unlabelled : pairs of the smaller and of the larger unsupervised training (S19: 10k, 144k).
    n_labelled : numbers of annotated pairs, ascending (S19 Table 2); the last is "Sup." of Table 1.
    n_labelled_of_sets : those of S19 Table 4 and S18 Table 2.
    n_few : annotated pairs of S19 Table 5.
    semi_large : whether semi-supervised rows take the larger unlabelled set (S19: the smaller).
    n_test : pairs of each of the three test sets (S19 §5.1).
    n_database : pairs of the first test set among which neighbours are looked for (S19 Table 6).
    n_duets : frames with two sources that a world makes (S19 Figure 6); a folder gives all it has.
    n_runs : trainings of each scheme, whose figures are averaged.
    n_random : repetitions of the random baseline (S19: 100).
    map_px : side at which maps and boxes meet.
    recipe : of every training; weights, attention and sound come from the scheme.
    eq_6_beside : train by L_U of S19, too, where the recipe's loss is another.
    """

    name: SizeName
    n_unlabelled: tuple[int, int]
    n_labelled: tuple[int, ...]
    n_labelled_of_sets: tuple[int, ...]
    n_few: int
    semi_large: bool
    n_test: int
    n_database: int
    n_duets: int
    n_runs: int
    n_random: int
    map_px: int
    recipe: Recipe
    eq_6_beside: bool

    def fitted(self, *, n_unlabelled: int, n_labelled: int) -> Size:
        """Return the size with every number of pairs in proportion to what there is.

        A folder that holds less than the papers' data gives the same rows on fewer pairs, and no
        two of them on the same ones.

        Parameters
        ----------
        n_unlabelled, n_labelled : pairs that there are without and with annotations, beside the
            test sets.
        """
        return replace(
            self,
            n_unlabelled=_scaled(self.n_unlabelled, n_unlabelled),
            n_labelled=_distinct(_scaled(self.n_labelled, n_labelled)),
            n_labelled_of_sets=_distinct(_scaled(self.n_labelled_of_sets, n_labelled)),
            n_few=_scaled((self.n_few, self.n_labelled[-1]), n_labelled)[0],
        )


Counts = TypeVar("Counts", bound=tuple[int, ...])


def _scaled(wanted: Counts, there: int) -> Counts:
    """Numbers in proportion, at least 2 each: a pair alone has no negative."""
    share = min(1.0, there / wanted[-1])
    return tuple(max(2, round(share * n)) for n in wanted)  # type: ignore[return-value]


def _distinct(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(numbers)))


def small() -> Size:
    """Return what two cores do in some minutes: frozen streams of the shipped encoder.

    The unsupervised loss is leak-free here: every frame with every sound of the batch, and the
    batch's frames side by side (definitions §3). With S19's own L_U (eq. 6), each frame under its
    own sound, the loss falls at this size without the maps becoming much better; Table 1 shows it.

    On world 0, 32 annotated pairs put supervised learning clear of unsupervised (+0.12 of AUC) and
    leave semi-supervised just above it (+0.008 [+0.003, +0.014]): the papers' order, and as there
    by little. Frames are as large as an index's: at 128 px a source covers three cells, and
    unsupervised maps were no better than the centre box.
    """
    recipe = Recipe(
        loss="infonce",
        positives="recording",
        coarse=0.0,
        panel=0.5,
        half_frame=0.0,
        classes=0.0,
        glued_share=0.0,
        world_share=0.0,
        temperature=0.1,
        annotated_share=0.5,
        steps=100,
        batch_size=12,
        learning_rate=5e-4,
        weight_decay=0.0,
        augment=False,
        frozen=True,
        mixed_precision=False,
        ema=0.0,
        crop_px=224,
    )
    return Size(
        name="small",
        n_unlabelled=(100, 600),
        n_labelled=(8, 16, 32),
        n_labelled_of_sets=(8, 32),
        n_few=16,
        semi_large=True,
        n_test=200,
        n_database=60,  # ten of a kind: k goes past them, which is why success falls (S19 §5.3)
        n_duets=40,
        n_runs=2,
        n_random=3,
        map_px=96,
        recipe=recipe,
        eq_6_beside=True,
    )


def full() -> Size:
    """Return the sizes of S19: 144 000 pairs of 320 px and 20 s, Adam at 1e-4 in batches of 30."""
    recipe = replace(
        small().recipe,
        loss="distance-ratio",
        panel=0.0,
        annotated_share=None,
        steps=48_000,  # ten epochs of the larger set, as in the published code
        batch_size=30,
        learning_rate=1e-4,
        schedule="constant",
        frozen=False,
        crop_px=320,
        crop_s=20.0,
    )
    return Size(
        name="full",
        n_unlabelled=(10_000, 144_000),
        n_labelled=(100, 250, 500, 750, 1000, 1500, 2000, 2500),
        n_labelled_of_sets=(500, 1000, 1500, 2000, 2500),
        n_few=500,
        semi_large=False,
        n_test=250,
        n_database=250,
        n_duets=40,
        n_runs=1,
        n_random=100,
        map_px=224,
        recipe=recipe,
        eq_6_beside=False,
    )


def size_of(name: SizeName) -> Size:
    return small() if name == "small" else full()


def threshold_of(is_world: bool) -> Threshold:
    """Return how maps become regions: as published on data, by the true area on the world.

    The world's sources are below a quarter of the frame, which `median` can never find.
    """
    return ADAPTIVE if is_world else MEDIAN
