"""Checks of the GPU: its driver, torch's build against it, FAISS on it; each with a time-out."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass

from retrieval.doctor.check import Check
from retrieval.doctor.probing import Probe, probe, run

NVIDIA_SMI_S = 30.0
"""A driver that is stuck never answers; one without persistence takes some seconds."""
LEAST_DRIVER = {11: "450", 12: "525", 13: "580"}
"""Driver that speaks each CUDA, on Linux (NVIDIA, "CUDA Compatibility", minor version
compatibility): a build for 13.2 runs with any driver for 13.x, and with none for 12.x."""
ON_PROCESSOR = "until then use --device cpu"


@dataclass(frozen=True, kw_only=True)
class Driver:
    """What nvidia-smi says: "580.82.07", (13, 0), ("NVIDIA H200",)."""

    version: str
    cuda: tuple[int, int]
    gpus: tuple[str, ...]


Answer = Driver | Probe | None
"""Of nvidia-smi: None where there is none, a probe where it does not answer."""


def asked_driver() -> Answer:
    """Ask nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    header = run([program], NVIDIA_SMI_S)
    if header.failed:
        return header
    listed = run([program, "--query-gpu=name", "--format=csv,noheader"], NVIDIA_SMI_S)
    if listed.failed:
        return listed
    return read_driver(header.output, listed.output)


def read_driver(header: str, names: str) -> Driver | Probe:
    """Read the table that nvidia-smi prints, and its list of names."""
    version = re.search(r"(?:Driver|KMD) Version:\s*([\d.]+)", header)
    cuda = re.search(r"CUDA[\w ]* Version:\s*(\d+)\.(\d+)", header)
    if not version or not cuda:
        return Probe(True, "nvidia-smi names no driver or no CUDA version")
    gpus = tuple(line.strip() for line in names.splitlines() if line.strip())
    return Driver(version=version[1], cuda=(int(cuda[1]), int(cuda[2])), gpus=gpus)


def driver(found: Answer) -> Check:
    """NVIDIA's driver, where there is one: what nvidia-smi said."""
    if found is None:
        return Check(name="driver", status="ok", found="no nvidia-smi; the processor is used")
    if isinstance(found, Probe):
        return Check(
            name="driver",
            status="warn",
            found=f"nvidia-smi: {found.text}",
            remedy="restart the machine, since a driver that was updated works after that alone; "
            f"else install the driver again; {ON_PROCESSOR}",
        )
    if not found.gpus:
        return Check(
            name="driver",
            status="warn",
            found=f"driver {found.version}, and no GPU",
            remedy=f"look whether the GPU is switched on and given to this machine; {ON_PROCESSOR}",
        )
    return Check(
        name="driver",
        status="ok",
        found=f"{', '.join(found.gpus)}; driver {found.version}, CUDA {_dotted(found.cuda)}",
    )


CUDA_PROGRAM = """
import torch
print(torch.version.cuda or "")
there = torch.cuda.is_available()
if there:
    torch.ones(8, device="cuda").sum().item()
print(torch.cuda.get_device_name() if there else "")
"""


def cuda(found: Answer) -> Check:
    """Whether torch computes on the GPU; without one everything runs on the processor."""
    return cuda_check(found, probe(CUDA_PROGRAM))


def cuda_check(found: Answer, tried: Probe) -> Check:
    """Judge torch's build against the driver, and what happened when it was tried."""
    lines = [line.strip() for line in tried.output.splitlines()]
    build, gpu = (lines[0], lines[-1]) if len(lines) > 1 else (lines[0] if lines else "", "")
    has_gpu = isinstance(found, Driver) and bool(found.gpus)
    mismatch = cuda_mismatch(build, found.cuda) if isinstance(found, Driver) and has_gpu else ""
    if mismatch:
        major = int(build.split(".")[0])
        least = LEAST_DRIVER.get(major, "a newer one")
        remedy = f"update the driver to {least} or newer; {ON_PROCESSOR}"
        return Check(name="cuda", status="warn", found=mismatch, remedy=remedy)
    if tried.failed:
        return Check(
            name="cuda",
            status="warn",
            found=tried.text,
            remedy="use --device cpu, or mend the driver, and see what `nvidia-smi` says",
        )
    if gpu:
        of_build = f"torch's build for CUDA {build}" if build else "torch's build for other GPUs"
        return Check(name="cuda", status="ok", found=f"{of_build}; {gpu}")
    if has_gpu:
        what = f"torch's build for CUDA {build} sees no GPU" if build else "torch has no CUDA"
        remedy = (
            "see that CUDA_VISIBLE_DEVICES does not hide it"
            if build
            else ("install torch's build for CUDA, to use the GPU")
        )
        return Check(name="cuda", status="warn", found=what, remedy=f"{remedy}; {ON_PROCESSOR}")
    return Check(name="cuda", status="ok", found="no GPU; the processor is used")


def cuda_mismatch(build: str, cuda: tuple[int, int]) -> str:
    """Say that a driver is too old for torch's build; empty where it is not.

    Parameters
    ----------
    build : the CUDA that torch was built for, "13.0"; empty for a build for processors.
    cuda : what the driver speaks.

    Examples
    --------
    >>> cuda_mismatch("13.0", (12, 8))
    "torch's build for CUDA 13.0 needs more than the driver's CUDA 12.8"
    >>> cuda_mismatch("13.2", (13, 0)), cuda_mismatch("12.8", (13, 0))
    ('', '')
    """
    if not build or int(build.split(".")[0]) <= cuda[0]:
        return ""
    return f"torch's build for CUDA {build} needs more than the driver's CUDA {_dotted(cuda)}"


FAISS_GPU_PROGRAM = """
import faiss
from indexer.vectors.devices import PROBE
if not hasattr(faiss, "StandardGpuResources"):
    print("a build for processors")
elif faiss.get_num_gpus() == 0:
    print("no GPU")
else:
    exec(PROBE)
    print(f"searched on 1 of {faiss.get_num_gpus()} GPUs")
"""


def faiss_gpu(found: Answer) -> Check:
    """Whether FAISS searches on the GPU: in a process of its own, since it may hang or abort."""
    return faiss_gpu_check(found, probe(FAISS_GPU_PROGRAM))


def faiss_gpu_check(found: Answer, tried: Probe) -> Check:
    """Judge FAISS on the GPU: where there is none, or it is not used, that is no fault."""
    if tried.failed:
        return Check(
            name="faiss on GPU",
            status="warn",
            found=tried.text,
            remedy="nothing must be done, since searches then use the processor; to use the GPU, "
            "mend what the lines `driver` and `cuda` name, or update faiss-gpu",
        )
    has_gpu = isinstance(found, Driver) and bool(found.gpus)
    if has_gpu and not tried.text.startswith("searched"):
        return Check(
            name="faiss on GPU",
            status="warn",
            found=f"{tried.text}, though the driver names one",
            remedy="install faiss-gpu in place of faiss-cpu, and see that CUDA_VISIBLE_DEVICES "
            "does not hide the GPU; until then searches use the processor",
        )
    return Check(name="faiss on GPU", status="ok", found=tried.text)


def _dotted(cuda: tuple[int, int]) -> str:
    return f"{cuda[0]}.{cuda[1]}"
