"""Two labellers that really look and listen, in a dozen lines of numpy each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from indexer_fixtures import build, write_pairs
from numpy.typing import NDArray

from encoder.embedder import Embedder
from encoder.errors import InputError
from encoder.labellers.classifier import ClassifierConfig, classifier
from encoder.labellers.protocol import Labelled, LabellerPair, Vocabulary, best_labels
from encoder.labellers.shipped import LabellerDescription, save_labeller
from indexer.pseudo_labels import MODALITIES, PseudoLabels
from indexer.reader import IndexReader

BINS = Vocabulary("bins", tuple(f"bin {n:02d}" for n in range(12)))
ALL_IDS = np.arange(len(BINS.names), dtype=np.int32)


class BrightnessLabeller:
    """Names the grey levels of a frame, the most frequent of twelve first."""

    name, modality, rate_hz = "brightness", "image", 0

    def __init__(self, vocabulary: Vocabulary = BINS, weights: str = "a") -> None:
        self.vocabulary, self.n_seen = vocabulary, 0
        self.version = hashlib.sha256(weights.encode()).hexdigest()

    def prepare(self, decoded: NDArray[Any]) -> NDArray[Any]:
        assert decoded.dtype == np.uint8
        assert decoded.shape[2] == 3
        return decoded.mean(axis=2).astype(np.uint8)

    def label(self, prepared: Sequence[NDArray[Any]]) -> Labelled:
        self.n_seen += len(prepared)
        shares = [np.histogram(one, 12, (0, 256))[0] / one.size for one in prepared]
        return best_labels(np.array(shares), ALL_IDS)


class PitchLabeller:
    """Names the bands that a sound is in, the loudest of twelve first."""

    name, modality, rate_hz = "pitch", "audio", 8_000

    def __init__(self, vocabulary: Vocabulary = BINS, weights: str = "a") -> None:
        self.vocabulary, self.n_seen = vocabulary, 0
        self.version = hashlib.sha256(weights.encode()).hexdigest()

    def prepare(self, decoded: NDArray[Any]) -> NDArray[Any]:
        assert decoded.dtype == np.float32
        assert decoded.ndim == 1
        return decoded

    def label(self, prepared: Sequence[NDArray[Any]]) -> Labelled:
        self.n_seen += len(prepared)
        powers = [np.abs(np.fft.rfft(one)) ** 2 for one in prepared]
        shares = [[band.sum() / one.sum() for band in np.array_split(one, 12)] for one in powers]
        return best_labels(np.array(shares), ALL_IDS)


class OverflowingLabeller(PitchLabeller):
    """Overflows on one sound of a corpus, as half precision may."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples

    def label(self, prepared: Sequence[NDArray[Any]]) -> Labelled:
        if any(len(one) == self.samples for one in prepared):
            raise InputError("labels: a score is NaN or infinite; check the weights and the input")
        return super().label(prepared)


def pair(
    image: BrightnessLabeller | None = None, audio: PitchLabeller | None = None
) -> LabellerPair:
    return LabellerPair(
        name="bins", image=image or BrightnessLabeller(), audio=audio or PitchLabeller()
    )


def save_pair(folder: Path) -> Path:
    """A folder of tiny labellers with random weights, as `--provider DIR` takes it."""
    for modality, name in zip(MODALITIES, ("frames", "sounds"), strict=True):
        config = ClassifierConfig(
            modality=modality,
            n_labels=len(BINS),
            width=8,
            blocks=(1, 1, 1, 1),
            frame_px=64,
            window_s=0.5,
        )
        told = LabellerDescription(
            name=f"tiny {name}",
            classifier=config,
            vocabulary=BINS,
            label_ids=tuple(range(len(BINS))),
            facts={},
        )
        save_labeller(folder / name, classifier(config), told, "# tiny\n")
    return folder


def indexed(folder: Path, embedder: Embedder, rows: list[dict[str, Any]], n_pairs: int = 4) -> Path:
    """Write pairs and a manifest of rows that use them, build; return the index folder."""
    if not folder.exists():
        write_pairs(folder, n_pairs)
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return build(manifest, embedder, segment_items=99, batch_size=8).index_dir


def row(image: int | None, audio: int | None, **values: Any) -> dict[str, Any]:
    """A row of the manifest: the picture and the sound of these numbers."""
    names = {} if image is None else {"image": f"p{image:03d}.png"}
    names |= {} if audio is None else {"audio": f"p{audio:03d}.wav"}
    return names | values


def said(reader: IndexReader, labels: PseudoLabels) -> dict[str, dict[str, dict[str, float]]]:
    """Labels by modality and file, each with its score, in order: whatever ids the items have."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for modality in ("image", "audio"):
        top = labels.of(modality)
        if top is None:
            continue
        files = [getattr(one, modality) for one in reader.rows(top.ids)]
        found[modality] = {
            file: {
                labels.names[label]: round(float(score), 6)
                for label, score in zip(ids, scores, strict=True)
                if label >= 0
            }
            for file, ids, scores in zip(files, top.labels, top.scores, strict=True)
        }
    return found
