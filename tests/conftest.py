"""Real small things that several test files share. Nothing is downloaded, nothing is mocked."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image
from postgresql_server import programs, running

from encoder.checkpoint import save_checkpoint
from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from retrieval import Retriever

RATE_HZ = 22_050


@dataclass(frozen=True)
class SmallCorpus:
    """A corpus on disk with its index, and the rows of its manifest in order."""

    folder: Path
    index: Path
    checkpoint: Path
    rows: list[dict[str, str]]

    @property
    def arguments(self) -> list[str]:
        """What a command needs to open it."""
        return ["--index", str(self.index), "--checkpoint", str(self.checkpoint)]


def write_picture(path: Path, seed: int, size_px: tuple[int, int] = (48, 64)) -> None:
    """Write coarse coloured noise: every seed looks different after resizing, too."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    coarse.resize(size_px[::-1], Image.Resampling.BICUBIC).save(path)


def sound_of(seed: int, seconds: float = 0.8) -> NDArray[np.float32]:
    """Return a few partials under an envelope, float32 (T,), within [-0.6, 0.6]."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    partials = rng.uniform(100, 4000, 3)
    wave = sum(np.sin(2 * np.pi * hertz * time_s) for hertz in partials)
    return (0.2 * wave * np.exp(-time_s * rng.uniform(0.5, 4))).astype(np.float32)


def write_sound(path: Path, seed: int, seconds: float = 0.8) -> None:
    soundfile.write(path, sound_of(seed, seconds), RATE_HZ, subtype="PCM_16")


def write_video(
    path: Path, seed: int, seconds: int = 2, *, with_sound: bool = True, loudness: float = 1.0
) -> None:
    """Write MPEG-4 at 5 frames a second, grey level rising, with AAC where asked."""
    with av.open(path, "w") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=RATE_HZ) if with_sound else None
        for n in range(5 * seconds):
            picture = np.full((48, 64, 3), 40 + 4 * n, np.uint8)
            picture[:, : 8 * (seed % 8)] = 200
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(
                np.float32(loudness) * sound_of(seed, seconds)[None], format="fltp", layout="mono"
            )
            frame.sample_rate = RATE_HZ
            container.mux(audio.encode(frame))
            container.mux(audio.encode())


def write_manifest(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["image", "audio", "video", "label", "split"])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A database on a server that runs as long as the tests."""
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with running(folder) as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def catalogue_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where indexes of a module keep their catalogues; it runs on one kind, then on the other."""
    import indexer_fixtures

    url = None if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer_fixtures, "CATALOGUE_URL", url)
        yield url


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors run faster, and two test processes fit beside each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network with random weights: everything works, nothing is meant."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(
        folder,
        TwoStreamEncoder(tiny(), seed=0),
        name="tiny",
        facts={"licence": "Apache-2.0"},
        card="# tiny\n",
    )
    return folder


@pytest.fixture(scope="session")
def tiny_embedder(tiny_checkpoint: Path) -> Embedder:
    return Embedder.load(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="session")
def small_corpus(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_embedder: Embedder
) -> SmallCorpus:
    """12 pairs, 2 lone pictures, 2 lone sounds, a video; rows that share a picture or a sound."""
    from indexer.build import build_index

    folder = tmp_path_factory.mktemp("corpus") / "küche 音"
    folder.mkdir()
    rows = _rows()
    for n, row in enumerate(rows):
        if row["image"] and not (folder / row["image"]).exists():
            write_picture(folder / row["image"], seed=n)
        if row["audio"] and not (folder / row["audio"]).exists():
            write_sound(folder / row["audio"], seed=100 + n)
        if row["video"]:
            write_video(folder / row["video"], seed=200 + n)
    manifest = folder / "manifest.csv"
    write_manifest(manifest, rows)
    report = build_index(folder, embedder=tiny_embedder, manifest=manifest)
    assert report.n_failed == 0
    return SmallCorpus(folder, report.index_dir, tiny_checkpoint, rows)


@pytest.fixture(scope="session")
def asked_sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound that is not in the corpus."""
    path = tmp_path_factory.mktemp("asked") / "clip.wav"
    write_sound(path, seed=77)
    return path


@pytest.fixture(scope="session")
def asked_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that is not in the corpus."""
    path = tmp_path_factory.mktemp("asked") / "photo.png"
    write_picture(path, seed=78)
    return path


def _rows() -> list[dict[str, str]]:
    def row(image: str, audio: str, n: int, video: str = "") -> dict[str, str]:
        label, split = ("bell", "drum", "car")[n % 3], ("train", "val")[n % 2]
        return {"image": image, "audio": audio, "video": video, "label": label, "split": split}

    pairs = [row(f"p{n:02d}.png", f"p{n:02d}.wav", n) for n in range(12)]
    shared = [row("p00.png", "p03.wav", 12), row("p05.png", "p00.wav", 13)]
    lone = [row("lone0.png", "", 14), row("lone1.png", "", 15)]
    lone += [row("", "lone0.wav", 16), row("", "lone1.wav", 17)]
    return [*pairs, *shared, *lone, row("", "", 18, video="clip.mp4")]


@pytest.fixture(scope="module")
def retriever(small_corpus: SmallCorpus) -> Iterator[Retriever]:
    with Retriever.open(
        small_corpus.folder, device="cpu", checkpoint=small_corpus.checkpoint
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture and a sound that are not in the corpus."""
    folder = tmp_path_factory.mktemp("query")
    write_picture(folder / "q.png", seed=901)
    write_sound(folder / "q.wav", seed=902)
    return folder / "q.png", folder / "q.wav"
