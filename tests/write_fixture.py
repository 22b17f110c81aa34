"""Write a small index and what it answers, to be kept: `python tests/write_fixture.py index-v1`.

Run by hand for a release whose catalogue differs from the one before, into a folder beside the
others. Later releases open what is there (`test_indexer_migrations`) and never write it again.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import soundfile
import torch
from label_fixtures import pair
from PIL import Image

from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index
from indexer.catalogue import Catalogue
from indexer.labels.labelling import label_items
from indexer.labels.models import LabelOptions, ModelLabels
from indexer.ledger import delete_items
from indexer.options import BuildOptions
from indexer.reader import IndexReader
from indexer.terms import frames_for_sound, sounds_for_frame

FIXTURES = Path(__file__).parent / "fixtures"
ARCHIVE, ANSWERS = "corpus.tar.gz", "answers.json"
FINGERPRINT = "0123456789abcdef" * 4
"""Stands for the encoder, whose real one changes with the layout of its configuration."""
OPTIONS = BuildOptions(workers=1, batch_size=4, segment_items=4)
BOX = {"box": [0.1, 0.2, 0.6, 0.9], "annotator": "ann", "tag": "drum"}
ROWS: list[dict[str, Any]] = [
    {"image": "p0.png", "audio": "s0.wav", "label": "drum", "boxes": [BOX], "split": "train"},
    {"image": "p1.png", "audio": "s1.wav", "label": "bell", "split": "val", "take": 2},
    {"image": "p2.png", "label": "drum", "größe": "klein"},
    {"audio": "s2.wav", "split": "val"},
    {"image": "p0.png", "audio": "s1.wav", "label": "mixed"},
    {"audio": "broken.wav"},
]


def frozen_embedder() -> Embedder:
    """Return a tiny network of weights that no release of a library changes.

    Few of its outputs are not 0, so that an index of it is small once packed.
    """
    network = TwoStreamEncoder(tiny(), seed=0)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if weights.ndim > 1:
                weights.copy_(_frozen(name, weights))
    return Embedder(network, name="frozen", fingerprint=FINGERPRINT, device="cpu")


def _frozen(name: str, like: torch.Tensor) -> torch.Tensor:
    """Return eighths of a power of two: exact, whatever the processor."""
    drawn = np.random.RandomState(crc32(name.encode())).randint(-8, 9, tuple(like.shape))
    drawn[np.arange(len(drawn)) % 8 > 0 if len(drawn) > 64 else np.zeros(len(drawn), bool)] = 0
    fan_in = like[0].numel()
    return torch.from_numpy(drawn / 4.0 * 2.0 ** -round(np.log2(fan_in) / 2)).to(like)


def answers(reader: IndexReader) -> dict[str, Any]:
    """Return what an index says of itself and to two queries; JSON, scores to five digits."""
    embedder, first = frozen_embedder(), reader.sound(1)
    near = reader.nearest("sound", first.f_s[0], 3)
    frames = reader.answer(embedder, [frames_for_sound(first)], 3).neighbours
    sounds = reader.answer(embedder, [sounds_for_frame(reader.frame_map(2))], 3).neighbours
    labels = reader.pseudo_labels("bins")
    assert labels.image
    found = {
        "ids": reader.ids.tolist(),
        "rows": [asdict(row) for row in reader.rows(reader.ids)],
        "boxes": [asdict(box) for box in reader.boxes(1)],
        "failures": [[row.path, row.code] for row in reader.failures()],
        "where": reader.allowed("split = 'val' and not take > 2").tolist(),  # type: ignore[union-attr]
        "label_sets": [[one.provider, one.n_frames, one.n_sounds] for one in reader.label_sets()],
        "labels_of_frames": [labels.image.ids.tolist(), labels.image.labels.tolist()],
    }
    for name, ranked in (("near", near), ("frames", frames), ("sounds", sounds)):
        scores = [round(float(score), 5) for score in ranked.scores]
        found[name] = {"ids": ranked.ids.tolist(), "scores": scores}
    return found


def write_media(corpus: Path) -> None:
    """Write pictures and sounds of a few hundred bytes, and a manifest."""
    corpus.mkdir()
    for n in range(3):
        picture = np.full((24, 32, 3), 60 * n, np.uint8)
        picture[8 * n : 8 * n + 8, 4:28] = [250, 90 * n, 20]
        Image.fromarray(picture).save(corpus / f"p{n}.png")
        time_s = np.arange(800) / 8000
        wave = 0.4 * np.sin(2 * np.pi * 300 * (n + 1) ** 2 * time_s) * np.exp(-time_s * 9 * n)
        soundfile.write(corpus / f"s{n}.wav", wave, 8000, subtype="PCM_U8")
    (corpus / "broken.wav").write_bytes(b"RIFF no sound")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (corpus / "manifest.jsonl").write_text(lines, encoding="utf-8")
    _whole_seconds(corpus)


def _whole_seconds(corpus: Path) -> None:
    """An archive keeps no more of the times of files, by which a build knows them."""
    for path in corpus.iterdir():
        if path.is_file():
            os.utime(path, (1_700_000_000, 1_700_000_000))


def write_index(corpus: Path) -> Path:
    """Build in two generations, the later with a row more and a picture changed; label, delete."""
    embedder, manifest = frozen_embedder(), corpus / "manifest.jsonl"
    build_index(manifest, embedder=embedder, options=OPTIONS)
    row = {"audio": "s0.wav", "label": "later"}
    with manifest.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    Image.new("RGB", (40, 30), (10, 200, 90)).save(corpus / "p2.png")
    _whole_seconds(corpus)
    index = build_index(manifest, embedder=embedder, options=OPTIONS).index_dir
    with IndexReader.open(index) as reader:
        labelling = ModelLabels(pair(), reader.corpus, options=LabelOptions(workers=1))
        label_items(reader, labelling)
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        delete_items(connection, [5])
    return index


def _pack(corpus: Path, archive: Path) -> None:
    with (
        gzip.GzipFile(archive, "wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        tar.add(corpus, arcname="corpus", filter=_nobody)


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main(name: str) -> None:
    folder = FIXTURES / name
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus"
        write_media(corpus)
        index = write_index(corpus)
        (index / "writer.lock").unlink()
        _pack(corpus, folder / ARCHIVE)
        with IndexReader.open(index) as reader:
            found = json.dumps(answers(reader), ensure_ascii=False, indent=1)
        (folder / ANSWERS).write_text(found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
