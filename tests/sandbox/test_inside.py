"""The program's own interpreter: its last line, and a word on a pipe for those who get to the end."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.sandbox import inside
from meshtune.sandbox.inside import last_line

TOKEN = b"0123abcd"


class Odd(Exception):
    def __str__(self) -> str:
        raise self


def told(program: bytes, **more: str) -> tuple[int, bytes, str]:
    """Return the exit code, what was written on the pipe, and what was said on stdout."""
    reading, writing = os.pipe()
    with open(reading, "rb") as report:
        command = [sys.executable, "-s", "-S", "-P", "-B", "-c", Path(inside.__file__).read_text(), str(writing)]
        done = subprocess.run(
            command, input=TOKEN + b"\n" + program, stdout=subprocess.PIPE, pass_fds=(writing,), env=more, timeout=60
        )
        os.close(writing)
        return done.returncode, report.read(), done.stdout.decode()


@given(st.sampled_from([ValueError, KeyError, OSError]), st.text("ab \n\t", max_size=20))
def test_the_line_is_the_one_that_a_traceback_ends_in(kind: type[Exception], said: str) -> None:
    error = kind(said)
    expected = " ".join("".join(traceback.format_exception_only(error)).split())
    assert last_line(error) == expected.removesuffix(":")


def test_names_are_told_as_tracebacks_tell_them() -> None:
    import decimal

    assert last_line(ValueError()) == "ValueError"
    assert last_line(SystemExit(3)) == "SystemExit: 3"
    assert last_line(decimal.InvalidOperation("x")) == "decimal.InvalidOperation: x"
    assert last_line(Odd()) == f"{__name__}.Odd"
    assert last_line(ValueError("x" * 10_000)) == "ValueError: " + "x" * 288


@pytest.mark.parametrize(
    ("program", "report"),
    [
        (b"assert __name__ == '__main__'", b"passed"),
        (b"import sys\nassert sys.argv == ['program.py'] and sys.stdin.read() == ''", b"passed"),
        (b"1 / 0", b"failed\nZeroDivisionError: division by zero"),
        (b"def f(:", b"failed\nSyntaxError: invalid syntax (program.py, line 1)"),
        (b"raise MemoryError", b"memory\nMemoryError"),
        (b"raise OSError(12, 'no memory')", b"memory\nOSError: [Errno 12] no memory"),
        (b"raise OSError(2, 'no file')", b"failed\nFileNotFoundError: [Errno 2] no file"),
        (b"raise SystemExit", b"failed\nSystemExit"),
        (b"import os\nos.write = os._exit = os.getpid = None", b"passed"),
        (b"\xff", b"failed\nSyntaxError"),
    ],
)
def test_who_gets_to_the_end_is_told_behind_the_token(program: bytes, report: bytes) -> None:
    code, found, _ = told(program)
    assert code == 0
    assert found.startswith(TOKEN + report)
    assert b"passed" in report or b"passed" not in found


@pytest.mark.parametrize("program", [b"import os\nos._exit(0)", b"import os\nos.kill(os.getpid(), 9)"])
def test_who_ends_early_writes_nothing(program: bytes) -> None:
    assert told(program)[1] == b""


def test_a_child_that_gets_to_the_end_writes_nothing_of_its_own() -> None:
    code, found, said = told(b"import os\nchild = os.fork()\nif child:\n    os.waitpid(child, 0)\nprint('here')")
    assert (code, found) == (0, TOKEN + b"passed")
    assert said == ""  # nothing is flushed behind the end


def test_the_programs_namespace_has_nothing_of_ours() -> None:
    names = b"assert set(globals()) <= {'__name__', '__doc__', '__package__', '__loader__', '__spec__', '__builtins__'}"
    assert told(names)[1] == TOKEN + b"passed"
    assert told(b"import gc\nassert not any(isinstance(x, bytes) and b'0123' b'abcd' == x for x in gc.get_objects())")
