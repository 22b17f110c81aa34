"""The whole way on a small made corpus: index it, search it both ways, show why, keep score.

Who made the corpus it does not know (`retrieval.commands.demo_world`).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from encoder import media
from encoder.embedder import Embedder
from indexer.build import BuildReport, build_index
from indexer.errors import EncoderMismatch
from indexer.options import BuildOptions
from retrieval.contact_sheet import Cell, SheetRow, contact_sheet, waveform_picture
from retrieval.hits import Hit, Results
from retrieval.outputs import write_heatmaps
from retrieval.question import Side
from retrieval.retriever import Retriever

N_LOOKED_AT = 5
"""Hits per query that count: precision@5."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A scene to ask with: its two files and what sounds in it."""

    image: Path
    audio: Path
    label: str


@dataclass(frozen=True, kw_only=True)
class Story:
    """A question, its hits, and which of them are of the right kind."""

    title: str
    name: str
    scene: Scene
    results: Results

    @property
    def hits(self) -> tuple[Hit, ...]:
        return self.results.hits

    @property
    def right(self) -> tuple[bool, ...]:
        to = self.results.plan.to
        return tuple(
            self.scene.label in kinds(to, hit.label, hit.metadata.get("kinds")) for hit in self.hits
        )


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Mean share of right kinds among the first 5 hits, over `n` queries, beside chance."""

    name: str
    value: float
    chance: float
    n: int


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """What the demo made and measured; `answers` holds a folder of heat maps per story."""

    corpus: Path
    answers: Path
    sheet: Path
    example_sound: Path
    n_items: int
    stories: tuple[Story, ...]
    precision: tuple[Precision, ...]


def run_demo(
    manifest: Path,
    scenes: Sequence[Scene],
    *,
    answers: Path,
    checkpoint: Path | None = None,
    device: str = "auto",
    on_step: Callable[[str], None],
) -> DemoReport:
    """Run the main job on a made corpus; running it again is fine.

    Parameters
    ----------
    manifest : of the corpus, in its folder; `label` is what sounds, `kinds` what is seen.
    scenes : to ask with, none of them in the corpus.
    answers : folder for heat maps; those of an earlier run are replaced.

    Raises
    ------
    CheckpointError, IndexerError, OSError : the encoder is missing, or a folder not writable.
    """
    corpus = manifest.parent
    embedder = Embedder.load(checkpoint, device=device)
    on_step(f"indexing {corpus}")
    built = index_anew(corpus, manifest, embedder)
    on_step(f"{built.n_items} items at {built.items_per_s:.0f}/s; asking")
    with Retriever.open(corpus, device=device, checkpoint=checkpoint) as retriever:
        stories = tell(retriever, scenes)
        for story in stories:
            _clear(answers / story.name)
            write_heatmaps(story.results, answers / story.name)
        precision = (
            measure(retriever, scenes, kinds_of_corpus(manifest, "image"), "image"),
            measure(retriever, scenes, kinds_of_corpus(manifest, "audio"), "audio"),
        )
        sheet = answers / "contact-sheet.png"
        contact_sheet([_sheet_row(story) for story in stories]).save(sheet)
    return DemoReport(
        corpus=corpus,
        answers=answers,
        sheet=sheet,
        example_sound=scenes[0].audio,
        n_items=built.n_items,
        stories=stories,
        precision=precision,
    )


def index_anew(corpus: Path, manifest: Path, embedder: Embedder) -> BuildReport:
    """Index the corpus; one that another encoder indexed in an earlier run is embedded again."""
    try:
        return build_index(corpus, embedder=embedder, manifest=manifest)
    except EncoderMismatch:
        options = BuildOptions(reembed=True)
        return build_index(corpus, embedder=embedder, manifest=manifest, options=options)


def kinds(to: Side, label: str | None, seen: str | None) -> set[str]:
    """Return what a scene is a right answer for.

    Parameters
    ----------
    to : a picture answers for the sources that are seen in it, a sound for those that are heard.
    label : of the scene: what sounds, seen or not.
    seen : sounding kinds in the picture, as the manifest writes them.
    """
    visible = set((seen or "").split())
    return visible if to == "image" else visible | {label or ""}


def kinds_of_corpus(manifest: Path, to: Side) -> list[set[str]]:
    with manifest.open(encoding="utf-8", newline="") as rows:
        return [kinds(to, row["label"], row["kinds"]) for row in csv.DictReader(rows)]


def tell(retriever: Retriever, scenes: Sequence[Scene]) -> tuple[Story, ...]:
    """Ask a question of each kind, each with a scene of another label."""
    heard, seen, kept = first_of_each_label(scenes)[:3]
    pair = retriever.search(image=kept.image, audio=kept.audio, associate="audio", k=N_LOOKED_AT)
    return (
        ask(retriever, heard, "image"),
        ask(retriever, seen, "audio"),
        Story(
            title=f"A {kept.label} is seen and heard. Keep its sound: which other pictures fit?",
            name=f"pair-of-a-{kept.label}",
            scene=kept,
            results=pair,
        ),
    )


def ask(retriever: Retriever, scene: Scene, to: Side) -> Story:
    """Ask with one half of a scene for the other kind."""
    if to == "image":
        return Story(
            title=f"A {scene.label} is heard. Which pictures go with it?",
            name=f"sound-of-a-{scene.label}",
            scene=scene,
            results=retriever.search(audio=scene.audio, to=to, k=N_LOOKED_AT),
        )
    return Story(
        title=f"A {scene.label} is seen. Which sounds go with it?",
        name=f"picture-of-a-{scene.label}",
        scene=scene,
        results=retriever.search(image=scene.image, to=to, k=N_LOOKED_AT),
    )


def first_of_each_label(scenes: Iterable[Scene]) -> list[Scene]:
    """Return one scene per label, in the order in which labels first appear."""
    first: dict[str, Scene] = {}
    for scene in scenes:
        first.setdefault(scene.label, scene)
    return list(first.values())


def measure(
    retriever: Retriever, scenes: Sequence[Scene], corpus: Sequence[set[str]], to: Side
) -> Precision:
    """Measure kind precision@5 of one direction.

    Parameters
    ----------
    corpus : what each item is a right answer for; the share that is right by chance.
    """
    stories = [ask(retriever, scene, to) for scene in scenes]
    return Precision(
        name="sound to picture" if to == "image" else "picture to sound",
        value=float(np.mean([np.mean(story.right) for story in stories])),
        chance=float(np.mean([[scene.label in one for one in corpus] for scene in scenes])),
        n=len(scenes),
    )


def _clear(folder: Path) -> None:
    """Delete the heat maps of an earlier run: their names carry scores, so they would pile up."""
    for path in folder.glob("*.png"):
        path.unlink()


def _sheet_row(story: Story) -> SheetRow:
    question = story.results.question
    if question.image is None:
        asked = waveform_picture(media.read_sound(story.scene.audio))
    else:
        asked = Image.fromarray(media.read_image(story.scene.image))
    found = [
        Cell(
            picture=hit.heatmap().overlay(),
            caption=f"{hit.score:.2f} {hit.label or ''}",
            right=right,
        )
        for hit, right in zip(story.hits, story.right, strict=True)
    ]
    return SheetRow(title=story.title, cells=[Cell(picture=asked, caption="asked with"), *found])
