"""From a manifest to a checkpoint folder: what `retrieval train` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from encoder.checkpoint import load_checkpoint, save_checkpoint
from encoder.config import compact, paper
from encoder.embedder import choose_device
from encoder.initial import initialise_visual
from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank, OnFile, bank_of_pairs, bank_of_world
from train.card import CardFacts, facts_of, model_card
from train.confusion import Mistakes, confusions
from train.distributed import Team, team_of_environment
from train.errors import RecipeError
from train.figures import Figure, Figures, measure, precision_at
from train.keeping import SAVE_EVERY_S, Keeping, check_room, identity_of, writing_to
from train.listed import Listed, banks_of, listed_rows, rows_of
from train.loop import NameOf, Progress, Trained, train
from train.metrics_log import EventLog, MetricsLog
from train.optimiser import WARM_UP_STEPS
from train.pairs import Pair, read_pairs
from train.recipe import Recipe
from train.sampling import Rows
from train.state import remove_state

UNSEEN_WORLD_SEED = 20_000
UNSEEN_SCENES = 120


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """What to train, on what, and where to put it.

    Parameters
    ----------
    manifest : rows with image, audio or video, and label and split where they are known.
    out : folder of the checkpoint.
    preset : `compact`, or `paper` for the network of S19. None: compact, or `start_from`'s.
    attention : `cos` (S19 eq. 2), `relu` (eq. 3), or None: cos, or that of `start_from`.
    init : `imagenet`, a weight file for the visual stream, or None.
    start_from : a checkpoint folder whose weights training starts from, or None. It decides the
        network: a preset beside it must be that one.
    boxes : ask the attention for the manifest's boxes (`recipe.supervised`).
    choose_on_val : False trains without a split `val` and keeps the last weights.
    cache : folder to keep decoded files in, for collections larger than memory, or None.
    save_every_s : seconds from one writing of the unfinished run to the next.
    resume : go on with the unfinished run in `out`.
    tensorboard : write event files too.
    data, licence : what the model card says of them.
    """

    manifest: Path
    out: Path
    recipe: Recipe
    preset: Literal["compact", "paper"] | None = None
    attention: Literal["cos", "relu"] | None = None
    init: str | None = None
    start_from: Path | None = None
    boxes: bool = False
    choose_on_val: bool = True
    cache: Path | None = None
    save_every_s: float = SAVE_EVERY_S
    resume: bool = False
    tensorboard: bool = False
    device: str = "auto"
    name: str = "compact"
    data: str = ""
    licence: str = "not stated"


def run_training(
    task: TrainingTask,
    *,
    on_file: OnFile | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train and save. The split `train` is trained on, `val` chooses; `test` is never read.

    Raises
    ------
    PairsError, RecipeError, ResumeError, CheckpointError, WeightsUnavailable, OSError : before any
        time is spent.
    RoomError : before as well, or where the folder cannot be written any more.
    TrainingDiverged : the loss is not finite.
    """
    with team_of_environment(choose_device(task.device)) as (team, device):
        return _trained_by(team, device, task, on_file, on_progress)


def _trained_by(
    team: Team,
    device: torch.device,
    task: TrainingTask,
    on_file: OnFile | None,
    on_progress: Callable[[Progress], None] | None,
) -> Trained:
    network = initial_network(task)
    if network.config.sound == "soundnet8":  # conv8 needs 9.5 s to have a step
        task = replace(task, recipe=replace(task.recipe, crop_s=network.config.window_s))
    check_room(task.out, network)
    listed = listed_rows(
        task.manifest, task.recipe, with_boxes=task.boxes, choose_on_val=task.choose_on_val
    )
    identity = identity_of(task.recipe, network.config, listed.key)
    keeping = Keeping(task.out, identity, every_s=task.save_every_s, resume=task.resume)
    logs = _logs(task, keeping.done) if team.is_first else []
    on_file = on_file if team.is_first else None
    with team.first_alone():  # the others then find the cache filled
        val, bank, world = _banks(task, listed, network, on_file)
    trained = train(
        network,
        bank,
        task.recipe,
        world=world,
        val=val,
        device=device,
        on_progress=_all_of([*logs, *([] if on_progress is None else [on_progress])]),
        name_of=_namer(listed.rows, bank),
        keeping=keeping,
        team=team,
    )
    if team.is_first:
        with writing_to(task.out):
            save(task, trained, n_pairs=len(listed.rows), val=val)
        if not trained.interrupted:
            remove_state(task.out)
    return trained


def _banks(
    task: TrainingTask, listed: Listed, network: TwoStreamEncoder, on_file: OnFile | None
) -> tuple[Bank | None, Bank, Bank | None]:
    """Rows held back as an index would see them, rows to train on, and the world's of these."""
    val = None
    if listed.held_back:
        frame_px = network.config.frame_px
        val = bank_of_pairs(
            listed.held_back, network, picture_px=frame_px, on_file=on_file, cache=task.cache
        )
    return val, *banks_of(listed, task.recipe, network, on_file=on_file, cache=task.cache)


def _namer(rows: Sequence[Pair], bank: Bank) -> NameOf:
    """Name the files of a batch; the bank's first rows are these, made ones come after."""
    pictures = {int(bank.picture_of[i]): row.picture for i, row in enumerate(rows)}
    sounds = {int(bank.sound_of[i]): row.sound for i, row in enumerate(rows)}

    def name_of(drawn: Rows) -> list[str]:
        files = [
            [file for file in (pictures.get(picture), sounds.get(sound)) if file is not None]
            for picture, sound in zip(drawn.pictures.tolist(), drawn.sounds.tolist(), strict=True)
        ]
        return [" with ".join(str(file.path) for file in one) or "a made scene" for one in files]

    return name_of


def _all_of(logs: Sequence[Callable[[Progress], None]]) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        for log in logs:
            log(progress)

    return tell


def _logs(task: TrainingTask, done: int) -> list[Callable[[Progress], None]]:
    logs: list[Callable[[Progress], None]] = [MetricsLog(task.out, done=done)]
    return [*logs, EventLog(task.out, done=done)] if task.tensorboard else logs


def initial_network(task: TrainingTask) -> TwoStreamEncoder:
    """Return the network that training starts from."""
    if task.start_from is not None:
        if task.init is not None:
            raise RecipeError(
                "a run that goes on from a checkpoint has its weights; leave out init"
            )
        return _warm(task, task.start_from).train()
    config = paper() if task.preset == "paper" else compact()
    config = replace(config, attention=task.attention or config.attention)
    network = TwoStreamEncoder(config, seed=task.recipe.seed)
    if task.init is not None:
        initialise_visual(network, task.init)
    return network


def _warm(task: TrainingTask, folder: Path) -> TwoStreamEncoder:
    """Load the weights to start from; raises RecipeError where another network is asked for."""
    network = load_checkpoint(folder).network
    wanted = {"paper": "soundnet8", "compact": "logmel", None: network.config.sound}[task.preset]
    if network.config.sound != wanted:
        raise RecipeError(
            f"{folder}: a network of another architecture than the preset {task.preset}; leave "
            "out --preset, or start from a checkpoint of it"
        )
    if task.attention not in (None, network.config.attention):
        raise RecipeError(
            f"{folder}: a network with {network.config.attention} attention, not {task.attention}; "
            "leave out --attention, or start from a checkpoint with it"
        )
    return network


def save(task: TrainingTask, trained: Trained, *, n_pairs: int, val: Bank | None) -> None:
    """Write the checkpoint with its card; the card's figures are measured on what was saved.

    Of a run that was interrupted only the weights are written, since whoever pressed Ctrl-C waits,
    and none where it had hardly begun: they would replace what the folder holds.
    """
    if trained.interrupted and trained.figures is None and trained.last_step < WARM_UP_STEPS:
        return
    facts = CardFacts(
        name=task.name,
        data=task.data or f"Rows of {task.manifest.name}.",
        licence=task.licence,
        n_pairs=n_pairs,
        minutes=trained.seconds / 60,
        step=trained.step,
        init=None if task.init is None else Path(task.init).name,
        started_from=None if task.start_from is None else load_checkpoint(task.start_from),
    )
    network = trained.network.cpu().eval()
    known = facts_of(facts, task.recipe, trained.figures)
    # The weights first: hours are not lost to whatever goes wrong with the card.
    save_checkpoint(task.out, network, name=task.name, facts=known, card=f"# {task.name}\n")
    if trained.interrupted:
        return
    world = world_figure(network) if task.recipe.world_share else None
    wrong = Mistakes() if val is None else confusions(network, val)
    flag = " --world" if world else ""
    command = f"python -m train.report {task.manifest} --checkpoint {task.out}{flag}"
    card = model_card(
        facts, task.recipe, trained.figures, world=world, mistakes=wrong, command=command
    )
    save_checkpoint(task.out, network, name=task.name, facts=known, card=card)


def world_figure(network: TwoStreamEncoder) -> Figure:
    """Kind precision@5 on scenes whose seed training did not see."""
    frame_px = network.config.frame_px
    scenes = bank_of_world(
        network, n_scenes=UNSEEN_SCENES, seed=UNSEEN_WORLD_SEED, picture_px=frame_px
    )
    return precision_at(network, scenes, 5, frame_px=frame_px)


def figures_of_split(network: TwoStreamEncoder, manifest: Path, split: str) -> Figures:
    """Measure a network on one split of a manifest."""
    frame_px = network.config.frame_px
    rows = rows_of(manifest, read_pairs(manifest), split)
    bank = bank_of_pairs(rows, network, picture_px=frame_px)
    return measure(network, bank, frame_px=frame_px)
