"""A log of JSON lines, each with its number and a check, so that damaged and missing lines are detected.

The run's manifest counts the finished lines. Lines beyond that count come from a process that was killed while writing;
if there are fewer, some are missing. A log without numbers comes from an earlier version and is only read; lines that
are not JSON are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshtune.errors import UserError
from meshtune.runs.checksums import has_check, line_of, parse, record_of
from meshtune.runs.disk import disk_errors, read_bytes, replace_file, sync_folder

Record = dict[str, Any]


@dataclass
class LogContent:
    """The content of a log.

    Attributes:
        records: the records of good lines by number, ascending.
        last: the number of the last line that is or was there.
        end: bytes up to the end of the last good line.
        reasons: what is wrong with lines that are not records of this log, by number.
    """

    records: dict[int, Record]
    last: int
    end: int
    reasons: dict[int, str]

    @property
    def fault(self) -> str | None:
        """Which lines are damaged or missing; None if none are."""
        count = self.last - len(self.records)
        if not count:
            return None
        first = next(n for n in range(1, self.last + 1) if n not in self.records)
        reason = self.reasons.get(first)
        many = f"line {first}" if count == 1 else f"{count} lines, the first of them line {first},"
        return f"is damaged: {many} cannot be read or is gone{f' ({reason})' if reason else ''}"


class Log:
    """The log ``file``.

    Args:
        file: its path; it need not exist.
        check: raises ValueError if a record does not belong in this log.
    """

    def __init__(self, file: Path, check: Callable[[Record], None]) -> None:
        self.file, self._check = file, check
        self._last: int | None = None

    @property
    def numbered(self) -> bool:
        """Whether lines have numbers and checks: an earlier version wrote none."""
        return self.file.is_file() and any(has_check(line) for line in read_bytes(self.file).split(b"\n"))

    def read(self, finished: int | None, remedy: str) -> list[Record]:
        """Return the records.

        Args:
            finished: the least number of lines; None if unknown.
            remedy: what to do about damaged lines.

        Raises:
            UserError: lines are damaged or missing.
        """
        found = self.scan(finished)
        if found.fault:
            raise UserError(f"{self.file} {found.fault}: {remedy}")
        return list(found.records.values())

    def scan(self, finished: int | None) -> LogContent:
        """Return the log's content; ``finished`` as in :meth:`read`."""
        data = read_bytes(self.file) if self.file.is_file() else b""
        lines = data.split(b"\n")
        if finished is None and not any(has_check(line) for line in lines):
            return self._unnumbered(lines)
        records: dict[int, Record] = {}
        reasons: dict[int, str] = {}
        most = len(lines) + (finished or 0)
        at, end = 0, 0
        for line in lines:
            at += len(line) + 1
            number, record = record_of(line) or (0, {})
            if not 0 < number <= most:
                continue
            end = min(at, len(data))
            try:
                self._check(record)
                records.setdefault(number, record)
            except ValueError as error:
                reasons[number] = str(error)
        last = max([finished or 0, *records, *reasons])
        return LogContent(dict(sorted(records.items())), last, end, reasons)

    def append(self, records: Sequence[Mapping[str, Any]], finished: int | None, count: Callable[[int], None]) -> None:
        """Add ``records`` in one write: all are kept or none.

        Args:
            records: the records to add.
            finished: the least number of lines before.
            count: called with the new number of lines; if it fails, nothing is kept.

        Raises:
            UserError: there is no space, or the folder is not writable.
        """
        if not records:
            return
        with disk_errors(self.file.parent):
            if self._last is None:
                self._settle(finished)
            assert self._last is not None
            before = self.file.stat().st_size if self.file.exists() else 0
        lines = b"".join(line_of(record, self._last + n) for n, record in enumerate(records, start=1))
        try:
            with disk_errors(self.file.parent), self.file.open("ab") as log:
                log.write(lines)
                log.flush()
                os.fsync(log.fileno())
                if not before:
                    sync_folder(self.file.parent)
            count(self._last + len(records))
        except UserError:
            with suppress(OSError):  # if even that fails, the next process drops unfinished lines
                if before:
                    os.truncate(self.file, before)
                else:
                    self.file.unlink(missing_ok=True)
            raise
        except BaseException:  # Ctrl+C: the file is scanned again before the next line is added
            self._last = None
            raise
        self._last += len(records)

    def repair(self, finished: int | None, count: Callable[[int], None]) -> str | None:
        """Drop damaged lines and renumber the others; return what was wrong, or None.

        Raises:
            UserError: as for :meth:`append`.
        """
        found = self.scan(finished)
        self._last = None
        if found.fault is None:
            return None
        replace_file(self.file, [line_of(record, n) for n, record in enumerate(found.records.values(), start=1)])
        count(len(found.records))
        return f"{self.file} {found.fault}"

    def _settle(self, finished: int | None) -> None:
        """Find the last line; cut off unfinished output of a killed process after it."""
        found = self.scan(finished)
        if self.file.exists():
            if self.file.stat().st_size > found.end:
                os.truncate(self.file, found.end)
            if not _ends(self.file):
                with self.file.open("ab") as log:
                    log.write(b"\n")
        self._last = found.last

    def _unnumbered(self, lines: Sequence[bytes]) -> LogContent:
        records: dict[int, Record] = {}
        reasons: dict[int, str] = {}
        for line in lines:
            try:
                record = parse(line)
            except ValueError:
                continue  # cut off by a crash
            if isinstance(record, dict):
                number = len(records) + len(reasons) + 1
                try:
                    self._check(record)
                    records[number] = record
                except ValueError as error:
                    reasons[number] = str(error)
        return LogContent(records, len(records) + len(reasons), 0, reasons)


def _ends(file: Path) -> bool:
    with file.open("rb") as log:
        if not log.seek(0, os.SEEK_END):
            return True
        log.seek(-1, os.SEEK_END)
        return log.read(1) == b"\n"
