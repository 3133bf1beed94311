"""Rows of a file: JSON lines or one JSON array, plain or gzipped, read incrementally and within bounds.

An untrusted file may have another encoding, be truncated, contain an endless line, or unpack to gigabytes. Nothing is
kept in memory before its size is known to be within the bounds below, and every fault gives one sentence with file and
line.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from meshtune.errors import UserError
from meshtune.printable import printable

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
MOST_ROW = 16 * 2**20  # bytes of one row
MOST_TEXT = 2**30  # bytes of one file, unpacked
MOST_BLANK = 2**16  # bytes of white space between two rows
_CHUNK = 2**16
_BLANK = " \t\r\n"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


class Numbered(NamedTuple):
    """A row with its number (from 0) and the text that locates it in an error."""

    number: int
    where: str
    row: dict[str, Any]


def file_rows(path: Path) -> Iterator[Numbered]:
    """Yield the rows of a file; blank lines are skipped.

    A file whose text begins with ``[`` is one array of rows; any other holds one row per line. A UTF-8 byte order mark
    and CRLF line ends are accepted.

    Raises:
        UserError: the file cannot be read, is not UTF-8, is not JSON, or is beyond the bounds of this module.
    """
    reader = _Reader(path)
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            head = stream.peek(64)[:64]
            if head.startswith(b"\x1f\x8b"):
                raise UserError(f"{reader.name} is gzipped, but not named so: rename it to {reader.name}.gz")
            if head.startswith(_WIDE) or b"\0" in head[:4]:
                raise UserError(f"{reader.name} is text in UTF-16 or UTF-32: save it as UTF-8")
            start = head.removeprefix(codecs.BOM_UTF8).lstrip()
            for where, row in (reader.array if start.startswith(b"[") else reader.lines)(cast(BinaryIO, stream)):
                yield Numbered(number, where, row)
                number += 1
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{reader.name} cannot be read after line {reader.line}: {error}: check or replace the file"
        ) from error


class _Reader:
    """The position in a file, and how much more may be read."""

    def __init__(self, path: Path) -> None:
        self.name = printable(str(path))
        self.line = 0
        self._whole = path.name.removesuffix(".gz").endswith(".json")
        self._read = 0
        self._blank = 0

    def lines(self, stream: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the location and the row of every line that is not blank."""
        while line := stream.readline(MOST_ROW + 1):
            self.line += 1
            self._count(line)
            if len(line) > MOST_ROW:
                raise UserError(self._too_long())
            line = line.removeprefix(codecs.BOM_UTF8).strip()
            if line:
                self._blank = 0
                yield self.where, self._one(line)

    def array(self, stream: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the location and the row of every object of an array."""
        self.line = 1
        text = _Text(stream, self)
        text.take("[")
        comma = False
        while (char := text.next()) != "]" or comma:
            if not char:
                raise UserError(f"{self.where}: the file ends before its array does: complete or replace it")
            if char != "{":
                raise UserError(f"{self.where}: a row must be a JSON object, found {printable(char)} in its place")
            where = self.where
            yield where, text.row(where)
            comma = text.next() == ","
            if comma:
                text.take(",")
            elif text.next() not in ("]", ""):
                raise UserError(
                    f"{self.where}: broken JSON, a row is followed by ',' or ']', not {printable(text.next())}"
                )
        text.take("]")
        if text.next():
            raise UserError(f"{self.where}: broken JSON, text behind the end of the array")

    @property
    def where(self) -> str:
        """The text for this location."""
        return f"{self.name} line {self.line}"

    def _count(self, data: bytes) -> None:
        """Count the bytes read.

        Raises:
            UserError: there are too many.
        """
        self._read += len(data)
        self._blank = self._blank + len(data) if not data.strip() else 0
        if self._read > MOST_TEXT:
            raise UserError(
                f"{self.name} holds more than {MOST_TEXT // 2**20} MiB of text, at line {self.line}: give a smaller one"
            )
        if self._blank > MOST_BLANK:
            raise UserError(f"{self.where}: more than {MOST_BLANK // 2**10} KiB of white space: remove it")

    def _too_long(self) -> str:
        return f"{self.where}: the row is longer than {MOST_ROW // 2**20} MiB: cut or drop it"

    def _one(self, line: bytes) -> dict[str, Any]:
        """Parse one line."""
        try:
            row = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            hint = ""
            if not line.startswith(b"{"):
                hint = ': every line is one row, {"field": "value", ...}'
            elif self._whole:
                hint = ": a .json file is an array of rows, [{...}, {...}], or has one row a line"
            raise UserError(f"{self.where}: broken JSON, {error.msg} at column {error.colno}{hint}") from error
        except (ValueError, RecursionError) as error:
            raise UserError(_unreadable(self.where, error)) from error
        if not isinstance(row, dict):
            raise UserError(f"{self.where}: a row must be a JSON object, this is a {type(row).__name__}")
        _check_whole(row, self.where, b"\\ud" in line or b"\\uD" in line)
        return row


class _Text:
    """The text of an array, read only as far as the current row needs."""

    def __init__(self, stream: BinaryIO, reader: _Reader) -> None:
        self._stream, self._reader = stream, reader
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(object_pairs_hook=_object)
        self._text = ""
        self._at = 0
        self._ended = False

    def next(self) -> str:
        """Return the next non-space character without consuming it; an empty text at the end."""
        while True:
            rest = self._text[self._at :].lstrip(_BLANK)
            self._go(len(self._text) - len(rest))
            if rest or self._ended:
                return rest[:1]
            self._more()

    def take(self, char: str) -> None:
        """Consume ``char``, which is next."""
        assert self.next() == char
        self._go(self._at + 1)

    def row(self, where: str) -> dict[str, Any]:
        """Return the object that begins here."""
        while True:
            try:
                row, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended:
                    line = self._reader.line + self._text.count("\n", self._at, error.pos)
                    raise UserError(
                        f"{self._reader.name} line {line}: broken JSON, {error.msg} at column {error.colno}"
                    ) from error
                if len(self._text) - self._at > MOST_ROW:
                    raise UserError(f"{where}: {error.msg} within {MOST_ROW // 2**20} MiB: fix or drop it") from error
                self._more()
            except (ValueError, RecursionError) as error:
                raise UserError(_unreadable(where, error)) from error
            else:
                assert isinstance(row, dict)
                written = self._text[self._at : end]
                _check_whole(row, where, "\\ud" in written or "\\uD" in written)
                self._go(end)
                return row

    def _go(self, to: int) -> None:
        self._reader.line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self) -> None:
        data = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        self._reader._count(data)
        self._ended = not data
        try:
            self._text, self._at = self._text[self._at :] + self._decoder.decode(data, self._ended), 0
        except ValueError as error:
            raise UserError(_unreadable(self._reader.where, error)) from error


class _TwiceError(ValueError):
    """A key occurs twice in one object, so that one of its values would be lost."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _TwiceError(f"the key {printable(twice, 40)!r} appears twice")
    return made


def _unreadable(where: str, error: Exception) -> str:
    """Say why text is refused: not UTF-8, a number of thousands of digits, too deep nesting, or a duplicate key."""
    if isinstance(error, _TwiceError):
        return f"{where}: {error}: keep one of them"
    if isinstance(error, RecursionError):
        return f"{where}: cannot be read as JSON: it is nested too deeply"
    if isinstance(error, UnicodeError):
        return f"{where}: cannot be read as JSON in UTF-8: {error}"
    return f"{where}: cannot be read as JSON: a number in it has thousands of digits"


def _check_whole(row: dict[str, Any], where: str, doubtful: bool) -> None:
    """Refuse a lone surrogate: no tokenizer and no terminal accepts it."""
    if not doubtful:
        return
    for field, value in row.items():
        text = json.dumps([field, value], ensure_ascii=False)
        half = next((char for char in text if "\ud800" <= char <= "\udfff"), None)
        if half is not None:
            raise UserError(
                f"{where}: field {printable(field, 40)!r} holds half of a character, {printable(half)}: write the "
                "whole character or drop the row"
            )
