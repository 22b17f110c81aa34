"""Messages between a process and its decoders: a few JSON facts, then raw bytes.

Nothing that is received is executed or trusted: lengths are checked against what the receiver is
ready to take before anything is allocated, and the facts are looked at one by one.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Facts = dict[str, Any]
_HEAD = struct.Struct("<IQ")
_MAX_FACTS_BYTES = 1 << 16
_GRACE_S = 1.0
"""After a deadline, for what is there already: a caller may have been stopped itself."""
_BUFFER_BYTES = 1 << 20
"""Of the socket: with the default of 200 KB a window of sound takes nine turns of both sides."""


class Garbled(Exception):
    """What was received is no message, or not one that was asked for."""


class Ended(Exception):
    """The other side is gone."""


class Late(Exception):
    """The deadline passed before the message was there."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """`facts`, and the bytes that came with them: (N,) uint8, writable."""

    facts: Facts
    content: NDArray[np.uint8]


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection with room for a second of sound."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    return ends


def send(end: socket.socket, facts: Facts, content: NDArray[Any] | None = None) -> None:
    """Send one message; blocks while the other side does not read."""
    text = json.dumps(facts).encode()
    raw = np.empty(0, np.uint8) if content is None else content.reshape(-1).view(np.uint8)
    end.sendall(_HEAD.pack(len(text), raw.size) + text)
    if raw.size:
        end.sendall(raw.data)


def receive(
    end: socket.socket,
    *,
    n_most: int = 0,
    deadline: float | None = None,
) -> Message:
    """Receive one message.

    Parameters
    ----------
    n_most : bytes that may come with the facts.
    deadline : of `time.monotonic`; None waits for ever.

    Raises
    ------
    Ended, Late, Garbled
    """
    n_text, n_raw = _HEAD.unpack(_bytes(end, _HEAD.size, deadline).tobytes())
    if n_text > _MAX_FACTS_BYTES:
        raise Garbled(f"{n_text} bytes of facts")
    try:
        facts = json.loads(_bytes(end, n_text, deadline).tobytes())
    except (ValueError, RecursionError):
        raise Garbled("facts that are not JSON") from None
    if not isinstance(facts, dict):
        raise Garbled("facts that are no object")
    if n_raw > n_most:
        raise Garbled(f"{n_raw} bytes where fewer belong")
    return Message(facts=facts, content=_bytes(end, n_raw, deadline))


def _bytes(end: socket.socket, n: int, deadline: float | None) -> NDArray[np.uint8]:
    try:
        content = np.empty(n, np.uint8)
    except MemoryError:
        raise Garbled(f"{n} bytes, for which there is no memory") from None
    view, at, until = content.data, 0, math.inf
    while at < n:
        now = time.monotonic()
        if now > until:
            raise Late
        if deadline is not None and now > deadline and until == math.inf:
            until = now + _GRACE_S
        # Never 0: what is there already is taken, however late it is looked at.
        end.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
        try:
            n_new = end.recv_into(view[at:])
        except TimeoutError:
            raise Late from None
        except OSError:
            raise Ended from None
        if n_new == 0:
            raise Ended
        at += n_new
    return content
