"""One process at a time writes to a run's folder, and the next is told who that is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import filelock
import pytest

from meshtune.errors import UserError
from meshtune.runs import lock as module
from meshtune.runs.lock import LOCK, held
from meshtune.runs.observer import Silent
from whole_runs import Watch

HOLD = """
import sys, time
from pathlib import Path
from meshtune.runs.lock import held
from meshtune.runs.observer import Silent
with held(Path(sys.argv[1]), Silent()):
    print("held", flush=True)
    time.sleep(60)
"""
PART = """
import os, sys
from pathlib import Path
from meshtune.runs.disk import replace_file
os.replace = lambda a, b: os._exit(9)
replace_file(Path(sys.argv[1]) / "results.json", [b"half"])
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}


def test_the_second_is_told_who_holds_it_until_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path), "esc\x1b[31m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        with pytest.raises(UserError) as caught, held(tmp_path, Silent()):
            pass
        text = str(caught.value)
        assert f"{tmp_path} is in use by process {other.pid} on {socket.gethostname()} (meshtune {tmp_path}" in text
        assert "since 2" in text
        assert "\x1b" not in text
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
        other.send_signal(signal.SIGKILL)
    with held(tmp_path, Silent()):  # there is no stale lock: the system let go of it
        assert f'"pid": {os.getpid()}' in (tmp_path / LOCK).read_text()
    assert (tmp_path / LOCK).read_text() == ""


def test_it_is_held_against_the_same_process_too_and_let_go_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with held(tmp_path, Silent()):
            with pytest.raises(UserError, match=f"in use by process {os.getpid()} "), held(tmp_path, Silent()):
                pass
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with held(tmp_path, Silent()):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "[" * 100_000])
def test_a_holder_that_cannot_be_read_is_another_process(tmp_path: Path, content: str) -> None:
    with held(tmp_path, Silent()):
        (tmp_path / LOCK).write_text(content)
        with pytest.raises(UserError, match="in use by another process"), held(tmp_path, Silent()):
            pass


def test_what_killed_processes_left_is_swept_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", PART, str(tmp_path)], env=environment()).returncode == 9
    (left,) = (file.name for file in tmp_path.iterdir())
    living = f".table.md.{os.getpid()}-0a1b2c3d.part"
    for name in (living, ".config.json.part", "notes.part"):
        (tmp_path / name).write_text("half")
    with held(tmp_path, Silent()):
        assert {file.name for file in tmp_path.iterdir()} == {living, "notes.part", LOCK}
    assert left.startswith(".results.json.")


def test_a_file_system_without_locks_is_told_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    watch = Watch()
    with held(tmp_path, watch):
        pass
    assert len(watch.texts) == 1
    assert "without locks: make sure that no other meshtune writes there" in watch.texts[0]
    assert list(tmp_path.iterdir()) == []
