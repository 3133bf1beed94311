"""Files that somebody else names; what is no file is tried in tests/config/test_hostile_config.py."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from meshtune.errors import UserError
from meshtune.files import nearest, no_run, read_file, resuming


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5, "note") == b"12345"
    with pytest.raises(UserError, match=r"^note \S+ has 5 bytes, the limit is 4: name a smaller file$"):
        read_file(tmp_path / "a", 4, "note")


def test_a_file_that_has_no_size_until_it_is_read_is_bounded_too() -> None:
    table = Path("/proc/self/maps")
    if not table.exists():
        pytest.skip("a system without /proc")
    assert table.stat().st_size == 0
    with pytest.raises(UserError, match="has more than 100 bytes"):
        read_file(table, 100, "note")


def test_a_command_may_be_pasted_whatever_the_folder_is_called() -> None:
    for folder in ("runs/demo", "my runs/a$b", "it's", "-x;y"):
        assert shlex.split(resuming(folder)) == ["meshtune", "run", "--out", folder]


def test_an_absent_run_is_told_with_what_lies_beside(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    assert str(no_run(tmp_path / "dmeo")).endswith(f"dmeo: did you mean {tmp_path / 'demo'}?")
    assert str(no_run(tmp_path / "x")).endswith("/x: give the folder that meshtune run printed")


def test_a_mistyped_name_gets_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert nearest(tmp_path / "confg.yml") == tmp_path / "config.yaml"
    assert nearest(tmp_path / "something") is None
    assert nearest(tmp_path / "absent" / "config.yaml") is None
    with pytest.raises(UserError, match=r"there is no note \S+\\x1b\[2Jconfig.yam: did you mean \S+config.yaml\?$"):
        read_file(tmp_path / "\x1b[2Jconfig.yam", 9, "note")
