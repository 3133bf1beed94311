"""System calls that an isolated program is refused, because namespaces and limits do not cover them.

A kernel filter (seccomp) answers them with "not permitted": sockets other than Unix ones, shared memory that no limit
counts, keys of the calling user, access to other processes, and rarely used parts of the kernel.
"""

from __future__ import annotations

import ctypes
import os
import struct

# Numbers by machine: of the machine itself (linux/audit.h), of socket, and of the calls refused outright: shmget,
# msgget, semget, ptrace, process_vm_readv and -writev, add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
# and io_uring_setup.
NUMBERS = {
    "x86_64": (0xC000003E, 41, (29, 68, 64, 101, 310, 311, 248, 249, 250, 298, 321, 323, 425)),
    "aarch64": (0xC00000B7, 198, (194, 186, 190, 117, 270, 271, 217, 218, 219, 241, 280, 282, 425)),
}
LOAD, EQUAL, LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # of linux/bpf_common.h
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # of linux/seccomp.h; 1 is EPERM
OTHER_ABI = 0x40000000  # on x86-64, the same calls under other numbers
AF_UNIX = 1
PR_SET_SECCOMP, MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def filter_of(machine: str) -> bytes:
    """Return the filter for ``machine`` in the kernel's format; empty if its numbers are unknown."""
    if machine not in NUMBERS or struct.calcsize("P") != 8:
        return b""
    own, socket, refused = NUMBERS[machine]
    # Jumps count the instructions that they skip. The last five are: load, Unix?, and these two ends.
    steps = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, own), (RETURN, 0, 0, REFUSE), (LOAD, 0, 0, NUMBER)]
    tests = [(LEAST, OTHER_ABI), *((EQUAL, number) for number in refused)]
    # From each test to the refusal at the very end: the tests behind it, then socket?, allow, load, Unix?, allow.
    steps += [(code, len(tests) - place + 4, 0, value) for place, (code, value) in enumerate(tests)]
    steps += [(EQUAL, 1, 0, socket), (RETURN, 0, 0, ALLOW)]
    steps += [(LOAD, 0, 0, FIRST_ARGUMENT), (EQUAL, 0, 1, AF_UNIX), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def refuse_calls(libc: ctypes.CDLL) -> None:
    """Refuse them permanently to this process and all its descendants."""
    steps = filter_of(os.uname().machine)
    if not steps:
        return
    program = _Program(len(steps) // 8, steps)
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_long(MODE_FILTER), ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "seccomp")
