"""Networks trained once and shared by all rows that look at them, kept on disk between runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
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
from train.frozen import is_frozen, with_features
from train.loop import Progress, train
from train.reproduce.material import Material, Places, wanted
from train.reproduce.schemes import Scheme
from train.reproduce.size import Size, threshold_of

FORMAT = 1
"""Raised whenever the same settings would give other weights or features."""
Say = Callable[[str], None]


class Lab:
    """The material, the trainings on it, and a folder for both and for the pictures.

    Parameters
    ----------
    streams : whose streams are frozen, or None where streams are trained (`size.recipe.frozen`).
    visual_weights : ImageNet weights that trained streams start from, or None.
    labellers : gives the pair that pseudo labels come from (S19 Table 6).
    out : pictures are written into it, networks and features into its folder `cache`.
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
    ) -> None:
        self.size, self.out, self.seed, self.say = size, out, seed, say
        self.labellers = labellers
        self.device = device or torch.device("cpu")
        self.threshold: Threshold = threshold_of(material.is_world)
        self._streams, self._visual_weights = streams, visual_weights
        self.measured: dict[Scheme, Values] = {}
        """cIoU (runs, N) of the schemes on their test sets, as `localized` finds them."""
        self._networks: dict[tuple[Scheme, int], TwoStreamEncoder] = {}
        self._key = f"{material.key}-{streams.fingerprint[:12] if streams else visual_weights}"
        self.material = replace(material, bank=self._with_features(material.bank))

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
            if not path.is_file():
                self._train(network, scheme, run)
                self._save(network, path)
            state = network.state_dict()
            network.load_state_dict(state | load_file(path))
            self._networks[scheme, run] = network.eval().requires_grad_(False)
        return self._networks[scheme, run]

    def rows(self, scheme: Scheme) -> Places:
        """Rows that a scheme is trained on; raises DataAbsent where there are none of a kind.

        Where there are fewer than it asks for, all are taken (`taken` says how many).
        """
        parts = []
        if scheme.n_unlabelled:
            parts.append(wanted(self.material.unlabelled, scheme.n_unlabelled, "unlabelled pairs"))
        if scheme.n_labelled:
            labelled = self.material.labelled_for(scheme.test)
            parts.append(wanted(labelled, scheme.n_labelled, "annotated pairs beside the test set"))
        return np.concatenate(parts)

    def taken(self, scheme: Scheme) -> Scheme:
        """Return the scheme with the numbers of pairs that there really are."""
        rows = self.rows(scheme)
        n_labelled = int(np.isin(rows, self.material.annotated).sum())
        return replace(scheme, n_labelled=n_labelled, n_unlabelled=len(rows) - n_labelled)

    def picture_path(self, name: str) -> Path:
        """Where a PNG of a row goes; the folder is made."""
        self.out.mkdir(parents=True, exist_ok=True)
        return self.out / f"{name}.png"

    def _train(self, network: TwoStreamEncoder, scheme: Scheme, run: int) -> None:
        rows, recipe = self.rows(scheme), scheme.recipe(self.size, self._seed(run))
        batch = min(recipe.batch_size, len(rows))
        self.say(f"train {scheme.name}, {scheme.attention}, run {run + 1}/{self.size.n_runs}")
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
            self.say(f"  step {progress.step}/{progress.steps}, loss {progress.loss:.3f}")

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
        facts = [FORMAT, self._key, scheme.to_json(), self._seed(run), self.size.recipe, self.seed]
        facts += self.rows(scheme).tolist()
        digest = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
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
        path = self._cache() / f"features-{self._key}.safetensors"
        if not path.is_file():
            self.say(f"frozen streams look at {bank.n_pictures} pictures")
            features = with_features(bank, self._streams.network).features
            assert features is not None
            _save_whole({"pictures": features.pictures, "f_s": features.f_s}, path)
        kept = load_file(path)
        return replace(bank, features=Features(pictures=kept["pictures"], f_s=kept["f_s"]))

    def _cache(self) -> Path:
        folder = self.out / "cache"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _save_whole(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(".part")
    save_file(tensors, partial)
    partial.replace(path)
