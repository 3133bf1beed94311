"""Tables that people write: read back whatever their form, and every wrong one named in one sentence."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.wireless import csv_tables
from meshtune.wireless.csv_tables import number, read_table, whole

HEAD = "device,x,y\n"
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=9)


def read(folder: Path, text: str | bytes) -> list[tuple[int, list[str]]]:
    file = folder / "t.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_table(file, ("device", "x", "y")))


@given(rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=5), order=st.permutations([0, 1, 2]))
def test_what_python_writes_is_read_back_in_any_order_of_columns(
    rows: list[list[str]], order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = io.StringIO()
    table = csv.writer(file)
    for row in [["device", "x", "y"], *rows]:
        table.writerow([row[column] for column in order])
    found = read(tmp_path_factory.getbasetemp(), file.getvalue())
    assert [cells for _, cells in found] == [[cell.strip() for cell in row] for row in rows]


def test_lines_are_counted_as_an_editor_does_and_blank_ones_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, HEAD + "\n0, 1 ,2\n\n\n3,4,5\n") == [(3, ["0", "1", "2"]), (6, ["3", "4", "5"])]
    assert read(tmp_path, b"\xef\xbb\xbf y,device ,x\r\n2,0,1\r\n") == [(2, ["0", "1", "2"])]  # as Excel writes it


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "the first line of FILE is nothing: it must name the columns device,x,y"),
        ("id,x,y\n0,1,2\n", "the first line of FILE is id,x,y: it must name the columns device,x,y"),
        ("device,x,y,z\n", "the first line of FILE is device,x,y,z: it must name the columns device,x,y"),
        ("device,x,x\n", "the first line of FILE is device,x,x: it must name the columns device,x,y"),
        (HEAD + "0,1\n", "line 2 of FILE has 2 cells: it needs device,x,y"),
        (HEAD + "0,1,2\n\n0,1,2,3\n", "line 4 of FILE has 4 cells: it needs device,x,y"),
        (HEAD + '0,"1,2\n', "FILE is not a CSV file in UTF-8 (unexpected end of data): save it as one"),
    ],
)
def test_a_wrong_table_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == message.replace("FILE", str(tmp_path / "t.csv"))


def test_a_file_that_is_not_there_or_not_text_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"there is no table \S+none.csv: check the path"):
        list(read_table(tmp_path / "none.csv", ("x",)))
    with pytest.raises(UserError, match=r"t\.csv is not a CSV file in UTF-8 \('utf-8' codec"):
        read(tmp_path, b"device,x,y\n\xff\xfe,1,2\n")
    monkeypatch.setattr(csv_tables, "BYTES", len(HEAD))
    assert read(tmp_path, HEAD) == []
    with pytest.raises(UserError, match=r"t\.csv"):
        read(tmp_path, HEAD + "\n")


@given(st.integers(0, 2**31 - 1))
def test_a_whole_number_is_itself(value: int) -> None:
    assert whole(str(value), "a", 2, Path("t")) == value


@pytest.mark.parametrize("text", ["", "-1", "+1", "0.5", "1e3", "1_0", "²", "٣", "2147483648", "9" * 20])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(UserError) as caught:
        whole(text, "a", 7, Path("t"))
    assert str(caught.value) == f"line 7 of t: a={text or 'nothing'} is not a whole number from 0 to 2147483647"


@given(st.floats(-50, 7))
def test_a_number_within_its_bounds_is_itself(value: float) -> None:
    assert number(repr(value), "x", 2, Path("t"), -50, 7) == value


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("7.5", "x=7.5 is outside -50 to 7"),
        ("-50.001", "x=-50.001 is outside -50 to 7"),
        ("", "x=nothing is not a finite number"),
        ("one", "x=one is not a finite number"),
        ("nan", "x=nan is not a finite number"),
        ("-inf", "x=-inf is not a finite number"),
        ("9" * 60, "x=" + "9" * 39 + "… is outside -50 to 7"),
    ],
)
def test_what_is_no_number(text: str, wrong: str) -> None:
    with pytest.raises(UserError) as caught:
        number(text, "x", 3, Path("t"), -50, 7)
    assert str(caught.value) == f"line 3 of t: {wrong}"
    with pytest.raises(UserError, match="x=nan is not a finite number"):
        number("nan", "x", 3, Path("t"), -math.inf, math.inf)
