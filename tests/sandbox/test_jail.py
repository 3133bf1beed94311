"""The supervisor's one line, from the program's end or from the system's refusal."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meshtune.sandbox import jail

BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from meshtune.sandbox.jail import main; main()"
USUAL = {
    "milliseconds": 10_000, "cpu": 8, "memory": 1 << 30, "file": 1 << 20, "space": 1 << 24, "processes": 8,
}  # fmt: skip


def verdict(program: str, folder: Path, **numbers: int) -> str:
    """Return the supervisor's line about a program that runs in ``folder`` without walls."""
    reading, writing = os.pipe()
    try:
        root = str(Path(jail.__file__).parents[2])
        given = [str(one) for one in (writing, *{**USUAL, **numbers}.values())]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", BOOT, root, "bare", *given],
            input=f"token\n{program}", stdout=subprocess.PIPE, text=True, pass_fds=(writing,), cwd=folder, timeout=60,
        )  # fmt: skip
    finally:
        os.close(reading)
        os.close(writing)
    assert done.stdout.endswith("\n")
    assert done.stdout.count("\n") == 1
    return done.stdout[:-1]


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("", "exit 0"),
        ("1 / 0", "exit 0"),  # told on the other pipe
        ("import os\nos._exit(7)", "exit 7"),
        ("import os\nos.kill(os.getpid(), 15)", "signal 15"),
        ("import os\nos.abort()", "signal 6"),
    ],
)
def test_how_a_program_ended_is_one_line_with_its_processor_time(program: str, line: str, tmp_path: Path) -> None:
    said, _, spent = verdict(program, tmp_path).rpartition(" ")
    assert said == line
    assert 0 <= int(spent) < 5000


def test_processor_time_is_told_in_milliseconds(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.5:\n    pass"
    assert 450 <= int(verdict(busy, tmp_path).split()[2]) < 3000


def test_the_deadline_ends_a_program_and_those_that_it_left(tmp_path: Path) -> None:
    program = "import os, time\nopen('pid', 'w').write(str(os.fork()))\ntime.sleep(60)"
    began = time.monotonic()
    assert verdict(program, tmp_path, milliseconds=500) == "timeout"
    assert time.monotonic() - began < 10
    left = int((tmp_path / "pid").read_text() or 0)
    if left:
        with pytest.raises(ProcessLookupError):
            os.kill(left, 0)


@pytest.mark.parametrize(
    ("which", "key", "number", "limit"),
    [
        ("RLIMIT_CPU", "cpu", 3, (3, 4)),
        ("RLIMIT_AS", "memory", 1 << 29, (1 << 29, 1 << 29)),
        ("RLIMIT_FSIZE", "file", 4096, (4096, 4096)),
        ("RLIMIT_NOFILE", "file", 4096, (64, 64)),
        ("RLIMIT_CORE", "file", 4096, (1, 1)),
    ],
)
def test_each_limit_is_set_for_good(which: str, key: str, number: int, limit: tuple[int, int], tmp_path: Path) -> None:
    """As far as the limits allow under which the tests themselves run."""
    most = resource.getrlimit(getattr(resource, which))[1]
    if most != resource.RLIM_INFINITY:
        limit = (min(limit[0], most), min(limit[1], most))
    program = f"import resource\nassert resource.getrlimit(resource.{which}) == {limit}\nopen('kept', 'w')"
    verdict(program, tmp_path, **{key: number})
    assert (tmp_path / "kept").exists()


def test_the_program_knows_a_folder_and_no_environment_of_ours(tmp_path: Path) -> None:
    program = (
        "import os\nhere = os.getcwd()\n"
        "assert os.environ.pop('LC_CTYPE', '') in ('', 'C.UTF-8')\n"
        "assert os.environ == {'HOME': here, 'TMPDIR': here, 'PATH': '/usr/bin:/bin', 'LANG': 'C.UTF-8',"
        " 'PYTHONHASHSEED': '0'}\nassert os.getsid(0) == os.getpid()\nopen('kept', 'w')"
    )
    verdict(program, tmp_path)
    assert (tmp_path / "kept").exists()


def test_what_the_system_refuses_is_told_with_what_was_asked() -> None:
    assert jail._error(OSError(1, "Operation not permitted", "unshare")) == "error unshare: Operation not permitted"
    assert jail._error(OSError(28, "No space left on device")) == "error it: No space left on device"


def test_the_alarm_is_raised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGALRM, jail._too_late)
    try:
        with pytest.raises(TimeoutError):
            os.kill(os.getpid(), signal.SIGALRM)
        os.kill(os.getpid(), signal.SIGALRM)  # nobody hears it
    finally:
        signal.signal(signal.SIGALRM, before)
