"""Text for terminals and pipes, and where a command looks for its index."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.errors import IndexMissing
from retrieval.errors import one_line
from retrieval.locate import find_index
from retrieval.rendering import byte_size, columns, command_line, facts, printable, span


def test_columns_align_wide_letters() -> None:
    assert columns(("rank", "label", "path"), [("1", "音", "a"), ("10", "bell", "b")]) == [
        "rank  label  path",
        "   1  音     a",
        "  10  bell   b",
    ]
    assert facts([("items", "3"), ("on disk", "1 B")]) == ["items    3", "on disk  1 B"]


def test_a_file_name_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31m\nb.wav") == "a\\x1b[31m\\nb.wav"
    assert printable("ku\u0308che") == "küche"  # composed, as people type it


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 * 2**20, "5.0 MiB"),
        (3 * 2**50, "3072.0 TiB"),
    ],
)
def test_byte_size(n_bytes: int, text: str) -> None:
    assert byte_size(n_bytes) == text


def test_a_command_line_is_one_that_a_shell_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "retrieval"
    script.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_line("info", Path("my corpus")) == "retrieval info 'my corpus'"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", [str(script)])
    assert command_line("info") == f"{script} info"
    monkeypatch.setattr("sys.argv", ["-c"])
    monkeypatch.setattr("sys.executable", "/none/python")
    assert command_line("info") == "/none/python -m retrieval.cli info"


def test_span() -> None:
    assert span(None, None) == ""
    assert span(0.0, 10.0) == "0.0–10.0 s"
    assert span(10.0, None) == "10.0– s"


def test_an_error_of_the_system_names_its_file() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Path("/none/at/all").read_bytes()
    assert one_line(caught.value) == "/none/at/all: No such file or directory"


def test_the_nearest_index_above_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for corpus in (tmp_path, tmp_path / "inner"):
        (corpus / ".retrieval").mkdir(parents=True)
        (corpus / ".retrieval" / "catalogue.sqlite").touch()
    deep = tmp_path / "inner" / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_index() == tmp_path / "inner" / ".retrieval"
    assert find_index(tmp_path) == tmp_path / ".retrieval"
    assert find_index(tmp_path / ".retrieval") == tmp_path / ".retrieval"
    with pytest.raises(IndexMissing, match="no such folder"):
        find_index(tmp_path / "none")
