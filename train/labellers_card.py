"""A labeller's model card: what it was made of, what it can tell, what it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

from encoder.labellers.protocol import N_LABELS
from encoder.labellers.shipped import LabellerDescription
from train.labellers_figures import LabelFigures
from train.labellers_recipe import LabellerRecipe


@dataclass(frozen=True, kw_only=True)
class LabellerFacts:
    """Where a labeller's weights come from, and its figures by name of the material."""

    data: str
    licence: str
    n_files: int
    minutes: float
    step: int
    recipe: LabellerRecipe
    figures: dict[str, LabelFigures]

    def to_json(self) -> dict[str, Any]:
        """Return the part of `config.json` that tells all this."""
        return {
            "data": self.data,
            "licence": self.licence,
            "n_files": self.n_files,
            "minutes": round(self.minutes, 1),
            "chosen_at_step": self.step,
            "recipe": self.recipe.to_json(),
            "figures": {name: _summary(figures) for name, figures in self.figures.items()},
        }


def labeller_card(description: LabellerDescription, facts: LabellerFacts, command: str) -> str:
    """Return the card in Markdown."""
    kind = "frames" if description.classifier.modality == "image" else "sounds"
    parts = [
        f"# {description.name}",
        f"Names what is in {kind}: pseudo labels that judge retrieval (S19 §5.3). Trained from "
        "scratch; it shares no weight with the two-stream network.",
        f"Licence of the weights: {facts.licence}",
        f"## Data\n\n{facts.data} {facts.n_files} files of the `train` split.",
        _vocabulary_section(description),
        _recipe_section(facts),
        _figures_section(facts, command),
    ]
    if "val" in facts.figures:
        parts += [_weakness_section(facts.figures["val"])]
    parts += [
        "Scores are not calibrated: label smoothing and mixing make the best score of a right "
        "answer low. Pictures and sounds of other kinds than the data's are still given ten of "
        "its labels; there is no label for `none of these`."
    ]
    return "\n\n".join(parts) + "\n"


def _vocabulary_section(description: LabellerDescription) -> str:
    names = description.vocabulary.names
    mute = sorted(set(range(len(names))) - set(description.label_ids))
    never = ", ".join(names[k] for k in mute) or "none"
    return (
        f"## Vocabulary\n\n`{description.vocabulary.name}`: {len(names)} labels, the data's and "
        "the procedural world's kinds; a kind of the world that is also a label of the data (a "
        f"drawn bird) is one label with it. This labeller says {len(description.label_ids)} of "
        f"them. It never says, because nothing of its kind bore them in training: {never}.\n\n"
        f"Ten labels are many out of {len(names)}: two sets of ten drawn at random share one with "
        f"probability {chance_of_overlap(len(names)):.2f} (0.10 of ImageNet's 1000). Read "
        "pseudo-label success beside its chance level, or over fewer labels than ten."
    )


def chance_of_overlap(n_labels: int, n_drawn: int = N_LABELS) -> float:
    """Probability that two sets of `n_drawn` labels, drawn at random, share at least one.

    Examples
    --------
    >>> round(chance_of_overlap(1000), 2)
    0.1
    """
    if n_labels < 2 * n_drawn:
        return 1.0
    return 1 - comb(n_labels - n_drawn, n_drawn) / comb(n_labels, n_drawn)


def _recipe_section(facts: LabellerFacts) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.recipe.to_json().items())
    chosen = ", the best on val" if "val" in facts.figures else ""
    return (
        f"## Recipe\n\nSeed {facts.recipe.seed}; {facts.minutes:.0f} minutes on a CPU; the "
        f"averaged weights of step {facts.step}{chosen}.\n\n| setting | value |\n|---|---|\n{rows}"
    )


def _figures_section(facts: LabellerFacts, command: str) -> str:
    if not facts.figures:
        return "## Figures\n\nNone: there was neither a val nor a test split."
    rows = "\n".join(
        f"| {name} | {f.top1} | {f.top5} | {f.top10} | {f.chance_top5:.3f} | {f.n_outside} |"
        for name, f in facts.figures.items()
    )
    return (
        "## Figures\n\nShare of files whose label is the best, among the best five, among the best "
        "ten, with Wilson 95 % intervals. `val` chose the step, so it is a little too good; `test` "
        "was measured once. Left out: files with no label or one that the labeller cannot say.\n\n"
        "| | top-1 | top-5 | top-10 | top-5 by chance | left out |\n|---|---|---|---|---|---|\n"
        f"{rows}\n\n`{command}`"
    )


def _weakness_section(figures: LabelFigures) -> str:
    worst = sorted(figures.recalls, key=lambda r: (r.first / r.n, r.label))
    recalls = "\n".join(f"| {r.label} | {r.first} | {r.in_five} | {r.n} |" for r in worst)
    mistakes = "\n".join(f"| {m.label} | {m.answer} | {m.n} |" for m in figures.mistakes)
    return (
        "## What it can and cannot tell\n\nFiles of val by label, the weakest first.\n\n"
        f"| label | first | in five | files |\n|---|---|---|---|\n{recalls}\n\n"
        f"Most frequent mistakes:\n\n| label | answer | files |\n|---|---|---|\n{mistakes}"
    )


def _summary(figures: LabelFigures) -> dict[str, Any]:
    text = figures.to_json()
    return {name: text[name] for name in ("top1", "top5", "top10", "chance_top5", "n_outside")}
