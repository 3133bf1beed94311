"""The folder that a run is written to is tried before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshtune.errors import UserError
from meshtune.runs.output_folder import check_out, the_run


def refused(path: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        check_out(Path(path))
    return str(caught.value)


def test_what_is_no_folder_for_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").touch()
    for path, words in {
        tmp_path / "file": "is a file: name a folder",
        tmp_path / "file" / "below": "cannot be written (Not a directory): name another folder",
        tmp_path / "full": "holds files that are not a run: name a new or empty folder",
        tmp_path / "a\nb": "a\\nb has a control character",
        tmp_path / "a\0b": "a\\x00b has a control character",
        tmp_path / "a\x1b[2J": "a\\x1b[2J has a control character",
        tmp_path / "\udcff": "bytes that are not UTF-8: name another folder",
        tmp_path / ("x" * 300): "cannot be written (File name too long): name another folder",
        tmp_path / ("x/" * 2500): "characters: name a folder of at most 1,000",
    }.items():
        assert words in refused(path)
        assert len(refused(path)) < 400
    assert {path.name for path in tmp_path.iterdir()} == {"file", "full"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a system without /proc")
def test_where_nothing_can_be_made_is_refused() -> None:
    assert "`out` /proc/x cannot be written (No such file or directory): name another folder" in refused("/proc/x")
    assert "`out` /dev/null is a file" in refused("/dev/null")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "cannot be written (Permission denied)" in refused(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


def test_a_free_folder_is_left_as_it_is(tmp_path: Path) -> None:
    check_out(tmp_path)
    check_out(tmp_path / "a" / "b" / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_run_names_the_nearest_that_has_one(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    the_run(tmp_path / "mine")
    with pytest.raises(UserError, match=f"did you mean {tmp_path}/mine\\?$"):
        the_run(tmp_path / "mien")
    with pytest.raises(UserError, match=r"name a FILE\.yaml to start one there, or see meshtune demo$"):
        the_run(tmp_path / "somewhere")
