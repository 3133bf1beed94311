"""A program passes if it runs to its end, and only then; what stopped it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshtune.errors import UserError
from meshtune.sandbox import attempt
from meshtune.sandbox import execution as run
from meshtune.sandbox.attempt import Heard
from meshtune.sandbox.execution import check_sandbox, judge, run_program, run_programs
from meshtune.sandbox.resource_limits import Limits, Outcome

PASSED = Outcome(True, "passed", "")


@pytest.fixture(params=["walled", "unsafe"])
def unsafe(request: pytest.FixtureRequest) -> bool:
    """Both ways to run; walls only where they are permitted."""
    if request.param == "walled":
        try:
            check_sandbox()
        except UserError as error:
            pytest.skip(str(error))
    return bool(request.param == "unsafe")


@pytest.mark.parametrize(
    "program",
    [
        "",
        "def double(x):\n    return 2 * x\nassert double(4) == 8\n",
        "print('x' * 10**6)\nimport sys\nsys.stderr.write('y' * 10**6)",
        "assert __name__ == '__main__'",
        "import sys\nassert sys.stdin.read() == '' and len(sys.argv) == 1",
        "import dataclasses, pickle\n@dataclasses.dataclass\nclass A:\n    x: 'int'\npickle.loads(pickle.dumps(A(1)))",
        "open('note.txt', 'w').write('here')\nassert open('note.txt').read() == 'here'",
        "import os\nassert {'HOME', 'TMPDIR', 'PATH', 'LANG', 'LC_CTYPE', 'PYTHONHASHSEED'} >= set(os.environ)",
        "import tempfile\nwith tempfile.NamedTemporaryFile() as file:\n    file.write(b'x')",
        "text = 'Grüße, 世界'\nassert len(text) == 9",
        "import threading\nthreading.Thread(target=lambda: __import__('time').sleep(60)).start()",
        "import math, re, heapq, collections, itertools, decimal, hashlib, datetime, random, json, typing, ctypes",
        "# " + "x" * 300_000 + "\n",
        "import atexit, os\natexit.register(os._exit, 1)",
        "try:\n    raise SystemExit\nexcept SystemExit:\n    pass",
    ],
)
def test_what_runs_to_its_end_passes(program: str, unsafe: bool) -> None:
    assert run_program(program, unsafe=unsafe) == PASSED


@pytest.mark.parametrize(
    "program, last_line",
    [
        ("assert 1 + 1 == 3", "AssertionError"),
        ("assert 1 + 1 == 3, 'sums are off'", "AssertionError: sums are off"),
        ("def f(:\n    pass", "SyntaxError: invalid syntax (program.py, line 1)"),
        ("x = 1\n  y = 2", "IndentationError: unexpected indent (program.py, line 2)"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("import numpy", "ModuleNotFoundError: No module named 'numpy'"),
        ("raise ValueError('one\\ntwo')", "ValueError: one two"),
        ("import decimal\ndecimal.Decimal('x')", "decimal.InvalidOperation: [<class 'decimal.ConversionSyntax'>]"),
        ("class Odd(Exception):\n    def __str__(self):\n        raise self\nraise Odd", "Odd"),
        ("input()", "EOFError: EOF when reading a line"),
        ("def f(x):\n    return f(x + 1)\nf(0)", "RecursionError: maximum recursion depth exceeded"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("assert False, '\\ud800'", "AssertionError: ?"),
    ],
)
def test_an_exception_is_told_as_a_traceback_tells_it_last(program: str, last_line: str, unsafe: bool) -> None:
    assert run_program(program, unsafe=unsafe) == Outcome(False, "failed", last_line)


@pytest.mark.parametrize(
    "program, detail",
    [
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("import sys\nsys.exit()", "SystemExit"),
        ("raise SystemExit", "SystemExit"),
        ("exit(0)", "NameError: name 'exit' is not defined"),
        ("quit()", "NameError: name 'quit' is not defined"),
        ("import os\nos._exit(0)", "ended early with exit code 0"),
        ("import os, sys\nprint('bad', file=sys.stderr, flush=True)\nos._exit(3)", "ended early with exit code 3: bad"),
        ("import os\nos.execv('/bin/true', ['true'])", "ended early with exit code 0"),
        # The child gets to the end.
        ("import os\nif os.fork():\n    os._exit(0)", "ended early with exit code 0"),
        ("import os\nif os.fork():\n    os.wait()\n    os._exit(0)", "ended early with exit code 0"),
        # Without the token it is only noise.
        (
            "import contextlib, os\nfor fd in range(3, 64):\n    with contextlib.suppress(OSError):\n"
            "        os.write(fd, b'passed')\nos._exit(0)",
            "ended early with exit code 0",
        ),
    ],
)
def test_an_early_end_is_no_pass(program: str, detail: str, unsafe: bool) -> None:
    assert run_program(program + "\nassert False", unsafe=unsafe) == Outcome(False, "failed", detail)
    end = run_program(program, unsafe=unsafe)
    assert (end.passed, end.detail) == (False, detail)


@pytest.mark.parametrize(
    "program, kind, detail",
    [
        ("import time\ntime.sleep(60)", "timeout", "stopped after 1 s"),
        ("x = bytearray(2 << 30)", "memory", "stopped at 1024 MiB of memory"),
        ("x = []\nwhile True:\n    x.append(bytes(1 << 20))", "memory", "stopped at 1024 MiB of memory"),
        ("import os\nos.kill(os.getpid(), 9)", "killed", "killed by SIGKILL"),
        ("import os\nos.abort()", "killed", "killed by SIGABRT"),
        ("import os\nos.kill(os.getpid(), 40)", "killed", "killed by signal 40"),
    ],
)
def test_what_stopped_it_is_told(program: str, kind: str, detail: str, unsafe: bool) -> None:
    assert run_program(program, Limits(seconds=1), unsafe) == Outcome(False, kind, detail)  # type: ignore[arg-type]


def test_processor_time_is_a_limit_of_its_own(unsafe: bool) -> None:
    ignored = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
    for before in ("", ignored):
        outcome = run_program(before + "while True:\n    pass", Limits(seconds=20, cpu_seconds=1), unsafe)
        assert outcome == Outcome(False, "timeout", "stopped after 1 s of processor time")


def test_what_the_caller_ignores_counts_here(unsafe: bool) -> None:
    caller = f"""
import signal
from meshtune.sandbox.resource_limits import Limits
from meshtune.sandbox.execution import run_program
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
print([run_program(p, Limits(seconds=1), {unsafe}).detail for p in ("assert 0", "import time; time.sleep(60)")])
"""
    environment = {"PYTHONPATH": str(Path(run.__file__).parents[2])}
    told = subprocess.check_output([sys.executable, "-c", caller], env=environment, text=True, timeout=60)
    assert told == "['AssertionError', 'stopped after 1 s']\n"


def test_a_program_repeats_itself(unsafe: bool) -> None:
    """Sets of words come in the same order each time: as this interpreter has them with the hash seed 0."""
    ask = [sys.executable, "-c", "print(hash('device'))"]
    expected = subprocess.check_output(ask, env={"PYTHONHASHSEED": "0"}, text=True)
    assert run_program(f"assert hash('device') == {expected}", unsafe=unsafe) == PASSED


def test_many_come_back_in_order(unsafe: bool) -> None:
    programs = [f"import time\ntime.sleep({0.3 if i == 0 else 0})\nassert {i} % 3, {i}" for i in range(7)]
    seen: list[int] = []
    outcomes = run_programs(programs, unsafe=unsafe, workers=3, progress=seen.append)
    assert [outcome.detail for outcome in outcomes] == [
        "AssertionError: 0",
        "",
        "",
        "AssertionError: 3",
        "",
        "",
        "AssertionError: 6",
    ]
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert run_programs([], unsafe=unsafe) == []


def test_without_walls_nothing_is_left_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pid = tmp_path / "pid"
    stay = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({str(pid)!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
while not os.path.exists({str(pid)!r}) or not open({str(pid)!r}).read():
    pass
os.mkdir("shut")
open("shut/in", "w").close()
os.chmod("shut", 0)
"""
    assert run_program(stay, unsafe=True) == PASSED
    assert os.listdir(tmp_path) == ["pid"]
    if sys.platform == "linux":
        assert not os.path.exists(f"/proc/{pid.read_text()}")


@pytest.fixture
def not_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that permits no namespaces, as its supervisors find."""
    heard = attempt.Heard("error unshare: Operation not permitted", "", "")
    monkeypatch.setattr(run, "attempt", lambda program, limits, walled: heard)
    run._why_not.cache_clear()


@pytest.mark.usefixtures("not_permitted")
def test_without_permission_nothing_is_run() -> None:
    try:
        for refused in (lambda: run_program("pass"), lambda: run_programs(["pass"]), check_sandbox):
            with pytest.raises(UserError, match=r"unshare: Operation not permitted.*`unsafe_code`$"):
                refused()
    finally:
        run._why_not.cache_clear()


def test_a_permission_that_goes_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_why_not", lambda: "")
    heard = attempt.Heard("error unshare: No space left on device", "", "")
    monkeypatch.setattr(run, "attempt", lambda program, limits, walled: heard)
    with pytest.raises(UserError, match="No space left on device"):
        run_program("pass")


def test_elsewhere_than_on_linux_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    run._why_not.cache_clear()
    try:
        with pytest.raises(UserError, match=r"this is darwin.*`unsafe_code`$"):
            run_program("pass")
    finally:
        run._why_not.cache_clear()


SMALL = Limits(seconds=1.5, cpu_seconds=2, memory=64 << 20)


@pytest.mark.parametrize(
    ("heard", "outcome"),
    [
        (("exit 0 5", "passed", ""), ("passed", "")),
        (("exit 3 5", "passed", ""), ("failed", "ended early with exit code 3")),
        (("exit 3 5", "", "one\ntwo\n\n"), ("failed", "ended early with exit code 3: two")),
        (("exit 0 5", "failed\nValueError: x", "noise"), ("failed", "ValueError: x")),
        (("exit 1 5", "", "MemoryError"), ("memory", "stopped at 64 MiB of memory")),
        (("exit 0 5", "memory\nMemoryError", ""), ("memory", "stopped at 64 MiB of memory")),
        (("timeout", "passed", ""), ("timeout", "stopped after 1.5 s")),
        (("signal 24 2000", "", ""), ("timeout", "stopped after 2 s of processor time")),
        (("signal 9 2000", "", ""), ("timeout", "stopped after 2 s of processor time")),
        (("signal 9 1999", "", "gone"), ("killed", "killed by SIGKILL: gone")),
        (("signal 15 5000", "passed", ""), ("killed", "killed by SIGTERM")),
        (("", "passed", ""), ("killed", "killed together with the process that watched it")),
        (("", "", "x" * 400), ("killed", f"killed together with the process that watched it: {'x' * 300}")),
    ],
)
def test_what_was_heard_has_one_outcome(heard: tuple[str, str, str], outcome: tuple[str, str]) -> None:
    kind, detail = outcome
    assert judge(Heard(*heard), SMALL) == Outcome(kind == "passed", kind, detail)  # type: ignore[arg-type]
