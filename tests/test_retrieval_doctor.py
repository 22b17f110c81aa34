"""The doctor: what it finds here, and what it would say elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval import doctor
from retrieval.cli import app


def test_this_machine_is_well(tiny_checkpoint: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json", "--checkpoint", str(tiny_checkpoint)])
    found = json.loads(result.stdout)
    status = {one["name"]: one["status"] for one in found["checks"]}
    assert result.exit_code == 0, result.output
    assert found["ok"] is True
    assert set(status) == {
        *("python", "torch", "cuda", "faiss", "decoders", "disk", "text", "file names", "encoder")
    }
    assert {status[name] for name in ("torch", "faiss", "decoders", "file names")} == {"ok"}


def test_a_missing_encoder_is_a_failure_with_a_remedy(tmp_path: Path) -> None:
    check = doctor.encoder_loads(tmp_path / "none")
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
    assert bool(doctor.torch_mismatch(torch, torchaudio)) is named


def test_a_full_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_BYTES", 2**60)
    assert doctor.disk_space(tmp_path).status == "warn"


def test_a_folder_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert doctor.non_ascii_files().status == "fail"


def test_a_probe_that_hangs_or_dies_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBE_TIMEOUT_S", 1.0)
    assert "no answer" in doctor._probe("import time; time.sleep(30)").text
    died = doctor._probe("import os, signal; os.kill(os.getpid(), signal.SIGABRT)")
    assert died.failed
    assert "signal 6" in died.text
