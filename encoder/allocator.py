"""Memory that a process which embeds for minutes keeps, in place of giving it back to the system.

A network frees its widest layers after every operation and asks for as much again. glibc gives
large blocks back at once, and a thread's heap as soon as it is empty: the pages that the next
operation touches are then new, and the system clears each of them first.
"""

from __future__ import annotations

import ctypes
import platform

# Parameters of mallopt(3), and what each is set to.
_KEPT = {
    -3: 1 << 30,  # M_MMAP_THRESHOLD: below it, blocks come from heaps
    -1: 1 << 30,  # M_TRIM_THRESHOLD: free bytes at the end of the first heap that stay there
    -2: 64 << 20,  # M_TOP_PAD: as large as a thread's heap, so that an emptied one stays
}


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory from now on, for the whole process.

    For programs to call once, early, where they embed a lot; nothing in the library calls it. The
    most that a process holds grows little, but it holds it to its end.

    Returns
    -------
    False where the C library is not glibc or refuses, and nothing is lost but some speed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(parameter, n_bytes) for parameter, n_bytes in _KEPT.items()])
