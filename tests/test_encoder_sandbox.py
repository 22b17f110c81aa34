"""Decoding in processes of their own: the same answers, and nothing lost to a hostile file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from broken_files import BROKEN, write_broken_file, write_good
from media_files import CLIPS, refusal, write_clip
from PIL import Image

from encoder import media
from encoder.errors import InputError, SandboxError
from encoder.media import MediaLimits
from encoder.preparing import prepared_frame
from encoder.sandbox import Sandbox
from encoder.sandbox.answers import error_in, picture_in, probe_in, sound_in
from encoder.sandbox.framing import Garbled, Late, Message, receive, send, socket_pair
from encoder.sandbox.processes import Worker

TOO_QUICK = MediaLimits(timeout_s=0.05)
TOO_LITTLE = MediaLimits(max_memory_bytes=400 << 20)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("good")
    clips = [write_clip(folder / name, **how) for name, how in CLIPS.items()]
    return write_good(folder) + clips


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 81 million pixels in 700 kilobytes: it takes half a second and 250 MB."""
    path = tmp_path_factory.mktemp("slow") / "slow.png"
    Image.new("RGB", (9_000, 9_000)).save(path, compress_level=1)
    return path


def test_answers_equal_those_of_this_process(sandbox: Sandbox, good: list[Path]) -> None:
    n_frames = n_sounds = 0
    for path in good:
        found = media.probe(path)
        assert sandbox.probe(path) == found
        if found.kind == "image":
            whole = media.read_image(path)
            np.testing.assert_array_equal(sandbox.read_image(path), whole)
            small = sandbox.read_image(path, side_px=24)
            np.testing.assert_array_equal(small, prepared_frame(whole, 24))
        if found.has_frames:
            n_frames += 1
            frame = media.read_frame(path, 0.4)
            np.testing.assert_array_equal(sandbox.read_frame(path, 0.4), frame)
            small = sandbox.read_frame(path, 0.4, side_px=24)
            np.testing.assert_array_equal(small, prepared_frame(frame, 24))
        if found.has_sound:
            n_sounds += 1
            for span in ({}, {"t0_s": 0.1, "t1_s": 0.3}, {"t0_s": 0.2, "rate_hz": 16_000}):
                sound = sandbox.read_sound(path, **span)
                np.testing.assert_array_equal(sound, media.read_sound(path, **span))
                assert sound.flags.writeable
    assert n_frames >= 10
    assert n_sounds >= 10


@pytest.mark.parametrize("name", BROKEN)
def test_refusals_equal_those_of_this_process(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    broken = write_broken_file(tmp_path, name)
    here, there = (
        refusal({"image": reads.read_image, "sound": reads.read_sound}[broken.reads], broken.path)
        if broken.reads != "frame"
        else refusal(reads.read_frame, broken.path, 0.5)
        for reads in (media, sandbox)
    )
    assert (there.code, there.path) == (broken.code, str(broken.path))
    assert str(there) == str(here)


def test_a_time_that_is_none_is_refused_before_anyone_is_asked(sandbox: Sandbox) -> None:
    with pytest.raises(InputError):
        sandbox.read_frame("clip.mp4", -1.0)
    with pytest.raises(InputError):
        sandbox.read_sound("clip.mp4", t0_s=float("nan"))


def test_what_takes_too_long_is_stopped(sandbox: Sandbox, slow: Path, good: list[Path]) -> None:
    error = refusal(sandbox.read_image, slow, limits=TOO_QUICK)
    assert error.code == "timeout"
    assert "--timeout" in str(error)
    assert sandbox.probe(good[0]).kind == "image"


def test_what_takes_too_much_memory_is_refused(sandbox: Sandbox, slow: Path) -> None:
    assert refusal(sandbox.read_image, slow, limits=TOO_LITTLE).code == "out-of-memory"
    assert sandbox.read_image(slow, side_px=8).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGSEGV, "crashed"),
        (signal.SIGABRT, "crashed"),
        (signal.SIGXCPU, "timeout"),
        (signal.SIGKILL, "out-of-memory"),
    ],
)
def test_a_decoder_that_dies_costs_one_answer(
    slow: Path, good: list[Path], number: signal.Signals, code: str
) -> None:
    with Sandbox() as sandbox:
        worker = sandbox._template.fork()
        sandbox._idle.append(worker)
        killer = Thread(target=kill_at_work, args=(worker, number))
        killer.start()
        error = refusal(sandbox.read_image, slow, limits=MediaLimits())
        killer.join()
        assert error.code == code
        assert sandbox.probe(good[0]).kind == "image"
        assert gone(worker.pid)


def kill_at_work(worker: Worker, number: signal.Signals) -> None:
    while worker.n_jobs == 0:
        time.sleep(0.001)
    time.sleep(0.05)
    os.kill(worker.pid, number)


def test_a_file_is_not_blamed_for_what_an_earlier_one_did(
    sandbox: Sandbox, good: list[Path]
) -> None:
    """A heap that an earlier file has damaged breaks under a later one, which is tried again."""
    sandbox.probe(good[0])
    os.kill(sandbox._idle[-1].pid, signal.SIGSEGV)
    assert sandbox.probe(good[0]).kind == "image"


def test_nothing_is_left_behind(good: list[Path]) -> None:
    with Sandbox() as sandbox:
        sandbox.probe(good[0])
        pids = [worker.pid for worker in sandbox._idle] + [sandbox._template._process.pid]
        assert len(pids) == 2
        assert not any(gone(pid) for pid in pids)
    assert all(gone(pid) for pid in pids)


def test_a_sandbox_that_nobody_closes_ends_with_its_last_reference(good: list[Path]) -> None:
    sandbox = Sandbox()
    sandbox.probe(good[0])
    pids = [sandbox._idle[0].pid, sandbox._template._process.pid]
    del sandbox
    assert all(gone(pid) for pid in pids)


def test_decoding_processes_die_with_a_process_that_is_killed(good: list[Path]) -> None:
    program = f"""
        import os, signal
        from encoder.sandbox import Sandbox
        sandbox = Sandbox()
        sandbox.probe({str(good[0])!r})
        print(sandbox._idle[0].pid, sandbox._template._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in done.stdout.split()]
    until = time.monotonic() + 5
    while not all(gone(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.01)
    assert [gone(pid) for pid in pids] == [True, True]


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_are_in_nobodys_way(good: list[Path], closed: tuple) -> None:
    program = f"""
        import os, sys
        from encoder.sandbox import Sandbox
        for descriptor in {closed}:
            os.close(descriptor)
        with Sandbox() as sandbox:
            found = sandbox.probe({str(good[0])!r}), sandbox.read_image({str(good[0])!r})
        os._exit(found[0].width_px)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)])
    assert done.returncode == media.probe(good[0]).width_px


def gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody has waited for has not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_is_not_for_the_decoders(sandbox: Sandbox, good: list[Path]) -> None:
    sandbox.probe(good[0])
    worker = sandbox._idle[-1]
    for pid in (worker.pid, sandbox._template._process.pid):
        assert os.getpgid(pid) != os.getpgrp()
        os.kill(pid, signal.SIGINT)
    sandbox.probe(good[0])
    assert sandbox._idle[-1].pid == worker.pid


def test_workers_have_no_torch_and_are_small(sandbox: Sandbox, good: list[Path]) -> None:
    for path in good:
        sandbox.probe(path)
    status = Path(f"/proc/{sandbox._template._process.pid}/status").read_text()
    resident_kb = next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)
    assert resident_kb < 100_000
    loaded = Path(f"/proc/{sandbox._template._process.pid}/maps").read_text()
    assert "libavcodec" in loaded
    assert "torch" not in loaded


def test_a_template_that_is_gone_is_told_in_one_line(good: list[Path]) -> None:
    with Sandbox() as sandbox:
        sandbox._template._process.kill()
        sandbox._template._process.wait()
        with pytest.raises(SandboxError, match="none can be started"):
            sandbox.probe(good[0])


# ------------------------------------------------------------------ what a worker may answer


def message(content: bytes = b"", **facts: object) -> Message:
    return Message(facts=facts, content=np.frombuffer(content, np.uint8).copy())


@pytest.mark.parametrize(
    "given",
    [
        message(b"123", shape=[1, 1, 3, 1]),
        message(b"123", shape=[3]),
        message(b"123", shape=[1, 2, 3]),
        message(b"123", shape="1,1,3"),
        message(b"123", shape=[-1, -1, 3]),
        message(b"123"),
    ],
)
def test_an_answer_that_is_no_picture(given: Message) -> None:
    assert refusal(picture_in, "a.png", given, None).code == "crashed"
    assert refusal(picture_in, "a.png", given, 1).code == "crashed"


@pytest.mark.parametrize(
    "given",
    [
        message(b"123", rate_hz=22_050),
        message(b"1234", rate_hz=0),
        message(b"1234", rate_hz="22050"),
        message(b"1234", rate_hz=10**9),
        message(b"1234"),
    ],
)
def test_an_answer_that_is_no_sound(given: Message) -> None:
    assert refusal(sound_in, "a.wav", given).code == "crashed"


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "text"},
        {"kind": ["audio"]},
        {"duration_s": float("inf")},
        {"duration_s": float("nan")},
        {"duration_s": 10**400},
        {"duration_s": 1e17},
        {"duration_s": -1.0},
        {"duration_s": True},
        {"width_px": "9"},
        {"width_px": -9},
        {"height_px": 10**400},
        {"height_px": 1.5},
        {"has_sound": 1},
        {"x": 1},
    ],
)
def test_an_answer_that_is_no_description(changed: dict[str, object]) -> None:
    facts = {
        "kind": "audio",
        "width_px": None,
        "height_px": None,
        "duration_s": 1.0,
        "has_sound": True,
        "has_frames": False,
    }
    limits = MediaLimits()
    assert probe_in("a.wav", message(**facts), limits).duration_s == 1.0
    assert refusal(probe_in, "a.wav", message(**facts | changed), limits).code == "crashed"


@pytest.mark.parametrize("code", ["new", ["x"], {}, 1])
def test_a_failure_of_no_known_code(code: object) -> None:
    error = error_in("a.wav", message(code=code))
    assert error is not None
    assert error.code == "crashed"


def test_a_worker_that_answered_nonsense_is_not_used_again(good: list[Path]) -> None:
    with Sandbox() as sandbox:
        worker = sandbox._template.fork()
        sandbox._idle.append(worker)
        worker.end.close()
        worker.end, theirs = socket_pair()
        with theirs:
            send(theirs, {"kind": "image", "duration_s": 10**400})
            assert refusal(sandbox.probe, good[0]).code == "crashed"
        assert sandbox._idle == []
        assert sandbox.probe(good[0]).kind == "image"


def test_an_answer_that_dribbles_in_is_late() -> None:
    ours, theirs = socket_pair()
    is_over = Event()

    def dribble() -> None:
        while not is_over.wait(0.0002):
            theirs.send(b"\0")

    with ours, theirs:
        theirs.sendall(b"\2\0\0\0" + (10**6).to_bytes(8, "little") + b"{}")
        writer = Thread(target=dribble)
        writer.start()
        began = time.monotonic()
        try:
            with pytest.raises(Late):
                receive(ours, n_most=10**6, deadline=began + 0.1)
        finally:
            is_over.set()
            writer.join()
        assert time.monotonic() - began < 30


def test_what_is_there_is_taken_however_late() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        send(theirs, {"a": 1}, np.zeros(100, np.uint8))
        assert receive(ours, n_most=100, deadline=time.monotonic() - 100).facts == {"a": 1}


def test_more_than_was_asked_for_is_refused_before_it_is_taken() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        send(theirs, {"a": 1}, np.zeros(100, np.uint8))
        with pytest.raises(Garbled):
            receive(ours, n_most=99, deadline=time.monotonic() + 1)


@pytest.mark.parametrize(
    "sent", [b"\xff" * 12, b"\3\0\0\0" + bytes(8) + b"abc", b"\2\0\0\0" + bytes(8) + b"[]"]
)
def test_what_is_no_message_is_refused(sent: bytes) -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        theirs.sendall(sent)
        with pytest.raises(Garbled):
            receive(ours, deadline=time.monotonic() + 1)
