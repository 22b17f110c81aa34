"""A pickle of arrays is read without running it; every other pickle is refused unrun."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoder.labellers.convert import convert
from encoder.labellers.errors import WeightsRefused
from encoder.labellers.numpy_pickle import _encoded, _new_dtype, read_array_table


def header() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue()


HEADER = header()

# np.save of {'conv1': {'biases': array([1, 2], '<f4')}} by Python 2.7 and numpy 1.11, as in
# SoundNet's own file: protocol 2, byte strings written as they are. Assembled after pickletools.
PYTHON_2 = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq"
    b"\x03(K\x01)cnumpy\ndtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff"
    b"\xff\xff\xffK?tb\x89]q\x06}q\x07U\x05conv1q\x08}q\tU\x06biasesq\nh\x01h\x02K\x00\x85U\x01b\x87R"
    b"(K\x01K\x02\x85h\x04U\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK"
    b"\x00tb\x89U\x08\x00\x00\x80?\x00\x00\x00@tbssatb."
)


def npy(path: Path, content: bytes) -> Path:
    path.write_bytes(HEADER + content)
    return path


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    table = {
        "conv1": {
            "weights": np.arange(12, dtype=np.float32).reshape(2, 1, 3, 2),
            "column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "swapped": np.arange(3, dtype=">f4"),
            "half": np.arange(3, dtype=np.float16),
        },
        "conv2": {"biases": np.zeros(1, np.float32)},
    }
    for protocol in (2, 3, 4):
        whole = np.empty((), object)
        whole[()] = table
        path = npy(tmp_path / f"{protocol}.npy", pickle.dumps(whole, protocol=protocol))
        assert np.load(path, allow_pickle=True).item().keys() == table.keys(), "a real .npy file"
        read = read_array_table(path)
        assert {layer: set(parts) for layer, parts in read.items()} == {
            layer: set(parts) for layer, parts in table.items()
        }
        for layer, parts in table.items():
            for name, values in parts.items():
                np.testing.assert_array_equal(read[layer][name], values)


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    path = npy(tmp_path / "old.npy", PYTHON_2)
    assert np.load(path, allow_pickle=True, encoding="latin1").item()["conv1"]["biases"][1] == 2
    np.testing.assert_array_equal(read_array_table(path)["conv1"]["biases"], [1.0, 2.0])


class Calls:
    """Pickled, it calls a function when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def hostile(folder: Path) -> dict[str, Any]:
    made = str(folder / "ran")
    return {
        "a command": Calls(os.system, f"mkdir '{made}'"),
        "a process": Calls(subprocess.check_call, ["mkdir", made]),
        "an expression": Calls(eval, f"__import__('os').mkdir({made!r})"),
        "a folder": Calls(os.mkdir, made),
        "numpy's own reader": Calls(np.load, made),
        "memory": Calls(np.ndarray, (10**9,)),
        "a codec": Calls(__import__("_codecs").encode, "x", "rot13"),
        "a set": {1, 2}.union([3]) and frozenset([1]),
    }


@pytest.mark.parametrize("name", list(hostile(Path())))
@pytest.mark.parametrize("where", ["top", "layer", "array"])
def test_a_malicious_file_is_refused_and_nothing_runs(
    name: str, where: str, tmp_path: Path
) -> None:
    bad = hostile(tmp_path)[name]
    good = np.ones(2, np.float32)
    held = {
        "top": bad,
        "layer": {"conv1": bad, "conv2": {"biases": good}},
        "array": {"conv1": {"weights": good, "biases": bad}},
    }[where]
    path = tmp_path / "sound8.npy"
    whole = np.empty((), object)
    whole[()] = held
    np.save(path, whole, allow_pickle=True)
    with pytest.raises(WeightsRefused, match=r"sound8\.npy"):
        convert(path, tmp_path / "out.safetensors")
    assert not (tmp_path / "ran").exists()


def test_the_message_names_what_was_asked_for(tmp_path: Path) -> None:
    path = npy(tmp_path / "bad.npy", pickle.dumps(Calls(os.system, "true")))
    with pytest.raises(WeightsRefused, match=r"asks for \w+\.system; .* nothing was executed"):
        read_array_table(path)


def test_stand_ins_cannot_be_altered(tmp_path: Path) -> None:
    """BUILD on an admitted name would change it for every later file."""
    state = pickle.dumps((None, {"_call": "x"}), protocol=2)[2:-1]
    for name in (b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"c_codecs\nencode\n"):
        with pytest.raises(WeightsRefused, match="alters"):
            read_array_table(npy(tmp_path / "b.npy", b"\x80\x02" + name + state + b"b."))


def test_compound_and_text_types_are_refused(tmp_path: Path) -> None:
    for values in (np.zeros(2, [("a", "f4")]), np.array(["x"]), np.zeros(2, np.complex64)):
        held = np.empty((), object)
        held[()] = {"conv1": {"biases": values}}
        path = npy(tmp_path / "t.npy", pickle.dumps(held, protocol=2))
        with pytest.raises(WeightsRefused):
            read_array_table(path)
    assert _encoded("é") == b"\xe9"
    assert _new_dtype(b"f4").name == "f4"


def test_other_npy_files_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"\x93NUMPY\x09\x00", b"PK\x03\x04", HEADER, HEADER[:20]):
        (tmp_path / "n.npy").write_bytes(content)
        with pytest.raises(WeightsRefused, match="damaged or not"):
            read_array_table(tmp_path / "n.npy")
    np.save(tmp_path / "n.npy", np.zeros(3))
    with pytest.raises(WeightsRefused, match="one dictionary"):
        read_array_table(tmp_path / "n.npy")


def valid() -> bytes:
    held = np.empty((), object)
    held[()] = {"conv1": {"weights": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}}
    file = io.BytesIO()
    np.save(file, held, allow_pickle=True)
    return file.getvalue()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, len(valid()) - 1),
    st.binary(min_size=1, max_size=3),
    st.integers(1, len(valid())),
)
def test_a_damaged_file_is_a_typed_error_or_still_arrays(
    tmp_path: Path, at: int, noise: bytes, end: int
) -> None:
    content = valid()
    (tmp_path / "f.npy").write_bytes((content[:at] + noise + content[at + len(noise) :])[:end])
    try:
        table = read_array_table(tmp_path / "f.npy")
    except WeightsRefused:
        return
    assert all(v.dtype.kind == "f" for parts in table.values() for v in parts.values())
