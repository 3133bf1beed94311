"""A program and its supervisor: what is heard of them, however they end."""

from __future__ import annotations

import secrets
import time

import pytest

from meshtune.sandbox import attempt
from meshtune.sandbox.execution import run_program
from meshtune.sandbox.resource_limits import Limits, Outcome


def test_a_supervisor_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the open a program may stop its supervisor; then the caller's own clock ends both."""
    monkeypatch.setattr(attempt, "GRACE", 0.5)
    began = time.monotonic()
    outcome = run_program(
        "import os, time\nos.kill(os.getppid(), 19)\ntime.sleep(60)", Limits(seconds=0.5), unsafe=True
    )
    assert outcome == Outcome(False, "timeout", "stopped after 0.5 s")
    assert time.monotonic() - began < 5


def test_a_supervisor_that_is_killed_is_told() -> None:
    outcome = run_program("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(60)", unsafe=True)
    assert (outcome.passed, outcome.kind) == (False, "killed")


USUAL = Limits()


def heard(program: str, limits: Limits = USUAL) -> attempt.Heard:
    return attempt.attempt(program, limits, walled=False)


def test_a_program_that_ends_reports_behind_its_token_alone() -> None:
    found = heard("import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert found.verdict.split()[:2] == ["exit", "0"]
    assert int(found.verdict.split()[2]) >= 0
    assert (found.report, found.errors) == ("passed", "err\n")
    found = heard("raise ValueError('é')")
    assert found.verdict.startswith("exit 0 ")
    assert (found.report, found.errors) == ("failed\nValueError: é", "")


def test_what_others_write_on_the_reports_pipe_is_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the token it is noise, and so is what precedes it; only what follows the last token counts."""
    monkeypatch.setattr(secrets, "token_hex", lambda count: "ab" * count)
    write = (
        "import os, contextlib\nfor fd in range(3, 64):\n    with contextlib.suppress(OSError):\n"
        "        os.write(fd, {!r})\n"
    )
    assert heard(write.format(b"passed") + "os._exit(0)").report == ""
    assert heard(write.format(b"noise")).report == "passed"
    assert heard(write.format(b"ab" * 16 + b"failed")).report == "passed"
    assert heard(write.format(b"ab" * 16 + b"failed") + "os._exit(0)").report == "failed"  # who guesses it may lie


def test_of_what_is_said_only_the_end_is_kept() -> None:
    found = heard("import sys\nsys.stderr.write('a' * 10**6 + 'end')", Limits(output_bytes=10))
    assert found.errors == "aaaaaaaend"
    assert found.report == "passed"


def test_a_program_that_is_too_slow_is_a_timeout_and_its_own_signal_is_told() -> None:
    assert heard("import time\ntime.sleep(60)", Limits(seconds=0.2)).verdict == "timeout"
    found = heard("import os\nos.kill(os.getpid(), 15)")
    assert found.verdict.split()[:2] == ["signal", "15"]
    assert found.report == ""


def test_a_program_that_is_no_text_fails_and_what_is_said_in_other_bytes_is_shown() -> None:
    found = heard("x = '\ud800'")
    assert found.report.startswith("failed\nSyntaxError")
    assert heard("import os\nos.write(2, b'\\xff!')").errors == "\ufffd!"
