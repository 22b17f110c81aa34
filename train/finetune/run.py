"""From an index with annotations to a new checkpoint: what `retrieval finetune` does."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from encoder.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from encoder.embedder import choose_device
from encoder.localization.ground_truth import GroundTruth
from encoder.two_stream import TwoStreamEncoder
from indexer.errors import EncoderMismatch
from indexer.evaluation.localization.items import Candidate
from indexer.evaluation.progress import OnEvaluation, Teller
from indexer.reader import IndexReader
from train.bank import Bank
from train.finetune.card import Origin, facts_of, finetuned_card
from train.finetune.errors import FinetuneInterrupted, OutputTaken
from train.finetune.figures import Changes, Held, changes, held_figures
from train.finetune.pictures import draw_changes
from train.finetune.recipe import Tuning, recipe_of
from train.finetune.rows import Split, bank_of, deal, usable_items
from train.frozen import with_features
from train.keeping import Keeping, check_room, identity_of
from train.loop import Progress, Trained, train
from train.state import UNFINISHED, remove_state

HEATMAPS = "heatmaps"
LARGER = 1.2
"""Pictures that are cut at random are kept this much larger than the index keeps them."""


@dataclass(frozen=True, kw_only=True)
class FinetuneTask:
    """What to fine-tune, and where to put it.

    Parameters
    ----------
    index : index folder.
    out : folder of the new checkpoint; it must be empty or not there, or hold the same run,
        interrupted: that one goes on.
    checkpoint : the encoder that built the index; None is the shipped one.
    name : None takes the encoder's own with `-finetuned`.
    licence, data : what the model card says beside what is known; None is the encoder's licence.
    """

    index: Path
    out: Path
    checkpoint: Path | None = None
    tuning: Tuning = field(default_factory=Tuning)
    name: str | None = None
    licence: str | None = None
    data: str = ""
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Finetuned:
    """What was made, and what changed on the held-back part.

    Attributes
    ----------
    corpus : of the index, to be embedded anew.
    heatmaps : pictures, the greatest gain first.
    seconds : of the training alone.
    """

    checkpoint: Path
    name: str
    fingerprint: str
    corpus: Path
    origin: Origin
    changes: Changes
    heatmaps: tuple[Path, ...]
    seconds: float


def finetune(task: FinetuneTask, *, on_progress: OnEvaluation | None = None) -> Finetuned:
    """Fine-tune the encoder of an index on its annotations, and save it as a new one.

    The index is read and never written.

    Raises
    ------
    IndexMissing, IndexCorrupt, CheckpointError : index or encoder cannot be opened.
    EncoderMismatch : the encoder is not the one that built the index.
    AnnotationsMissing, FilesMissing, OutputTaken, RoomError, RecipeError, FilterError : before any
        time is spent.
    PairsError : some files cannot be decoded.
    ResumeError : the interrupted run in `out` is another one or damaged.
    TrainingDiverged : the loss is not finite.
    FinetuneInterrupted : by Ctrl-C; the run is kept in `out`.
    """
    check_out(task.out)
    started_from = load_checkpoint(task.checkpoint)
    with IndexReader.open(task.index) as reader:
        check_encoder(reader, started_from)
        items = usable_items(reader, task.tuning.where)
        tuning = task.tuning
        split = deal(
            items, hold_back=tuning.hold_back, most_pairs=tuning.most_pairs, seed=tuning.seed
        )
        check_room(task.out, started_from.network)
        return _Finetuning(task, reader, started_from, split, Teller(on_progress)).run()


def check_out(out: Path) -> None:
    """Refuse a folder that holds anything but a run to go on with. Raises OutputTaken, OSError."""
    if out.exists() and (not out.is_dir() or any(not _of_a_run(path) for path in out.iterdir())):
        raise OutputTaken(f"{out}: is there already; give --out a new folder")


def _of_a_run(path: Path) -> bool:
    """Say whether a file is a run's state, or one that a kill left half written."""
    return path.name == UNFINISHED or path.name.startswith(f".{UNFINISHED}.")


def check_encoder(reader: IndexReader, given: Checkpoint) -> None:
    """Refuse an encoder that did not build the index. Raises EncoderMismatch."""
    if given.fingerprint != reader.encoder_fingerprint:
        raise EncoderMismatch(
            reader.path,
            built_by=f"{reader.encoder_name} ({reader.encoder_fingerprint[:12]})",
            given=f"{given.name} ({given.fingerprint[:12]})",
            corpus=reader.corpus,
        )


class _Finetuning:
    """One run: the index, the encoder it starts from, and which items are for what."""

    def __init__(
        self,
        task: FinetuneTask,
        reader: IndexReader,
        started_from: Checkpoint,
        split: Split,
        teller: Teller,
    ) -> None:
        self.task, self.reader, self.started_from = task, reader, started_from
        self.split, self.teller = split, teller
        self.config = started_from.network.config
        self.recipe = recipe_of(
            task.tuning,
            self.config,
            n_annotated=len(split.annotated_training),
            n_others=len(split.others_training),
            are_labelled=split.are_labelled,
        )

    def run(self) -> Finetuned:
        """Decode, measure, train, save, measure again, and write down what changed."""
        network = self.started_from.network
        held = self._bank(self.split.held_back, network, "decode held-back", self.config.frame_px)
        before = self._measured(network, held, "measure before")
        trained = self._trained()
        origin = self._origin(trained.seconds / 60)
        saved = self._saved(trained, origin)
        after = self._measured(saved.network, held, "measure after")
        found = changes(before, after, self._truths())
        self._describe(saved, origin, found)
        heatmaps = draw_changes(
            self.reader,
            self.split.annotated_held_back,
            before,
            after,
            self.task.out / HEATMAPS,
        )
        return Finetuned(
            checkpoint=self.task.out,
            name=origin.name,
            fingerprint=saved.fingerprint,
            corpus=self.reader.corpus,
            origin=origin,
            changes=found,
            heatmaps=tuple(heatmaps),
            seconds=trained.seconds,
        )

    def _bank(
        self,
        items: Sequence[Candidate],
        network: TwoStreamEncoder,
        phase: str,
        picture_px: int,
    ) -> Bank:
        def on_file(done: int, total: int) -> None:
            self.teller.tell(phase, done, total)

        return bank_of(self.reader, items, network, picture_px=picture_px, on_file=on_file)

    def _measured(self, network: TwoStreamEncoder, held: Bank, phase: str) -> Held:
        self.teller.tell(phase, 0, 1)
        found = held_figures(network, held, held.only(held.is_annotated), self._truths())
        self.teller.tell(phase, 1, 1)
        return found

    def _trained(self) -> Trained:
        network = load_checkpoint(self.task.checkpoint).network.train()
        px = self.config.frame_px
        picture_px = round(LARGER * px) if self.task.tuning.everything else px
        bank = self._bank(self.split.training, network, "decode", picture_px)

        def on_step(progress: Progress) -> None:
            self.teller.tell("train", progress.step, progress.steps)

        device = choose_device(self.task.device)
        started = time.monotonic()
        if self.recipe.frozen:
            self.teller.tell("run the streams once", 0, 1)
            bank = with_features(bank, network)
            self.teller.tell("run the streams once", 1, 1)
        trained = train(
            network, bank, self.recipe, device=device, on_progress=on_step, keeping=self._keeping()
        )
        if trained.interrupted:
            raise FinetuneInterrupted(
                f"{self.task.out}: interrupted at step {trained.last_step} of {self.recipe.steps}, "
                "and kept; run the same command to go on"
            )
        seconds = time.monotonic() - started
        return replace(trained, network=trained.network.cpu().eval(), seconds=seconds)

    def _keeping(self) -> Keeping:
        """Where the run is written; it goes on from what is there. Raises ResumeError."""
        items = [(one.row.id, one.content, one.row.label, one.boxes) for one in self.split.training]
        data = sha256(repr((self.started_from.fingerprint, items)).encode()).hexdigest()
        identity = identity_of(self.recipe, self.config, data)
        out = self.task.out
        return Keeping(out, identity, resume=(out / UNFINISHED).is_file())

    def _saved(self, trained: Trained, origin: Origin) -> Checkpoint:
        """Write the weights first: time is not lost to whatever goes wrong after it."""
        save_checkpoint(
            self.task.out,
            trained.network,
            name=origin.name,
            facts=facts_of(origin, self.recipe, None),
            card=f"# {origin.name}\n",
        )
        remove_state(self.task.out)
        return load_checkpoint(self.task.out)

    def _describe(self, saved: Checkpoint, origin: Origin, found: Changes) -> None:
        command = "retrieval evaluate {} --checkpoint {}".format(
            *(shlex.quote(str(path)) for path in (self.reader.path, self.task.out))
        )
        save_checkpoint(
            self.task.out,
            saved.network,
            name=origin.name,
            facts=facts_of(origin, self.recipe, found),
            card=finetuned_card(origin, self.recipe, found, command=command),
        )

    def _truths(self) -> list[GroundTruth]:
        truths = [item.truth for item in self.split.annotated_held_back]
        return [truth for truth in truths if truth is not None]

    def _origin(self, minutes: float) -> Origin:
        task, split, started = self.task, self.split, self.started_from
        return Origin(
            name=task.name or f"{started.name}-finetuned",
            started_from=started,
            collection=self.reader.corpus.name,
            data=task.data,
            licence=task.licence or str(started.facts.get("licence", "not stated")),
            n_pairs=len(split.training),
            n_annotated=len(split.annotated_training),
            n_held_pairs=len(split.held_back),
            n_held_annotated=len(split.annotated_held_back),
            hold_back=task.tuning.hold_back,
            seed=task.tuning.seed,
            minutes=minutes,
        )
