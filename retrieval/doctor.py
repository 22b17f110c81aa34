"""`retrieval doctor`: can this machine do the work? Each check says what was found and what to do.

Heavy libraries are tried in a process of their own: one that hangs or aborts at import must be
reported, not suffered.
"""

from __future__ import annotations

import locale
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warn", "fail"]
PROBE_TIMEOUT_S = 90.0
"""A first import of torch from a cold network disk takes most of a minute."""
PROJECT = Path(__file__).parents[1]
FREE_BYTES = 2 * 2**30
REINSTALL = "run `make setup`, which installs requirements.lock"
NAME = "prüfung-音-🎵.txt"
"""Letters beyond ASCII, beyond Latin, and beyond the basic plane."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report; `remedy` is empty where nothing is to be done."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def diagnose(*, checkpoint: Path | None = None, folder: Path | None = None) -> list[Check]:
    """Run every check, in the order in which the pieces stand on each other.

    Parameters
    ----------
    checkpoint : encoder folder to load; None is the shipped one.
    folder : where an index would be written; None is the current folder.
    """
    folder = folder or Path.cwd()
    checks: list[Callable[[], Check]] = [
        python,
        torch_family,
        cuda,
        faiss,
        decoders,
        lambda: disk_space(folder),
        text_encoding,
        non_ascii_files,
        lambda: encoder_loads(checkpoint),
    ]
    with ThreadPoolExecutor(max_workers=4) as pool:  # most of the time they wait for a process
        return list(pool.map(lambda check: check(), checks))


def python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check(name="python", status="ok", found=found)


def torch_family() -> Check:
    """torch, torchaudio and torchvision import together only when built for one CUDA."""
    found = _versions("torch", "torchaudio", "torchvision")
    mismatch = torch_mismatch(_version("torch"), _version("torchaudio"))
    probe = _probe("import torch, torchaudio, torchvision")
    if probe.failed or mismatch:
        return Check(
            name="torch",
            status="fail" if probe.failed else "warn",
            found=f"{found}: {mismatch or probe.text}",
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


def cuda() -> Check:
    """Whether torch can compute on a GPU; without one everything runs on the processor."""
    probe = _probe(
        "import torch\n"
        "there = torch.cuda.is_available()\n"
        "if there: torch.ones(8, device='cuda').sum().item()\n"
        "print(torch.cuda.get_device_name() if there else 'none; the processor is used')"
    )
    if probe.failed:
        return Check(
            name="cuda",
            status="warn",
            found=probe.text,
            remedy="use --device cpu, or mend the driver",
        )
    return Check(name="cuda", status="ok", found=probe.text)


def faiss() -> Check:
    probe = _probe(
        "import faiss, numpy as np\n"
        "index = faiss.IndexFlatIP(8); index.add(np.eye(8, dtype=np.float32))\n"
        "assert index.search(np.eye(8, dtype=np.float32)[:1], 1)[1][0, 0] == 0\n"
        "gpus = faiss.get_num_gpus() if hasattr(faiss, 'get_num_gpus') else 0\n"
        "print(faiss.__version__, f'{gpus} GPUs', faiss.get_compile_options().strip())"
    )
    both = _version("faiss-gpu") and _version("faiss-cpu")
    if probe.failed or both:
        found = "faiss-gpu and faiss-cpu are both installed" if both else probe.text
        return Check(
            name="faiss", status="fail" if probe.failed else "warn", found=found, remedy=REINSTALL
        )
    return Check(name="faiss", status="ok", found=probe.text)


def decoders() -> Check:
    found = _versions("soundfile", "av", "pillow")
    probe = _probe("import soundfile, av, PIL.Image; print(soundfile.__libsndfile_version__)")
    if probe.failed:
        return Check(
            name="decoders", status="fail", found=f"{found}: {probe.text}", remedy=REINSTALL
        )
    return Check(name="decoders", status="ok", found=f"{found}, libsndfile {probe.text}")


def disk_space(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < FREE_BYTES:
        return Check(
            name="disk",
            status="warn",
            found=found,
            remedy="an index takes about 100 kB per item; use --index on a larger disk",
        )
    return Check(name="disk", status="ok", found=found)


def text_encoding() -> Check:
    encoding = (sys.stdout.encoding or "none").lower()
    found = f"stdout {encoding}, locale {locale.getpreferredencoding(False)}"
    if encoding.replace("-", "") != "utf8":
        return Check(
            name="text",
            status="warn",
            found=found,
            remedy="set PYTHONUTF8=1, or some paths are shown escaped",
        )
    return Check(name="text", status="ok", found=found)


def non_ascii_files() -> Check:
    """Write and find a file whose name is not ASCII in the temporary folder."""
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryDirectory() as inside:
            Path(inside, NAME).write_text("ok", encoding="utf-8")
            named = os.listdir(inside)
    except (OSError, UnicodeError) as error:
        return Check(
            name="file names",
            status="fail",
            found=f"{folder}: {error}",
            remedy="set TMPDIR to a folder that you may write to, and PYTHONUTF8=1",
        )
    return Check(name="file names", status="ok", found=f"{folder} takes {named[0]}")


def encoder_loads(checkpoint: Path | None) -> Check:
    """Load the encoder and run a black frame and a short sound through it."""
    probe = _probe(
        "import sys, pathlib, numpy as np\n"
        "from encoder.embedder import Embedder\n"
        "folder = pathlib.Path(sys.argv[1]) if sys.argv[1] else None\n"
        "embedder = Embedder.load(folder, device='cpu')\n"
        "embedder.embed_frames([embedder.prepare_frame(np.zeros((32, 32, 3), np.uint8))])\n"
        "embedder.embed_sounds([embedder.prepare_sound(np.ones(4410, np.float32))])\n"
        "print(embedder.name, embedder.fingerprint[:12])",
        str(checkpoint or ""),
    )
    if probe.failed:
        return Check(
            name="encoder",
            status="fail",
            found=probe.text,
            remedy="give --checkpoint a folder that `retrieval train` wrote, or fetch the "
            "repository again",
        )
    return Check(name="encoder", status="ok", found=probe.text)


@dataclass(frozen=True)
class _Probe:
    """How a small program ended: the last line that it said."""

    failed: bool
    text: str


def _probe(program: str, *arguments: str) -> _Probe:
    # -P: a folder of the same name where the user stands must not be taken for the project.
    command = [sys.executable, "-P", "-c", program, *arguments]
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONPATH": str(PROJECT)}
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Probe(True, f"no answer within {PROBE_TIMEOUT_S:.0f} s")
    said = (ended.stderr if ended.returncode else ended.stdout).strip().splitlines()
    if ended.returncode < 0:
        return _Probe(True, f"ended by signal {-ended.returncode}")
    return _Probe(ended.returncode != 0, said[-1] if said else "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _versions(*packages: str) -> str:
    return ", ".join(f"{package} {_version(package) or 'missing'}" for package in packages)
