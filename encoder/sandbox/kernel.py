"""What Linux refuses a decoding process: writing and removing files, sockets, other programs.

By Landlock (5.13 and later) and a seccomp filter, which need no privileges and cannot be undone.
Where they are missing, the other limits of `confinement` still hold. Before Linux 6.12 one signal
call stays open, `tgkill`: a decoder that runs foreign code can end its caller with it.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

_SET_FILTER, _SPECULATION_ALLOWED = 1, 1 << 2
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_ASK_VERSION = 1

# Rights by the version of Landlock that introduced them (`linux/landlock.h`): executing, writing,
# removing and making files of all kinds; linking to elsewhere; truncating; ioctl on devices.
# Reading is left out.
_FILE_RIGHTS = {1: 0b1_1111_1111_0011, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_NETWORK_RIGHTS = {4: 0b11}
_SCOPES = {6: 0b11}

# By machine: its name in a filter, the number of `seccomp`, and those of what is refused, from
# `asm/unistd.h`: socket, execve, execveat, ptrace, process_vm_readv and _writev, kill, bpf,
# io_uring_setup; tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal; chmod, fchmod,
# fchmodat, fchmodat2; chown, fchown, lchown, fchownat; utime, utimes, futimesat, utimensat;
# setxattr, lsetxattr, fsetxattr, removexattr, lremovexattr, fremovexattr, setxattrat and
# removexattrat. ARM64 lacks some. `tgkill` stays, since that is how a process aborts itself.
# fmt: off
_REFUSED = {
    "x86_64": (0xC000003E, 317, (
        41, 59, 322, 101, 310, 311, 62, 321, 425, 200, 129, 297, 424, 90, 91, 268, 452,
        92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 197, 198, 199, 463, 466,
    )),
    "aarch64": (0xC00000B7, 277, (
        198, 221, 281, 117, 270, 271, 129, 280, 425, 130, 138, 240, 424, 52, 53, 452,
        55, 54, 88, 5, 6, 7, 14, 15, 16, 463, 466,
    )),
}
# fmt: on
_X32_BIT = 0x40000000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


def forbid_changes() -> bool:
    """Refuse this process to write, make and remove files.

    From Linux 6.7 on TCP, too, and from 6.12 on signals to processes outside. Modes, owners, times
    and attributes of files are for `forbid_system_calls`.

    `PR_SET_NO_NEW_PRIVS` must be set before. Returns whether the kernel does so.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    kinds = (_FILE_RIGHTS, _NETWORK_RIGHTS, _SCOPES)
    known = [sum(bits for since, bits in kind.items() if since <= version) for kind in kinds]
    # The kernel takes a longer structure than it knows, as long as the rest of it is zero.
    rules = struct.pack("<3Q", *known)
    ruleset = libc.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    return bool(ruleset >= 0 and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)


def forbid_system_calls() -> bool:
    """Refuse this process sockets, other programs, other processes' memory, and more.

    That is: signals but by `tgkill`; modes, owners, times and attributes of files.

    `PR_SET_NO_NEW_PRIVS` must be set before. Returns whether the kernel does so.
    """
    if sys.platform != "linux" or platform.machine() not in _REFUSED:
        return False
    architecture, seccomp, numbers = _REFUSED[platform.machine()]
    program = _program(architecture, numbers)
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in program))

    class Program(ctypes.Structure):
        _fields_ = (("n_lines", ctypes.c_ushort), ("code", ctypes.c_void_p))

    loaded = Program(len(program), ctypes.addressof(code))
    # Some kernels slow down a process that has a filter, unless they are told that it need not be.
    filtered = ctypes.CDLL(None).syscall(
        seccomp, _SET_FILTER, _SPECULATION_ALLOWED, ctypes.byref(loaded)
    )
    return bool(filtered == 0)


def _program(architecture: int, numbers: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Lines (operation, lines to skip if true, if false, operand) of a classic BPF program."""
    tests = [(_IF_AT_LEAST, _X32_BIT), *((_IF_EQUAL, number) for number in numbers)]
    n = len(tests)
    return [
        (_LOAD, 0, 0, 4),  # the architecture of the call
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _ERROR | errno.EPERM),
        (_LOAD, 0, 0, 0),  # its number
        *((test, n - at, 0, operand) for at, (test, operand) in enumerate(tests)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERROR | errno.EPERM),
    ]
