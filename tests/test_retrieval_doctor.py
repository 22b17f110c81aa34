"""The doctor: what it finds here, what it would say elsewhere, and that each fault has a remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run, run_process

from retrieval.doctor import gpu, libraries, probing, surroundings
from retrieval.doctor.check import Check
from retrieval.doctor.gpu import Driver
from retrieval.doctor.probing import Probe

NAMES = {
    *("python", "torch", "driver", "cuda", "faiss", "faiss on GPU", "decoders", "tables", "page"),
    *("sqlite", "postgres", "disk", "text", "file names", "encoder"),
}
HEADER = """
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 580.82.07              Driver Version: 580.82.07      CUDA Version: 13.0     |
|-----------------------------------------+------------------------+----------------------+
"""
H200 = Driver(version="580.82.07", cuda=(13, 0), gpus=("NVIDIA H200",))
OLD = Driver(version="550.54.14", cuda=(12, 4), gpus=("Tesla T4",))
DIED = Probe(True, "ended by signal 6")


def said(*lines: str) -> Probe:
    return Probe(False, lines[-1], "\n".join(lines) + "\n")


def test_this_machine_is_well(tiny_checkpoint: Path) -> None:
    result = run("doctor", "--json", "--checkpoint", tiny_checkpoint)
    found = json.loads(result.stdout)
    status = {one["name"]: one["status"] for one in found["checks"]}
    assert result.exit_code == 0, result.output
    assert found["ok"] is True
    assert set(status) == NAMES
    sure = {"torch", "faiss", "decoders", "tables", "page", "sqlite", "file names", "encoder"}
    assert {status[name] for name in sure} == {"ok"}
    assert all((one["status"] == "ok") == (one["remedy"] == "") for one in found["checks"])


def test_a_fault_without_a_remedy_cannot_be_reported() -> None:
    with pytest.raises(ValueError, match="disk: warn with the remedy ''"):
        Check(name="disk", status="warn", found="full")
    with pytest.raises(ValueError, match="ok with"):
        Check(name="disk", status="ok", found="empty", remedy="fill it")


# ------------------------------------------------------------------ every fault that it knows

FAULTS: list[tuple[Check, str, str]] = [
    (libraries.torch_check("torch 2.15.0", "built for CUDA 13.2", DIED), "fail", "make setup"),
    (libraries.torch_check("torch 2.15.0", "built for CUDA 13.2", said("")), "warn", "make setup"),
    (libraries.torch_check("torch missing", "", Probe(True, "No module")), "fail", "make setup"),
    (libraries.faiss_check(DIED, both=False), "fail", "make setup"),
    (libraries.faiss_check(DIED, both=True), "fail", "uninstall both"),
    (libraries.faiss_check(said("1.15"), both=True), "warn", "uninstall both"),
    (libraries.decoders_check("av 18", DIED), "fail", "make setup"),
    (libraries.decoders_check("av 18", said("libsndfile 1", "hevc av1")), "warn", "wheels of PyAV"),
    (libraries.imports("tables", "pyarrow missing", DIED), "fail", "make setup"),
    (libraries.imports("page", "streamlit missing", DIED), "fail", "make setup"),
    (libraries.postgres_check("psycopg 3", Probe(True, "no libpq")), "warn", "psycopg[binary]"),
    (gpu.driver(Probe(True, "Driver/library version mismatch")), "warn", "restart"),
    (gpu.driver(Driver(version="580", cuda=(13, 0), gpus=())), "warn", "switched on"),
    (gpu.cuda_check(OLD, said("13.0", "")), "warn", "580 or newer"),
    (gpu.cuda_check(OLD, Probe(True, "CUDA error", "13.0\n")), "warn", "580 or newer"),
    (gpu.cuda_check(H200, Probe(True, "no kernel image")), "warn", "--device cpu"),
    (gpu.cuda_check(H200, said("13.0", "")), "warn", "CUDA_VISIBLE_DEVICES"),
    (gpu.cuda_check(H200, said("", "")), "warn", "torch's build for CUDA"),
    (gpu.faiss_gpu_check(H200, DIED), "warn", "use the processor"),
    (gpu.faiss_gpu_check(H200, said("no GPU")), "warn", "faiss-gpu"),
    (gpu.faiss_gpu_check(H200, said("a build for processors")), "warn", "faiss-gpu"),
    (surroundings.encoding_check("ascii", "UTF-8", "utf-8"), "warn", "PYTHONUTF8=1"),
    (surroundings.encoding_check("utf-8", "ISO-8859-1", "utf-8"), "warn", "LC_ALL"),
]


@pytest.mark.parametrize(("check", "status", "remedy"), FAULTS)
def test_every_fault_is_told_with_its_remedy(check: Check, status: str, remedy: str) -> None:
    assert check.status == status
    assert remedy in check.remedy
    assert check.found


WELL: list[Check] = [
    libraries.torch_check("torch 2.11.0", "", said("")),
    libraries.faiss_check(said("1.15"), both=False),
    libraries.decoders_check("av 18", said("libsndfile 1", "none")),
    libraries.postgres_check("psycopg 3", said("libpq 18")),
    gpu.driver(None),
    gpu.driver(H200),
    gpu.cuda_check(None, said("13.0", "")),
    gpu.cuda_check(H200, said("13.2", "NVIDIA H200")),
    gpu.cuda_check(OLD, said("12.8", "Tesla T4")),
    gpu.cuda_check(None, said("", "AMD Instinct MI300X")),
    gpu.faiss_gpu_check(None, said("no GPU")),
    gpu.faiss_gpu_check(H200, said("searched on 1 of 1 GPUs")),
    surroundings.encoding_check("UTF-8", "utf8", "utf-8"),
]


@pytest.mark.parametrize("check", WELL)
def test_what_is_well_needs_no_remedy(check: Check) -> None:
    assert (check.status, check.remedy) == ("ok", "")


# ------------------------------------------------------------------ faults that are really there


def test_a_missing_encoder_is_a_failure_with_a_remedy(tmp_path: Path) -> None:
    check = libraries.encoder_loads(tmp_path / "none")
    assert check.status == "fail"
    assert "no checkpoint here" in check.found
    assert "--checkpoint" in check.remedy


@pytest.mark.parametrize(
    ("torch", "torchaudio", "named"),
    [
        ("2.15.0", "2.11.0", True),
        ("2.16.1+cu132", "2.11.0+cu130", True),
        ("2.11.0", "2.11.0", False),
        (None, "2.11.0", False),
    ],
)
def test_the_cuda_mismatch_is_named(torch: str | None, torchaudio: str, named: bool) -> None:
    assert bool(libraries.torch_mismatch(torch, torchaudio)) is named


def test_a_full_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "FREE_BYTES", 2**60)
    check = surroundings.disk_space(tmp_path)
    assert check.status == "warn"
    assert "--maps compact" in check.remedy


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert surroundings.disk_space(tmp_path / "none").status == "fail"
    check = libraries.sqlite(tmp_path / "none")
    assert check.status == "warn"
    assert "--index" in check.remedy


def test_a_catalogue_is_tried_and_leaves_nothing(tmp_path: Path) -> None:
    assert "write-ahead log" in libraries.sqlite(tmp_path).found
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    check = surroundings.file_names()
    assert check.status == "fail"
    assert "TMPDIR" in check.remedy


def test_a_probe_that_hangs_or_dies_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "TIMEOUT_S", 1.0)
    assert "no answer" in probing.probe("import time; time.sleep(30)").text
    died = probing.probe("import os, signal; os.kill(os.getpid(), signal.SIGABRT)")
    assert died.failed
    assert "signal 6" in died.text
    assert probing.probe("import sys; sys.exit(3)").text == "ended with code 3"
    assert probing.run(["/nowhere/at-all"], 1.0).text.startswith("cannot be started")


# ------------------------------------------------------------------ nvidia-smi


def put_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program of that name on PATH, before all others."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_driver_is_read_from_what_nvidia_smi_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "header").write_text(HEADER)
    names = f'[ -n "$1" ] && echo "NVIDIA H200" || cat {tmp_path}/header'
    put_nvidia_smi(tmp_path, monkeypatch, names)
    assert gpu.asked_driver() == H200


def test_a_driver_of_another_release_is_read_too() -> None:
    header = "| NVIDIA-SMI 590.44   KMD Version: 590.44   CUDA UMD Version: 13.1 |"
    found = gpu.read_driver(header, "A\nB\n")
    assert found == Driver(version="590.44", cuda=(13, 1), gpus=("A", "B"))
    assert isinstance(gpu.read_driver("nothing", ""), Probe)


def test_a_driver_that_fails_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complaint = "Failed to initialize NVML: Driver/library version mismatch"
    put_nvidia_smi(tmp_path, monkeypatch, f'echo "{complaint}"; exit 18')
    check = gpu.driver(gpu.asked_driver())
    assert (check.status, complaint in check.found) == ("warn", True)
    monkeypatch.setattr(gpu, "NVIDIA_SMI_S", 0.5)
    put_nvidia_smi(tmp_path, monkeypatch, "exec sleep 30")
    assert "no answer within 0.5 s" in gpu.driver(gpu.asked_driver()).found


def test_a_machine_with_three_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No encoder, a driver without devices, a terminal that knows ASCII alone."""
    put_nvidia_smi(tmp_path, monkeypatch, 'echo "No devices were found"; exit 6')
    plain = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PATH": os.environ["PATH"]}
    ended = run_process("doctor", "--checkpoint", tmp_path / "none", cwd=tmp_path, **plain)
    assert ended.returncode == 1
    lines = {line.split()[1]: line for line in ended.stdout.splitlines()}
    assert lines["driver"].startswith("warn")
    assert "No devices were found" in lines["driver"]
    assert lines["text"].startswith("warn")
    assert lines["encoder"].startswith("fail")
    for name, remedy in (("driver", "restart"), ("text", "set PYTHONUTF8=1"), ("encoder", "give")):
        assert f"{name}: {remedy}" in ended.stderr


def test_the_faiss_probe_runs_as_it_is() -> None:
    """Its imports are those of the engine: a moved name would make every machine look broken."""
    ended = subprocess.run(
        [sys.executable, "-c", gpu.FAISS_GPU_PROGRAM], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()
