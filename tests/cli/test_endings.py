"""Whatever happens, a command ends in one sentence and an exit code, and nothing that others wrote moves the cursor."""

from __future__ import annotations

import errno
import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meshtune.cli import endings
from meshtune.cli.main import app
from meshtune.errors import UserError

MODULE = [sys.executable, "-m", "meshtune.cli.main"]


def call(*args: str) -> Any:
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Exception], Any]:
    """Return a function that has ``meshtune methods`` end in an error, and returns how that ended."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run(error: Exception, *args: str) -> Any:
        def show(tables: Any) -> None:
            raise error

        monkeypatch.setattr("meshtune.cli.show.show_tables", show)
        return call(*(args or ("methods",)))

    return run


def test_a_fault_of_our_own_ends_in_a_sentence_and_a_file_to_report(failing: Any, tmp_path: Path) -> None:
    result = failing(KeyError("a\x1b[2Jb\n" + "x" * 5000))
    assert result.exit_code == 70
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: this is a bug in meshtune (KeyError: 'a\\x1b[2Jb")
    assert len(result.stderr) < 500
    found = re.search(r"please report it with the file (\S+)", result.stderr)
    assert found is not None
    report = Path(found[1]).read_text(encoding="utf-8")
    assert Path(found[1]).parent == tmp_path
    assert report.startswith("command: meshtune methods\npython 3.")
    assert all(word in report for word in ("torch ", "meshtune ", "Traceback", "test_endings.py", "KeyError"))
    assert "\x1b" not in report


def test_a_report_holds_no_question(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*args: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("meshtune.open_run", broken)
    result = call("ask", "runs/mine", "my secret question", "--options", "mine|yours", "--device=3", "--options=his")
    assert result.exit_code == 70
    (report,) = tmp_path.iterdir()
    assert report.read_text().startswith("command: meshtune ask <9> <18> --options <10> --device=<1> --options=<3>\n")
    assert not any(word in report.read_text() for word in ("secret", "yours", "his"))


def test_where_nothing_can_be_written_the_sentence_says_what_to_do(
    failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    result = failing(ValueError("x"))
    assert result.exit_code == 70
    assert "please report it with the output of the same command under MESHTUNE_DEBUG=1" in result.stderr


def test_debugging_shows_the_trace(failing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHTUNE_DEBUG", "1")
    for error, code in ((ValueError("x"), 70), (UserError("y"), 2)):
        result = failing(error)
        assert result.exit_code == code
        assert "Traceback" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("error: ")


def behind(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch.so: failed to map segment from shared object"),
        behind(UserError("the model cannot be loaded: check its name"), MemoryError()),
    ],
    ids=repr,
)
def test_lack_of_memory_is_told_with_what_was_done_and_what_to_do(failing: Any, error: Exception) -> None:
    error.add_note("training")
    result = failing(error)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is not enough memory (training): free some, raise the limit")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "/a/b cannot be used (Permission denied): allow"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000), "(File name too long): give a shorter name"),
        (OSError(errno.EROFS, "Read-only file system", "/a\x1bb"), "/a\\x1bb cannot be used (Read-only file system)"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file, or the output, cannot be used (No space left"),
    ],
    ids=lambda part: str(part)[:20],
)
def test_a_file_that_cannot_be_had_is_something_to_mend(failing: Any, error: Exception, words: str) -> None:
    result = failing(error)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert words in result.stderr
    assert len(result.stderr) < 400


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["rnu"], "there is no command called rnu: did you mean run?"),
        (["\x1b[2Jrun"], "there is no command called \\x1b[2Jrun: did you mean run?"),
        (["x" * 9000], "there is no command called xxx"),
        (["run", "--ot", "x"], "no such option: --ot"),
        (["run", "--\x1b]0;x"], "no such option: --\\x1b]0;x"),
        (["run", "--set"], "option '--set' requires an argument: see meshtune"),
        (["plan"], "missing argument 'FILE.yaml': see meshtune plan --help"),
        (["ask", "runs/demo", "Q", "--device", "\x1b"], "invalid value for '--device'"),
        (["run", "c.yaml", "extra\x1b"], "unexpected extra argument"),
        (["run", "\x1b[2J.yaml"], "there is no configuration file \\x1b[2J.yaml"),
        (["demo", "--set", "a\x1b[2J=\u202e"], "--set a\\x1b[2J=\\u202e: there is no key a\\x1b[2J"),
        (["demo", "--set", "seed"], "--set seed is not key=value, for example --set train.rounds=2"),
        (["demo", "--set", "train=3"], "--set train=3: input should be"),
        (["demo", "--set", "x" * 9000], "is not key=value"),
        (["demo", "--out", ""], "--out is empty: name a folder"),
        (["plan", "c.yaml", "--format", "jsn"], "there is no format called jsn: did you mean json?"),
        (
            ["compare", "a", "--format", "\x1b"],
            "there is no format called \\x1b: choose from table, markdown, json, csv",
        ),
        (["ask", "\x1b[2J", "Q"], "there is no run \\x1b[2J"),
        (["eval", "runs/\x1b[2J"], "there is no run runs/\\x1b[2J"),
        (["compare", "\x1b[2J"], "there is no run \\x1b[2J"),
    ],
    ids=lambda part: ascii(part)[:40],
)
def test_a_mistyped_line_is_one_sentence_that_shows_only_letters(args: list[str], words: str) -> None:
    result = call(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr[:-1].isprintable()
    assert len(result.stderr) < 2100


def run_shell(line: str) -> subprocess.CompletedProcess[str]:
    command = line.replace("meshtune", " ".join(MODULE))
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("args", ["tasks", "methods", "--help", "run --help"])
def test_a_reader_that_goes_away_ends_it_quietly(args: str) -> None:
    done = run_shell(f"meshtune {args} | true; exit ${{PIPESTATUS[0]}}")
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0 where all was written before the reader left


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_an_output_without_room_is_one_sentence() -> None:
    done = run_shell("meshtune methods > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: a file, or the output, cannot be used (No space left on device): free some space\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_a_sentence_that_cannot_be_written_leaves_the_exit_code_as_it_is() -> None:
    done = run_shell("meshtune rnu 2> /dev/full")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_question_from_a_closed_stdin_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    done = run_shell(f"meshtune ask {tmp_path} - <&-")
    assert done.returncode == 2
    assert done.stderr == (
        "error: the question is to be read from stdin, which is closed: pipe one in, or give it in quotes\n"
    )


def test_without_a_verb_the_help_is_shown() -> None:
    bare, asked = call(), call("--help")
    assert (bare.exit_code, bare.stderr) == (0, "")
    assert bare.stdout == asked.stdout
    assert "Commands:" in bare.stdout.splitlines()
    assert all(f"{code}" in bare.stdout for code in (0, 2, 70, 129, 130, 141, 143))


def test_what_ends_a_command_imports_nothing_heavy() -> None:
    assert importlib.import_module("meshtune.cli.endings") is endings
    code = "import sys, meshtune.cli.endings; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
