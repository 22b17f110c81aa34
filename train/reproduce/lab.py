"""Networks trained once and shared by all rows that look at them, kept on disk between runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoder.checkpoint import Checkpoint
from encoder.config import paper
from encoder.initial import initialise_visual
from encoder.labellers import LabellerPair, load_labellers
from encoder.localization.masks import Threshold
from encoder.localization.metrics import Values
from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank, Features
from train.errors import TrainError
from train.frozen import is_frozen, with_features
from train.loop import Progress, train
from train.reproduce.material import Material, Places, wanted
from train.reproduce.schemes import Scheme
from train.reproduce.size import Size, threshold_of

FORMAT = 2
"""Raised whenever the same settings would give other scenes, weights or features."""
Say = Callable[[str], None]


class Lab:
    """The material, the trainings on it, and a folder for both and for the pictures.

    Parameters
    ----------
    streams : whose streams are frozen, or None where streams are trained (`size.recipe.frozen`).
    visual_weights : ImageNet weights that trained streams start from, or None.
    labellers : gives the pair that pseudo labels come from (S19 Table 6).
    out : pictures are written into it, networks and features into its folder `cache`.
    planned : trainings that will be asked for, so that what is left of them can be told.

    Attributes
    ----------
    size : as given, with as many pairs as the material has (`Size.fitted`).
    """

    def __init__(
        self,
        material: Material,
        size: Size,
        *,
        streams: Checkpoint | None,
        out: Path,
        seed: int = 0,
        visual_weights: Path | None = None,
        labellers: Callable[[], LabellerPair] = load_labellers,
        device: torch.device | None = None,
        say: Say = lambda _: None,
        planned: Callable[[Size], Iterable[Scheme]] = lambda _: (),
    ) -> None:
        self.size = size.fitted(
            n_unlabelled=len(material.unlabelled), n_labelled=material.n_labelled
        )
        self.out, self.seed, self.say = out, seed, say
        self.labellers = labellers
        self.device = device or torch.device("cpu")
        self.threshold: Threshold = threshold_of(material.is_world)
        self._streams, self._visual_weights = streams, visual_weights
        self.measured: dict[Scheme, Values] = {}
        """cIoU (runs, N) of the schemes on their test sets, as `localized` finds them."""
        self._networks: dict[tuple[Scheme, int], TwoStreamEncoder] = {}
        self._key = f"{material.key}-{_origin(streams, visual_weights)}"
        self.material = replace(material, bank=self._with_features(material.bank))
        self._plan = Plan(len(set(planned(self.size))) * self.size.n_runs)

    @property
    def bank(self) -> Bank:
        return self.material.bank

    def test(self, number: int = 0) -> Places:
        """Rows of a test set. Raises DataAbsent."""
        tests = self.material.tests
        found = tests[number] if number < len(tests) else np.empty(0, np.int64)
        return wanted(found, len(found), f"annotated pairs of test set {number + 1}")

    def networks(self, scheme: Scheme) -> list[TwoStreamEncoder]:
        """The networks of a scheme's runs, in eval mode. Trained where they are not yet."""
        return [self.network(scheme, run) for run in range(self.size.n_runs)]

    def network(self, scheme: Scheme, run: int = 0) -> TwoStreamEncoder:
        """One network of a scheme, from memory, from disk, or trained now. Raises DataAbsent."""
        if (scheme, run) not in self._networks:
            network = self._fresh(scheme, run)
            path = self._path(scheme, run)
            if path.is_file():
                self._plan.kept()
            else:
                with self._plan.timed():
                    self._train(network, scheme, run)
                self._save(network, path)
            network.load_state_dict(network.state_dict() | _kept(path))
            self._networks[scheme, run] = network.eval().requires_grad_(False)
        return self._networks[scheme, run]

    def rows(self, scheme: Scheme) -> Places:
        """Rows that a scheme is trained on; raises DataAbsent where there are none of a kind."""
        parts = []
        if scheme.n_unlabelled:
            parts.append(wanted(self.material.unlabelled, scheme.n_unlabelled, "unlabelled pairs"))
        if scheme.n_labelled:
            labelled = self.material.labelled_for(scheme.test)
            parts.append(wanted(labelled, scheme.n_labelled, "annotated pairs beside the test set"))
        return np.concatenate(parts)

    def picture_path(self, name: str) -> Path:
        """Where a PNG of a row goes; the folder is made."""
        self.out.mkdir(parents=True, exist_ok=True)
        return self.out / f"{name}.png"

    def _train(self, network: TwoStreamEncoder, scheme: Scheme, run: int) -> None:
        rows, recipe = self.rows(scheme), scheme.recipe(self.size, self._seed(run))
        batch = min(recipe.batch_size, len(rows))
        what = f"{scheme.name}, {scheme.attention}, run {run + 1}/{self.size.n_runs}"
        self.say(f"{self._plan.where} {what}{self._plan.left}")
        train(
            network,
            self.bank.at(rows),
            replace(recipe, batch_size=batch),
            device=self.device,
            on_progress=self._shown,
        )
        network.cpu()

    def _shown(self, progress: Progress) -> None:
        if progress.step % 1000 == 0:  # hours of a full-size training, never one of the small ones
            self.say(
                f"  step {progress.step}/{progress.steps}, loss {progress.loss:.3f}, "
                f"{progress.eta_s / 60:.0f} min left of this one"
            )

    def _fresh(self, scheme: Scheme, run: int) -> TwoStreamEncoder:
        """Return what a training starts from."""
        seed = self._seed(run)
        if self._streams is None:
            network = TwoStreamEncoder(paper(attention=scheme.attention), seed=seed)
            if self._visual_weights is not None:
                initialise_visual(network, self._visual_weights)
            return network
        known = self._streams.network
        config = replace(
            known.config, attention=scheme.attention, frame_px=self.size.recipe.crop_px
        )
        network = TwoStreamEncoder(config, seed=seed)
        network.visual.load_state_dict(known.visual.state_dict())
        network.sound.load_state_dict(known.sound.state_dict())
        return network

    def _seed(self, run: int) -> int:
        return 1000 * self.seed + run

    def _path(self, scheme: Scheme, run: int) -> Path:
        recipe = scheme.recipe(self.size, self._seed(run))
        facts = [FORMAT, self._key, scheme.to_json(), asdict(recipe), self.rows(scheme).tolist()]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        return self._cache() / f"network-{digest}.safetensors"

    def _save(self, network: TwoStreamEncoder, path: Path) -> None:
        """Keep what was trained, matrices in float16; the caller reads it back, so rounded."""
        frozen = self.size.recipe.frozen
        kept: dict[str, Tensor] = {
            name: (value.half() if value.ndim > 1 else value).contiguous()
            for name, value in network.state_dict().items()
            if not (frozen and is_frozen(name, network))
        }
        _save_whole(kept, path)

    def _with_features(self, bank: Bank) -> Bank:
        if self._streams is None:
            return bank
        facts = f"{FORMAT}-{self.size.recipe.crop_px}-{self._key}"
        path = self._cache() / f"features-{facts}.safetensors"
        if not path.is_file():
            self.say(f"frozen streams look at {bank.n_pictures} pictures")
            features = with_features(bank, self._streams.network).features
            assert features is not None
            _save_whole({"pictures": features.pictures, "f_s": features.f_s}, path)
        kept = _kept(path)
        return replace(bank, features=Features(pictures=kept["pictures"], f_s=kept["f_s"]))

    def _cache(self) -> Path:
        folder = self.out / "cache"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class Plan:
    """How many trainings there will be, and how long the rest takes.

    Networks that were kept count as done; only what was trained is timed.
    """

    def __init__(self, n: int) -> None:
        self.n, self.n_done, self._n_timed, self._seconds = n, 0, 0, 0.0

    def kept(self) -> None:
        """Count a network that needs no training."""
        self.n_done += 1

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count a training and the time that it takes."""
        started = time.monotonic()
        yield
        self.n_done += 1
        self._n_timed += 1
        self._seconds += time.monotonic() - started

    @property
    def where(self) -> str:
        """`training 3/46`."""
        return f"training {self.n_done + 1}/{max(self.n, self.n_done + 1)}:"

    @property
    def left(self) -> str:
        """`, about 40 s left`, or nothing as long as nobody knows."""
        n_left = self.n - self.n_done
        if not self._n_timed or n_left <= 0:
            return ""
        seconds = self._seconds / self._n_timed * n_left
        return (
            f", about {seconds:.0f} s left"
            if seconds < 120
            else f", about {seconds / 60:.0f} min left"
        )


def _origin(streams: Checkpoint | None, weights: Path | None) -> str:
    """Name what networks start from by its content."""
    if streams is not None:
        return streams.fingerprint[:12]
    if weights is None:
        return "random"
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _kept(path: Path) -> dict[str, Tensor]:
    """Read back what was kept. Raises TrainError where somebody damaged it."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise TrainError(
            f"{path}: cannot be read ({error}); delete it, and it is made anew"
        ) from None


def _save_whole(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(".part")
    save_file(tensors, partial)
    partial.replace(path)
