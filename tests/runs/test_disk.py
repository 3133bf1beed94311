"""Files are replaced all or nothing, and what a disk answers is one sentence."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshtune.errors import UserError
from meshtune.runs.disk import alive, disk_errors, is_part, read_bytes, replace_file, sweep


def test_two_that_write_one_file_at_once_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, names = os.replace, []

    def replace(part: Path, file: Path) -> None:
        names.append(part.name)
        if len(names) == 1:
            replace_file(tmp_path / "table.md", [b"second"])
        real(part, file)

    monkeypatch.setattr(os, "replace", replace)
    replace_file(tmp_path / "table.md", [b"fi", memoryview(b"rst")])
    assert len(set(names)) == 2
    assert (tmp_path / "table.md").read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["table.md"]


def test_only_living_processes_are_alive() -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    assert alive(os.getpid())
    assert not alive(int(done.stdout))
    assert not alive(10**30)


def test_the_parts_end_to_end_are_the_new_content(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for parts in ([b"one", memoryview(b"two"), b""], [], [b"x" * 100_000]):
        replace_file(file, parts)
        assert file.read_bytes() == b"".join(parts)
        assert [found.name for found in tmp_path.iterdir()] == ["a.json"]


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_behind_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, order = tmp_path / "a.json", []
    real = os.fsync

    def fsync(number: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file"
        order.append((kind, file.exists(), os.fstat(number).st_size if kind == "file" else None))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(file, [b"12345"])
    assert order == [("file", False, 5), ("folder", True, None)]


def test_an_error_among_the_parts_leaves_the_old_file_alone(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    (tmp_path / "a.json").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "a.json", parts())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.json": b"old"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (".a.json.12-0af3.part", True),
        (".a.part", True),
        ("a.json.12-0af3.part", False),
        (".part", False),
        ("..part", False),
        (".a.json", False),
        (".a.parts", False),
    ],
)
def test_unfinished_copies_are_hidden_and_end_in_part(name: str, part: bool) -> None:
    assert is_part(name) is part


def test_copies_of_living_processes_are_not_swept(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    mine, theirs = f".a.json.{os.getpid()}-0a.part", f".a.json.{int(dead.stdout)}-0a.part"
    for name in (mine, theirs, ".a.json.part", "a.json", f"a.{int(dead.stdout)}-0a.part"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {mine, "a.json", f"a.{int(dead.stdout)}-0a.part"}


FULL, BARRED = "free some space and repeat", "make it writable again and repeat"


@pytest.mark.parametrize(
    ("number", "why"),
    [
        *((number, f"no space left for here: the run is resumable, {FULL} the same command")
          for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        *((number, f"here cannot be written ({os.strerror(number)}): the run is resumable, {BARRED} the same command")
          for number in (errno.EACCES, errno.EROFS, errno.EIO)),
    ],
)  # fmt: skip
def test_what_a_disk_answers_is_one_sentence(number: int, why: str) -> None:
    with pytest.raises(UserError) as caught, disk_errors(Path("here")):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == why


def test_a_remedy_of_ones_own_and_an_error_without_words() -> None:
    why = r"^here cannot be written \(Permission denied\): go elsewhere$"
    with pytest.raises(UserError, match=why), disk_errors(Path("here"), "go elsewhere"):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(UserError, match=r"^here cannot be written \(odd\): "), disk_errors(Path("here")):
        raise OSError("odd")
    with pytest.raises(UserError, match="no space left"), disk_errors(Path("here"), "go elsewhere"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(ZeroDivisionError), disk_errors(Path("here")):  # what is no answer of the disk passes
        _ = 1 / 0


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\xff")
    assert read_bytes(tmp_path / "a") == b"\0\xff"
    with pytest.raises(
        UserError, match=r"/b cannot be read \(No such file or directory\): check its permissions and its disk$"
    ):
        read_bytes(tmp_path / "b")
