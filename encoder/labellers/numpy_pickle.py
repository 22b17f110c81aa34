"""Read the pickles that numpy writes for dictionaries of arrays; admit nothing else.

A pickle is a program: reading one may run any code. SoundNet's `sound8.npy` is one, a dictionary of
dictionaries of arrays, so it is read by a machine that knows four names (array, dtype, numpy's
rebuilder, and the coder of old byte strings) and refuses every other before it is called.
"""

from __future__ import annotations

import ast
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from encoder.labellers.errors import WeightsRefused

MAX_BYTES = 1 << 30
"""SoundNet-8 with both heads is 84 MB; a larger file is something else."""
MAX_HEADER_BYTES = 10_000
_DTYPES = frozenset({"f2", "f4", "f8", "i4", "i8", "O8", "O4"})

ArrayTable = dict[str, dict[str, NDArray[Any]]]


def read_array_table(path: Path) -> ArrayTable:
    """Read an `.npy` file that holds a dictionary of dictionaries of arrays.

    Raises
    ------
    WeightsRefused : it holds anything else, names the offender; nothing of it was executed.
    FileNotFoundError : no such file.
    """
    with path.open("rb") as file:
        if path.stat().st_size > MAX_BYTES:
            raise WeightsRefused(f"{path}: more than {MAX_BYTES >> 20} MiB; not SoundNet's weights")
        try:
            _skip_header(file)
            held = _ArraysOnly(file, encoding="latin1").load()
        except _Refused as error:
            raise WeightsRefused(
                f"{path}: {error}; only arrays are read from a pickle, nothing was executed"
            ) from None
        except _DAMAGE as error:
            raise WeightsRefused(f"{path}: damaged or not an .npy file ({error})") from None
    return _table(path, held)


class _Refused(Exception):
    """The pickle asks for something that is not an array."""


# What reading a damaged stream raises, by pickle's documentation ("any other exceptions…").
_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    SyntaxError,
    struct.error,
)


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        stand_in = _ADMITTED.get((module, name))
        if stand_in is None:
            raise _Refused(f"it asks for {module}.{name}")
        return stand_in

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("it refers to objects outside itself")


class _StandIn:
    """What a pickle gets for a name: it can be called, and not altered."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call

    def __call__(self, *arguments: object) -> object:
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _Refused("it alters what it is given")


class _Dtype:
    """A number's type as it is spelled in a pickle; numpy's own is never touched by the file."""

    def __init__(self, code: object) -> None:
        name = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(name, str) or name not in _DTYPES:
            raise _Refused(f"it holds values of type {code!r}")
        self.name, self.order = name, "="

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
        if order not in ("<", ">", "|", "="):
            raise _Refused("it holds values of a compound type")
        self.order = str(order)


class _Array:
    """An array as it is spelled in a pickle: shape, type and bytes, checked before they are one."""

    values: object = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise _Refused("it fills an array in an unknown way")
        _, shape, dtype, is_fortran, content = state
        if dtype.name[0] == "O":
            if shape != () or not isinstance(content, list) or len(content) != 1:
                raise _Refused("it holds an array of objects")
            self.values = content[0]
            return
        if isinstance(content, str):  # Python 2 wrote bytes as text
            content = content.encode("latin1")
        flat = np.frombuffer(content, np.dtype(dtype.name).newbyteorder(dtype.order))
        self.values = flat.reshape(shape, order="F" if is_fortran else "C")


def _new_array(kind: object, shape: object, code: object) -> _Array:
    """Return the empty array that numpy's own rebuilder starts from; its state fills it."""
    if kind is not _NDARRAY or shape != (0,):
        raise _Refused("it builds an array in an unknown way")
    return _Array()


def _new_dtype(code: object, align: object = False, copy: object = False) -> _Dtype:
    return _Dtype(code)


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """Python 3 writes byte strings for old readers as text and this call."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("it encodes text")
    return text.encode("latin1")


def _no_call(*arguments: object) -> object:
    raise _Refused("it builds an array in an unknown way")


_NDARRAY = _StandIn(_no_call)
_ADMITTED = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(_new_dtype),
    ("numpy.core.multiarray", "_reconstruct"): _StandIn(_new_array),
    ("numpy._core.multiarray", "_reconstruct"): _StandIn(_new_array),
    ("_codecs", "encode"): _StandIn(_encoded),
}


def _skip_header(file: BinaryIO) -> None:
    """Read past an `.npy` header (numpy.lib.format, versions 1 and 2).

    numpy's own reader is not used: it hands a damaged header to Python's tokeniser.
    """
    magic = file.read(8)
    size_of = {b"\x93NUMPY\x01\x00": "<H", b"\x93NUMPY\x02\x00": "<I"}.get(magic)
    if size_of is None:
        raise ValueError("its first bytes are not those of an .npy file")
    (n_bytes,) = struct.unpack(size_of, file.read(struct.calcsize(size_of)))
    if n_bytes > MAX_HEADER_BYTES:
        raise ValueError(f"a header of {n_bytes} bytes")
    header = ast.literal_eval(file.read(n_bytes).decode("latin1").strip())
    if not isinstance(header, dict) or (header.get("descr"), header.get("shape")) != ("|O", ()):
        raise ValueError("it does not hold one dictionary")


def _table(path: Path, held: object) -> ArrayTable:
    """Check that what was read is a dictionary of dictionaries of arrays of numbers."""
    if isinstance(held, _Array):  # numpy wraps a dictionary into an array of one object
        held = held.values
    table: ArrayTable = {}
    for layer, parts in held.items() if isinstance(held, dict) else ():
        if not isinstance(layer, str) or not isinstance(parts, dict):
            break
        table[layer] = {
            name: part.values
            for name, part in parts.items()
            if isinstance(name, str)
            and isinstance(part, _Array)
            and isinstance(part.values, np.ndarray)
            and part.values.dtype.kind == "f"
        }
        if len(table[layer]) != len(parts):
            break
    else:
        if table:
            return table
    raise WeightsRefused(f"{path}: not a dictionary of layers with arrays of floats")
