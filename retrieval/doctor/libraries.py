"""Checks of libraries: each is loaded and does a little of what it is there for."""

from __future__ import annotations

import platform
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from retrieval.doctor.check import REINSTALL, Check
from retrieval.doctor.probing import Probe, installed, probe, versions


def python() -> Check:
    """Name the interpreter; an older one than 3.11 does not get this far."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check(name="python", status="ok", found=found)


def torch_family() -> Check:
    """torch, torchaudio and torchvision import together only when built for one CUDA."""
    return torch_check(
        versions("torch", "torchaudio", "torchvision"),
        torch_mismatch(installed("torch"), installed("torchaudio")),
        probe("import torch, torchaudio, torchvision"),
    )


def torch_check(found: str, mismatch: str, tried: Probe) -> Check:
    """Judge the three by their versions and by how importing them ended."""
    if tried.failed or mismatch:
        return Check(
            name="torch",
            status="fail" if tried.failed else "warn",
            found=f"{found}: {mismatch or tried.text}",
            remedy=REINSTALL,
        )
    return Check(name="torch", status="ok", found=found)


def torch_mismatch(torch: str | None, torchaudio: str | None) -> str:
    """Name the pair that cannot be imported together; empty where it can.

    Examples
    --------
    >>> torch_mismatch("2.15.0", "2.11.0")
    'torch 2.15 is built for CUDA 13.2, torchaudio 2.11 for 13.0'
    >>> torch_mismatch("2.11.0+cu130", "2.11.0+cu130")
    ''
    """
    if torch is None or torchaudio is None:
        return ""
    major, minor = (int(part) for part in torch.split("+")[0].split(".")[:2])
    if (major, minor) >= (2, 15) and torchaudio.startswith("2.11"):
        return f"torch {major}.{minor} is built for CUDA 13.2, torchaudio 2.11 for 13.0"
    return ""


FAISS_PROGRAM = """
import faiss, numpy as np
eye = np.eye(8, dtype=np.float32)
index = faiss.IndexFlatIP(8)
index.add(eye)
assert index.search(eye[:1], 1)[1][0, 0] == 0, "FAISS finds the wrong vector"
build = "for GPUs" if hasattr(faiss, "StandardGpuResources") else "for processors"
print(faiss.__version__, "built", build, "with", faiss.get_compile_options().strip())
"""


def faiss() -> Check:
    """FAISS finds a vector; two of its packages in one place overwrite each other."""
    return faiss_check(
        probe(FAISS_PROGRAM), both=bool(installed("faiss-gpu") and installed("faiss-cpu"))
    )


def faiss_check(tried: Probe, *, both: bool) -> Check:
    """Judge FAISS by how a search ended and by whether two of its packages are installed."""
    if not (tried.failed or both):
        return Check(name="faiss", status="ok", found=tried.text)
    found = "faiss-gpu and faiss-cpu are both installed" if both else tried.text
    remedy = f"uninstall both, then {REINSTALL}" if both else REINSTALL
    return Check(
        name="faiss", status="fail" if tried.failed else "warn", found=found, remedy=remedy
    )


DECODERS_PROGRAM = """
import io, av, numpy as np, soundfile, PIL.features, PIL.Image
file = io.BytesIO()
soundfile.write(file, np.zeros(800, np.float32), 8000, format="FLAC")
file.seek(0)
assert len(soundfile.read(file)[0]) == 800, "libsndfile loses samples"
missing = [name for name in ("h264", "hevc", "vp9", "av1", "aac", "mp3", "opus", "vorbis")
           if name not in av.codecs_available]
missing += [name for name in ("jpg", "zlib", "webp", "avif") if not PIL.features.check(name)]
print("libsndfile", soundfile.__libsndfile_version__)
print(" ".join(missing) or "none")
"""


def decoders() -> Check:
    """libsndfile, FFmpeg and Pillow load, and know the formats that people have."""
    return decoders_check(versions("soundfile", "av", "pillow"), probe(DECODERS_PROGRAM))


def decoders_check(found: str, tried: Probe) -> Check:
    """Judge the decoders: the probe says libsndfile's version, then what cannot be decoded."""
    if tried.failed:
        return Check(
            name="decoders", status="fail", found=f"{found}: {tried.text}", remedy=REINSTALL
        )
    found = f"{found}, {tried.output.splitlines()[0]}"
    if tried.text != "none":
        return Check(
            name="decoders",
            status="warn",
            found=f"{found}; cannot decode: {tried.text}",
            remedy=f"{REINSTALL}, with the wheels of PyAV and Pillow, which bring their codecs",
        )
    return Check(name="decoders", status="ok", found=found)


def tables() -> Check:
    """What catalogue, segments and weights are written with."""
    packages = ("numpy", "pyarrow", "sqlalchemy", "safetensors", "filelock")
    return imports("tables", versions(*packages), probe(f"import {', '.join(packages)}"))


def page() -> Check:
    """What the page is shown with."""
    tried = probe("import streamlit")
    return imports("page", versions("streamlit"), tried)


def imports(name: str, found: str, tried: Probe) -> Check:
    """Judge packages by whether they can be imported."""
    if tried.failed:
        return Check(name=name, status="fail", found=f"{found}: {tried.text}", remedy=REINSTALL)
    return Check(name=name, status="ok", found=found)


def sqlite(folder: Path) -> Check:
    """Write a catalogue of one row where an index would be: JSON inside SQL, and a write-ahead log.

    Network file systems often have no shared memory, which the log needs.
    """
    found = f"SQLite {sqlite3.sqlite_version}"
    try:
        with tempfile.TemporaryDirectory(prefix=".retrieval-doctor-", dir=folder) as inside:
            mode = _tried_catalogue(Path(inside, "catalogue.sqlite"))
    except OSError as error:
        return Check(
            name="sqlite",
            status="warn",
            found=f"{found}; {folder} cannot be written: {error.strerror or error}",
            remedy="give --index a folder that you may write to",
        )
    except sqlite3.Error as error:
        return Check(
            name="sqlite",
            status="fail",
            found=f"{found}; in {folder}: {error}",
            remedy="give --index a folder on a local disk; where that fails, too, use a Python "
            "whose SQLite is 3.38 or newer",
        )
    if mode != "wal":
        return Check(
            name="sqlite",
            status="warn",
            found=f"{found}; {folder} takes no write-ahead log ({mode})",
            remedy="give --index a folder on a local disk",
        )
    return Check(name="sqlite", status="ok", found=f"{found}, write-ahead log, JSON")


def _tried_catalogue(path: Path) -> str:
    with closing(sqlite3.connect(path, timeout=5.0)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        with connection:
            connection.execute("CREATE TABLE t (facts JSON)")
            connection.execute("""INSERT INTO t VALUES ('{"split": "val"}')""")
        (value,) = connection.execute("SELECT json_extract(facts, '$.split') FROM t").fetchone()
        if value != "val":
            raise sqlite3.DatabaseError(f"JSON is read as {value!r}")
    return str(mode)


def postgres() -> Check:
    """The client of PostgreSQL, where one is installed; SQLite needs none."""
    if installed("psycopg") is None:
        return Check(name="postgres", status="ok", found="no client (psycopg); SQLite needs none")
    return postgres_check(
        versions("psycopg"), probe("import psycopg; print('libpq', psycopg.pq.version())")
    )


def postgres_check(found: str, tried: Probe) -> Check:
    """Judge the client by whether it can be imported."""
    if tried.failed:
        return Check(
            name="postgres",
            status="warn",
            found=f"{found}: {tried.text}",
            remedy="install `psycopg[binary]`, which brings libpq, or keep the catalogue in SQLite",
        )
    return Check(name="postgres", status="ok", found=f"{found}, {tried.text}")


ENCODER_PROGRAM = """
import sys, pathlib, numpy as np
from encoder.embedder import Embedder
folder = pathlib.Path(sys.argv[1]) if sys.argv[1] else None
embedder = Embedder.load(folder, device="cpu")
embedder.embed_frames([embedder.prepare_frame(np.zeros((32, 32, 3), np.uint8))])
embedder.embed_sounds([embedder.prepare_sound(np.ones(4410, np.float32))])
print(embedder.name, embedder.fingerprint[:12])
"""


def encoder_loads(checkpoint: Path | None) -> Check:
    """Load the encoder and run a black frame and a short sound through it."""
    tried = probe(ENCODER_PROGRAM, str(checkpoint or ""))
    if tried.failed:
        return Check(
            name="encoder",
            status="fail",
            found=tried.text,
            remedy="give --checkpoint a folder that `retrieval train` wrote, or fetch the "
            "repository again",
        )
    return Check(name="encoder", status="ok", found=tried.text)
