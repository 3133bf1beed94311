"""A log loses nothing that was counted without saying so, and keeps all or nothing of what is added at once."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.runs.checksums import line_of, record_of
from meshtune.runs.logs import Log

Record = dict[str, Any]


def numbered_well(record: Record) -> None:
    if not isinstance(record.get("n"), int):
        raise ValueError("it has no n")


class Counted:
    """A log in a folder of its own, with the count that a manifest would keep."""

    def __init__(self, folder: Path) -> None:
        self.file, self.count = folder / "some.jsonl", 0
        self.log = Log(self.file, numbered_well)

    def append(self, *records: Record) -> None:
        self.log.append(records, self.count, self.note)

    def note(self, count: int) -> None:
        self.count = count

    def read(self) -> list[Record]:
        return Log(self.file, numbered_well).read(self.count, "mend it")

    def repair(self) -> str | None:
        return self.log.repair(self.count, self.note)


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


def n(*numbers: int) -> list[Record]:
    return [{"n": number, "text": "é\n\u2028"} for number in numbers]


def test_a_log_need_not_exist(counted: Counted) -> None:
    assert counted.read() == []
    assert not counted.log.numbered
    counted.append()
    assert not counted.file.exists()
    assert counted.repair() is None


def test_records_come_back_in_order_and_every_line_has_its_number(counted: Counted) -> None:
    counted.append(*n(5, 3))
    counted.append(*n(9))
    assert counted.read() == n(5, 3, 9)
    assert counted.count == 3
    assert counted.log.numbered
    lines = counted.file.read_bytes().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [1, 2, 3]


def test_each_record_is_on_the_disk_before_it_is_counted(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, bytes]] = []
    real = os.fsync

    def fsync(number: int) -> None:
        order.append(("sync", counted.file.read_bytes()))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    counted.log.append(n(1), 0, lambda count: order.append((f"count {count}", b"")))
    assert order[0] == ("sync", line_of(n(1)[0], 1))
    assert order[-1][0] == "count 1"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_a_crash_while_a_line_is_written_loses_what_was_not_counted(batches: list[int], data: st.DataObject) -> None:
    """Cut at any byte behind what was counted: all that was counted is there, and the log goes on."""
    with tempfile.TemporaryDirectory() as folder:
        counted = Counted(Path(folder))
        kept: list[Record] = []
        for size in batches[:-1]:
            kept += (more := n(*range(size)))
            counted.append(*more)
        start, count = (counted.file.stat().st_size, counted.count) if batches[:-1] else (0, 0)
        counted.append(*n(*range(batches[-1])))
        whole = counted.file.read_bytes()
        cut = data.draw(st.integers(start, len(whole)))
        counted.file.write_bytes(whole[:cut])
        counted.note(count)
        survived = whole[start:cut].count(b"\n")
        survived += whole[cut : cut + 1] == b"\n"  # only the line's end is missing
        assert counted.read() == [*kept, *n(*range(batches[-1]))[:survived]]
        again = Counted(Path(folder))
        again.note(count)
        again.append(*n(77))
        assert again.read() == [*kept, *n(*range(batches[-1]))[:survived], *n(77)]
        assert again.count == count + survived + 1
        lines = again.file.read_bytes().splitlines()
        assert all(record_of(line) for line in lines)  # what was cut off is gone


def test_zeros_of_a_power_cut_and_foreign_lines_are_dropped(counted: Counted) -> None:
    counted.append(*n(1))
    with counted.file.open("ab") as log:
        log.write(bytes(20) + b"\n17\n" + line_of(n(8)[0], 10**9) + b"\n{}\n")
    assert counted.read() == n(1)
    assert counted.log.repair(counted.count, counted.note) is None
    again = Counted(counted.file.parent)
    again.note(1)
    again.append(*n(2))
    assert again.read() == n(1, 2)


@pytest.mark.parametrize(
    ("gone", "fault"),
    [
        ([1], "line 1 cannot be read or is gone"),
        ([4], "line 4 cannot be read or is gone"),
        ([2, 4], "2 lines, the first of them line 2, cannot be read or is gone"),
    ],
)
def test_a_line_that_is_gone_is_said_and_the_others_are_kept(counted: Counted, gone: list[int], fault: str) -> None:
    counted.append(*n(1, 2, 3, 4))
    lines = counted.file.read_bytes().splitlines(keepends=True)
    counted.file.write_bytes(b"".join(line for number, line in enumerate(lines, 1) if number not in gone))
    with pytest.raises(UserError) as caught:
        counted.read()
    assert str(caught.value) == f"{counted.file} is damaged: {fault}: mend it"
    assert counted.repair() == f"{counted.file} is damaged: {fault}"
    kept = n(*(number for number in (1, 2, 3, 4) if number not in gone))
    assert counted.read() == kept
    assert counted.count == len(kept)
    counted.append(*n(9))
    assert counted.read() == [*kept, *n(9)]


def test_a_record_that_is_none_of_this_log_is_damage_with_its_reason(counted: Counted) -> None:
    counted.append(*n(1), {"m": 2}, *n(3))
    with pytest.raises(UserError, match=r"line 2 cannot be read or is gone \(it has no n\): mend it$"):
        counted.read()
    assert counted.repair() is not None
    assert counted.read() == n(1, 3)


def test_a_line_that_stands_there_again_changes_nothing(counted: Counted) -> None:
    counted.append(*n(1, 2, 3))
    lines = counted.file.read_bytes().splitlines(keepends=True)
    counted.file.write_bytes(b"".join([lines[2], *lines, *lines]))
    assert counted.read() == n(1, 2, 3)


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("used", [False, True])
def test_where_the_disk_or_the_count_fails_nothing_is_kept(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, used: bool
) -> None:
    def refuse(count: int) -> None:
        raise UserError("the manifest cannot be written")

    if used:
        counted.append(*n(1))
    before = counted.file.read_bytes() if used else None
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="no space left"):
            counted.append(*n(2, 3))
    assert (counted.file.read_bytes() if counted.file.exists() else None) == before
    with pytest.raises(UserError, match="manifest"):
        counted.log.append(n(2, 3), counted.count, refuse)
    assert (counted.file.read_bytes() if counted.file.exists() else None) == before
    counted.append(*n(4))
    assert counted.read() == [*n(1)[: int(used)], *n(4)]


def test_ctrl_c_while_counting_leaves_a_log_that_goes_on(counted: Counted) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        counted.log.append(n(1), 0, interrupt)
    counted.append(*n(2))
    assert counted.read() == n(1, 2)
    assert counted.count == 2


def test_a_log_of_an_earlier_version_has_no_numbers_and_lines_that_are_no_json_are_dropped(counted: Counted) -> None:
    lines = [json.dumps(record) for record in n(1, 2)]
    counted.file.write_text(f'{lines[0]}\n{{"n": 7, "te\n[3]\n{lines[1]}\n{{"n"')
    log = Log(counted.file, numbered_well)
    assert not log.numbered
    assert log.read(None, "mend it") == n(1, 2)
    counted.file.write_text(f'{lines[0]}\n{{"m": 7}}\n{lines[1]}\n')
    with pytest.raises(UserError, match=r"line 2 cannot be read or is gone \(it has no n\): mend it$"):
        log.read(None, "mend it")
