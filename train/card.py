"""The model card: what a checkpoint was made of, what it can do, what it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from encoder.checkpoint import Checkpoint
from train.confusion import Confusion, Mistakes
from train.figures import Figure, Figures
from train.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the card says that neither recipe nor figures know.

    `init` is where the visual stream's first weights came from; None: from the seed.
    """

    name: str
    data: str
    licence: str
    n_pairs: int
    minutes: float
    step: int
    init: str | None = None
    started_from: Checkpoint | None = None


def facts_of(facts: CardFacts, recipe: Recipe, figures: Figures | None) -> dict[str, Any]:
    """Return the part of `config.json` that tells where weights come from. JSON."""
    lineage = {} if facts.started_from is None else {"started_from": facts.started_from.facts}
    return lineage | {
        "data": facts.data,
        "licence": facts.licence,
        "n_pairs": facts.n_pairs,
        "minutes": round(facts.minutes, 1),
        "chosen_at_step": facts.step,
        "init": facts.init,
        "recipe": {name: getattr(recipe, name) for name in recipe.__dataclass_fields__},
        "val": None if figures is None else figures.to_json(),
    }


def model_card(
    facts: CardFacts,
    recipe: Recipe,
    figures: Figures | None,
    *,
    world: Figure | None,
    mistakes: Mistakes,
    command: str,
) -> str:
    """Return the card in Markdown."""
    parts = [
        f"# {facts.name}",
        f"Licence of the weights: {facts.licence}",
        f"## Data\n\n{facts.data} {facts.n_pairs} rows. Positives by {recipe.positives}.",
        recipe_section(facts, recipe, chosen=", the best on val" if figures else ""),
        figures_section(figures, world, command),
        "## What it can and cannot tell\n\nShare of sounds whose best picture (leak-free, of "
        "another row) has their label.\n\n" + recall_table(mistakes.recalls),
        "Most frequent mistakes:\n\n" + confusion_table(mistakes.worst),
        "Labels that training never saw are told apart much less well. Recordings by other kinds "
        "of microphones and pictures of other styles than those of the data are not covered.",
    ]
    return "\n\n".join(parts) + "\n"


def recipe_section(facts: CardFacts, recipe: Recipe, *, chosen: str) -> str:
    settings = "\n".join(
        f"| {name} | {getattr(recipe, name)} |" for name in recipe.__dataclass_fields__
    )
    before = ""
    if facts.started_from is not None:
        earlier = facts.started_from.facts
        before = (
            f"It went on from `{facts.started_from.name}`: "
            f"{earlier.get('recipe', {}).get('steps', '?')} steps, "
            f"{earlier.get('minutes', '?')} minutes (`config.json` has its recipe).\n\n"
        )
    elif facts.init is not None:
        before = f"The visual stream began with the weights of `{facts.init}`.\n\n"
    return (
        f"## Recipe\n\n{before}Seed {recipe.seed}; {facts.minutes:.0f} minutes; the averaged "
        f"weights of step {facts.step}{chosen}.\n\n"
        f"| setting | value |\n|---|---|\n{settings}"
    )


def figures_section(figures: Figures | None, world: Figure | None, command: str) -> str:
    """The figures on val, leak-free first, with the command that gives them."""
    if figures is None:
        return "## Figures\n\nNone: nothing was held back to choose by (`--no-val`)."
    rows = "\n".join(f"| {name} | {value} |" for name, value in table_rows(figures))
    extra = "" if world is None else f"\n| world, kind precision@5, unseen seed | {world} |"
    return (
        "## Figures on val\n\nMeans with 95 % intervals; the query itself and exact copies of it "
        f"are never answers.\n\n| figure | value |\n|---|---|\n{rows}{extra}\n\n`{command}`"
    )


def table_rows(figures: Figures) -> list[tuple[str, str]]:
    """Figures by name, in the order in which they should be read."""
    leak = figures.own_sound_audio_to_image.mean - figures.swapped_audio_to_image.mean
    return [
        ("leak-free class mAP, audio→image", str(figures.leak_free_audio_to_image)),
        ("leak-free class mAP, image→audio", str(figures.leak_free_image_to_audio)),
        ("chance", f"{figures.chance:.3f}"),
        ("side accuracy (chance 0.5)", str(figures.side_accuracy)),
        ("conditional accuracy (chance 0.5)", str(figures.conditional_accuracy)),
        ("conditioning strength, another label", str(figures.conditioning_strength)),
        ("conditioning strength, same label", str(figures.conditioning_strength_same_label)),
        ("coarse class mAP, audio→image", str(figures.coarse_audio_to_image)),
        ("coarse class mAP, image→audio", str(figures.coarse_image_to_audio)),
        ("own-sound class mAP (S19), audio→image", str(figures.own_sound_audio_to_image)),
        ("own-sound class mAP (S19), image→audio", str(figures.own_sound_image_to_audio)),
        ("swap test, audio→image", str(figures.swapped_audio_to_image)),
        ("leak (own-sound − swapped)", f"{leak:.3f}"),
    ]


def recall_table(recalls: Sequence[Confusion]) -> str:
    rows = "\n".join(f"| {r.asked} | {r.share:.2f} | {r.n} |" for r in recalls)
    return f"| label | right | sounds |\n|---|---|---|\n{rows}"


def confusion_table(confusions: Sequence[Confusion]) -> str:
    rows = "\n".join(f"| {c.asked} | {c.answered} | {c.share:.2f} | {c.n} |" for c in confusions)
    return f"| sound of | answered by | share | sounds |\n|---|---|---|---|\n{rows}"
