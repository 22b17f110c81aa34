"""`python -m train.compare MANIFEST [VARIANT…]`: what each part of the default recipe is worth.

Every variant is trained as long as the others, on the same decoded files, and measured on `val`.
One run of each: differences within the intervals say nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from encoder.config import TwoStreamConfig, compact
from encoder.errors import EncoderError
from encoder.initial import initialise_visual
from encoder.two_stream import TwoStreamEncoder
from indexer.errors import IndexerError
from train.bank import Bank, bank_of_pairs
from train.card import table_rows
from train.errors import RecipeError, TrainError
from train.figures import Figures
from train.listed import banks_of, listed_rows
from train.loop import train
from train.recipe import Recipe

Change = Callable[[Recipe], Recipe]


@dataclass(frozen=True)
class Variant:
    """What is changed of the default, and what that shows."""

    what: str
    recipe: dict[str, object] = field(default_factory=dict)
    network: dict[str, object] = field(default_factory=dict)


VARIANTS = {
    "default": Variant("the recipe of the shipped encoder, cut short"),
    "distance-ratio": Variant(
        "L_U of S19 eq. 6, each frame conditioned on its own sound",
        {"loss": "distance-ratio", "mixed_share": 0.0},
    ),
    "relu": Variant("attention max(cos, 0)", network={"attention": "relu"}),
    "no-fifth-stage": Variant(
        "the last stage's features alone", network={"visual_fifth_too": False}
    ),
    "narrow-sound": Variant("two thirds of the sound's channels", network={"sound_width": 32}),
    "no-temperature": Variant("plain cosine attention", network={"learned_scale": False}),
    "no-half-frame": Variant("no glued frames", {"half_frame": 0.0, "glued_share": 0.0}),
    "no-panel": Variant("no panel supervision", {"panel": 0.0}),
    "no-coarse": Variant("no loss on f_v under uniform attention", {"coarse": 0.0}),
    "no-classes": Variant("no proxies of labels", {"classes": 0.0}),
    "no-mixing": Variant("sounds as they are", {"mixed_share": 0.0}),
    "no-world": Variant("no made scenes", {"world_share": 0.0}),
    "no-boxes": Variant("no supervised loss", {"supervised": 0.0}),
    "128-px": Variant("smaller training frames", {"crop_px": 128}),
    "by-recording": Variant("pairs as their rows stand", {"positives": "recording"}),
}


def default_recipe(steps: int) -> Recipe:
    """Return the recipe of the shipped encoder (its card), for so many steps."""
    return Recipe(
        supervised=0.5,
        attention_target="normalised",
        frozen_trunk=True,
        glued_share=0.5,
        mixed_share=0.5,
        crop_px=160,
        learning_rate=2e-3,
        world_share=0.15,
        steps=steps,
        validate_every=steps,
    )


def compared(
    manifest: Path, names: list[str], *, steps: int, init: str, cache: Path | None = None
) -> list[tuple[str, Figures]]:
    """Train and measure variants, printing each as it ends.

    Raises
    ------
    RecipeError : no such variant.
    TrainError, EncoderError, IndexerError : the data cannot be used.
    """
    if unknown := sorted(set(names) - set(VARIANTS)):
        raise RecipeError(f"no variant {unknown[0]}; there are {', '.join(VARIANTS)}")
    recipe = default_recipe(steps)
    listed = listed_rows(manifest, recipe, with_boxes=True, choose_on_val=True)
    plain = TwoStreamEncoder(compact())
    bank, world = banks_of(listed, recipe, plain, cache=cache)
    val = bank_of_pairs(listed.held_back, plain, picture_px=plain.config.frame_px, cache=cache)
    results = []
    for name in names or list(VARIANTS):
        started = time.monotonic()
        figures = _figures(VARIANTS[name], recipe, bank, world, val, init)
        results.append((name, figures))
        _print(name, figures, minutes=(time.monotonic() - started) / 60)
    return results


def _figures(
    variant: Variant, recipe: Recipe, bank: Bank, world: Bank | None, val: Bank, init: str
) -> Figures:
    config: TwoStreamConfig = replace(compact(), **variant.network)  # type: ignore[arg-type]
    network = TwoStreamEncoder(config, seed=recipe.seed)
    initialise_visual(network, init)
    trained = train(
        network,
        bank,
        replace(recipe, **variant.recipe),  # type: ignore[arg-type]
        world=world,
        val=val,
    )
    assert trained.figures is not None
    return trained.figures


def _print(name: str, figures: Figures, *, minutes: float) -> None:
    shown = {"variant": name, "what": VARIANTS[name].what, "minutes": round(minutes, 1)}
    shown |= dict(table_rows(figures))
    print(json.dumps(shown, ensure_ascii=False), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Print a JSON object per variant; 2 where the input cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m train.compare", description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("variants", nargs="*", help=f"of {', '.join(VARIANTS)}; default: all")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--init", default="imagenet", help="imagenet, or a weight file")
    parser.add_argument("--cache", type=Path, help="folder to keep decoded files in")
    options = parser.parse_args(arguments)
    try:
        compared(
            options.manifest,
            options.variants,
            steps=options.steps,
            init=options.init,
            cache=options.cache,
        )
    except (EncoderError, IndexerError, TrainError) as error:
        print(f"train.compare: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
