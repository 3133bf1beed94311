"""The filter of system calls, run by hand as the kernel runs it, and read back as numbers."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from meshtune.sandbox import calls
from meshtune.sandbox.calls import filter_of


def test_the_filter_of_calls_is_what_a_reader_of_the_kernels_format_expects() -> None:
    """The filter of x86-64, run by hand: (machine, call, first argument) to what the kernel would do."""
    allow, refuse = 0x7FFF0000, 0x00050001
    x86, i386 = 0xC000003E, 0x40000003
    read, socket, keyctl, shmget, uring, x32 = 0, 41, 250, 29, 425, 0x40000000
    unix, inet, vsock = 1, 2, 40
    steps = filter_of("x86_64")
    for call, argument, expected in [
        *((read, 0, allow), (socket, unix, allow), (socket, inet, refuse), (socket, vsock, refuse)),
        *((keyctl, 0, refuse), (shmget, 0, refuse), (uring, 0, refuse), (x32 + read, 0, refuse), (59, 0, allow)),
    ]:
        assert _interpret(steps, x86, call, argument) == expected, call
    assert _interpret(steps, i386, read, 0) == refuse
    assert filter_of("abacus") == b""


def _interpret(steps: bytes, machine: int, call: int, argument: int) -> int:
    data = call.to_bytes(4, "little") + machine.to_bytes(4, "little") + bytes(8) + argument.to_bytes(8, "little")
    place = held = 0
    while True:
        step = steps[8 * place : 8 * place + 8]
        code, yes, no = int.from_bytes(step[:2], "little"), step[2], step[3]
        value = int.from_bytes(step[4:], "little")
        if code == 0x20:
            held = int.from_bytes(data[value : value + 4], "little")
        elif code == 0x06:
            return value
        else:
            place += yes if (held == value if code == 0x15 else held >= value) else no
        place += 1


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_of_all_calls_the_listed_ones_are_refused_and_no_other(machine: str) -> None:
    """Call by call up to 600, and the same once more in the range of another binary interface."""
    own, socket, refused = calls.NUMBERS[machine]
    steps = filter_of(machine)
    allow, refuse = 0x7FFF0000, 0x00050001
    for call in range(600):
        expected = refuse if call in refused else allow
        assert _interpret(steps, own, call, 1) == expected, call
        assert _interpret(steps, own, call, 2) == (refuse if call == socket else expected), call
        assert _interpret(steps, own, call + 0x40000000, 1) == refuse
        assert _interpret(steps, own ^ 1, call, 1) == refuse


PROGRAM = """
import ctypes, os, socket
from meshtune.sandbox.calls import refuse_calls
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
socket.socket(socket.AF_INET).close()
refuse_calls(libc)
socket.socket(socket.AF_UNIX).close()
def told(act):
    try:
        act()
    except PermissionError as error:
        return error.errno
print(told(lambda: socket.socket(socket.AF_INET)), told(lambda: socket.socket(socket.AF_INET6)))
child = os.fork()
if child == 0:
    os._exit(told(lambda: socket.socket(socket.AF_INET)) or 0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in calls.NUMBERS, reason="a filter for Linux on other machines"
)
def test_the_kernel_takes_the_filter_for_a_process_and_its_children() -> None:
    environment = {"PYTHONPATH": str(Path(calls.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1 1\n1\n", "")
