"""The model card of a fine-tuned checkpoint: what it started from, on what, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from encoder.checkpoint import Checkpoint
from encoder.intervals import Figure
from train.finetune.figures import Changes
from train.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a fine-tuned checkpoint comes from.

    Attributes
    ----------
    collection : what the index calls its corpus.
    n_pairs, n_annotated : items trained on, and those of them with boxes.
    n_held_pairs, n_held_annotated : the same of the held-back part.
    hold_back, seed : how that part was drawn.
    """

    name: str
    started_from: Checkpoint
    collection: str
    data: str
    licence: str
    n_pairs: int
    n_annotated: int
    n_held_pairs: int
    n_held_annotated: int
    hold_back: float
    seed: int
    minutes: float


def facts_of(origin: Origin, recipe: Recipe, found: Changes | None) -> dict[str, Any]:
    """Return the part of `config.json` that tells where the weights come from. JSON."""
    started = origin.started_from
    return {
        "started_from": {
            "name": started.name,
            "fingerprint": started.fingerprint,
            "facts": started.facts,
        },
        "data": _data(origin),
        "licence": origin.licence,
        "n_pairs": origin.n_pairs,
        "n_annotated": origin.n_annotated,
        "held_back": {
            "n_pairs": origin.n_held_pairs,
            "n_annotated": origin.n_held_annotated,
            "share": origin.hold_back,
            "seed": origin.seed,
        },
        "minutes": round(origin.minutes, 1),
        "recipe": asdict(recipe),
        "changes": None if found is None else found.to_json(),
    }


def finetuned_card(origin: Origin, recipe: Recipe, found: Changes, *, command: str) -> str:
    """Return the card in Markdown.

    Parameters
    ----------
    command : that measures the checkpoint on the whole collection.
    """
    started = origin.started_from
    parts = [
        f"# {origin.name}",
        f"Licence of the weights: {origin.licence}",
        f"## Started from\n\n`{started.name}`, fingerprint `{started.fingerprint}`, licence "
        f"{started.facts.get('licence', 'none stated')}. `config.json` has all that its own "
        "description said.",
        f"## Data\n\n{_data(origin)} Nothing of what is held back was trained on, and no step was "
        "chosen by it.",
        f"## Recipe\n\nThe weights of the last step; {origin.minutes:.1f} minutes.\n\n"
        + _table(("setting", "value"), [(k, str(v)) for k, v in asdict(recipe).items()]),
        "## What changed on the held-back part\n\n" + change_table(found),
        "Every interval is a 95 % interval over items; differences are paired. `success` and `AUC` "
        "take as much of the map as there is to find (`adaptive`), `success, median` half of the "
        "frame. Pictures are looked at with the first window of their sounds. Regions "
        "that know neither sound nor picture reach:\n\n" + blind_table(found),
        f"`{command}` measures it on the whole collection, trained items among them, once that is "
        "embedded anew.",
        "It is fitted to one collection: on others it may be worse than what it started from.",
    ]
    return "\n\n".join(parts) + "\n"


def change_table(found: Changes) -> str:
    """Before, after and difference, in Markdown."""
    rows = [
        (row.name, str(row.before), str(row.after), difference_text(row.difference))
        for row in found.rows
    ]
    return _table(("figure", "before", "after", "difference"), rows)


def blind_table(found: Changes) -> str:
    """What the same region for every picture reaches, in Markdown."""
    rows = [(name, str(success), str(auc)) for name, success, auc in found.blind]
    return _table(("region", "success", "AUC"), rows)


def difference_text(difference: Figure | None) -> str:
    """Return a difference with its sign and its interval; empty where there is none."""
    if difference is None:
        return ""
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def _data(origin: Origin) -> str:
    own = f" {origin.data}" if origin.data else ""
    return (
        f"{origin.n_pairs} items of the collection `{origin.collection}`, {origin.n_annotated} of "
        f"them with boxes that people drew.{own} Held back, by source file and recording, seed "
        f"{origin.seed}, share {origin.hold_back:g}: {origin.n_held_pairs} items, "
        f"{origin.n_held_annotated} of them with boxes."
    )


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
