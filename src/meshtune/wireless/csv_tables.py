"""Reads small hand-written CSV files; errors say in one sentence which line is wrong."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from meshtune.errors import UserError
from meshtune.files import check_file, reason
from meshtune.printable import printable

BYTES = 64 * 2**20
"""Maximum bytes of a table: millions of lines, which are held in memory."""
CELL = 40
"""Characters of a cell shown in an error."""


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of every line, in the order of ``columns``; blank lines are skipped.

    Raises:
        UserError: there is no such file, it is not text, its first line does not name exactly ``columns`` (in any
            order), or a line has another number of cells.
    """
    check_file(path, BYTES, "table")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            head = [name.strip() for name in next(rows, [])]
            if sorted(head) != sorted(columns):
                shown = printable(",".join(head), 2 * CELL) or "nothing"
                raise UserError(f"the first line of {path} is {shown}: it must name the columns {','.join(columns)}")
            order = [head.index(name) for name in columns]
            for cells in rows:
                if not cells:
                    continue
                if len(cells) != len(columns):
                    raise UserError(
                        f"line {rows.line_num} of {path} has {len(cells)} cells: it needs {','.join(columns)}"
                    )
                yield rows.line_num, [cells[place].strip() for place in order]
    except OSError as error:
        raise UserError(f"{path} cannot be read ({reason(error)}): check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} is not a CSV file in UTF-8 ({printable(str(error), 3 * CELL)}): save it as one"
        ) from error


def whole(text: str, column: str, line: int, path: Path) -> int:
    """Return the cell as an integer from 0 to 2^31 - 1.

    Raises:
        UserError: it is not one.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**31):
        shown = printable(text, CELL) or "nothing"
        raise UserError(f"line {line} of {path}: {column}={shown} is not a whole number from 0 to 2147483647")
    return int(text)


def number(text: str, column: str, line: int, path: Path, low: float, high: float) -> float:
    """Return the cell as a number from ``low`` to ``high``.

    Raises:
        UserError: it is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        wrong = f"outside {low:g} to {high:g}" if math.isfinite(value) else "not a finite number"
        raise UserError(f"line {line} of {path}: {column}={printable(text, CELL) or 'nothing'} is {wrong}")
    return value
