from __future__ import annotations

import io

import pytest
from rich.console import Console

from meshtune.cli.show import fitted
from meshtune.report.result_tables import Table

COLUMNS = ["method", "boolq", "social_i_qa", "a long head", "average"]
ROWS = [["proposed", "4.85 ± 0.02", "5.03 ± 0.03", "1", "4.99 ± 0.02"], ["lora", "4.90 ± 0.02", "-", "22", "5"]]


def lines(table: Table, width: int) -> list[list[str]]:
    """What stands on a terminal of ``width`` columns, block by block."""
    shown = []
    for block in fitted(table, width):
        console = Console(file=io.StringIO(), record=True, width=width)
        console.print(block)
        shown.append([line.rstrip() for line in console.export_text().splitlines()])
    return shown


def test_a_table_that_fits_is_one_block() -> None:
    (only,) = lines(Table("t", COLUMNS, ROWS), 80)
    assert only[0] == "method          boolq  social_i_qa  a long head      average"
    assert only[2:] == [
        "proposed  4.85 ± 0.02  5.03 ± 0.03            1  4.99 ± 0.02",
        "lora      4.90 ± 0.02            -           22            5",
    ]


def test_heads_wrap_before_columns_are_moved() -> None:
    (only,) = lines(Table("t", COLUMNS, ROWS), 53)
    assert [line.split() for line in only[:3]] == [
        ["a"],
        ["long"],
        ["method", "boolq", "social_i_qa", "head", "average"],
    ]
    assert only[4] == "proposed  4.85 ± 0.02  5.03 ± 0.03     1  4.99 ± 0.02"


def test_what_does_not_fit_moves_into_another_block_behind_the_labels() -> None:
    first, second = lines(Table("t", COLUMNS, ROWS), 40)
    assert first[-2:] == ["proposed  4.85 ± 0.02  5.03 ± 0.03     1", "lora      4.90 ± 0.02            -    22"]
    assert second[2:] == ["proposed  4.99 ± 0.02", "lora                5"]


@pytest.mark.parametrize("width", [24, 33, 47, 80, 200])
def test_no_cell_is_ever_cut(width: int) -> None:
    text = "\n".join(line for block in lines(Table("t", COLUMNS, ROWS), width) for line in block)
    assert all(cell in text for row in ROWS for cell in row)
    assert "…" not in text


def test_prose_wraps_and_wide_labels_are_not_repeated() -> None:
    (methods,) = lines(Table("t", ["name", "what it is"], [["lora", "plain adapters " * 8]], labels=2), 60)
    assert len(methods) > 3
    assert " ".join(" ".join(methods[2:]).split()) == ("lora " + "plain adapters " * 8).strip()
    tasks = Table("t", ["name", "on the hub", "licence"], [["boolq", "google/boolq " * 2, "CC BY-SA 3.0"]], labels=3)
    first, second = lines(tasks, 34)
    assert first[-1].split() == ["boolq", "google/boolq", "google/boolq"]
    assert second[-1] == "boolq  CC BY-SA 3.0"
