"""Tables of sizes say what was counted, and mark what no message may hold."""

from __future__ import annotations

from meshtune.planning.model_sizes import MethodSizes
from meshtune.report.size_tables import paper_table, sizes_table


def made(name: str, parameters: int, update: int, fits: bool = True, mask: int = 0) -> MethodSizes:
    return MethodSizes(name, parameters, parameters / 10_000, update, fits, mask, 0, 100)


def test_rows_are_methods_and_columns_forms() -> None:
    forms = {
        "bfloat16": [made("proposed", 50, 2_100, mask=1_500), made("fpft", 10_000, 20_000, fits=False)],
        "int4": [made("proposed", 50, 700, mask=1_500), made("fpft", 10_000, 5_000)],
    }
    table = sizes_table("a model", forms)
    assert table.columns[3:5] == ["one update, bfloat16", "one update, int4"]
    assert table.rows == [
        ["proposed", "50", "0.5%", "2.10 kB", "700 B", "1.50 kB", "-"],
        ["fpft", "10,000", "100%", "20.0 kB*", "5.00 kB", "-", "-"],
    ]
    assert table.note.startswith("*: more than one message may hold")


def test_nothing_is_marked_where_all_fits_and_nothing_sent_is_a_dash() -> None:
    table = sizes_table("a model", {"bfloat16": [made("local", 50, 0)]})
    assert table.rows[0][3] == "-"
    assert not table.note


def test_the_papers_shares_stand_beside_ours() -> None:
    """LoRA 400 of 10,000, ours 30 of 200 positions: 4%, 0.3%, 92.5% fewer; 0.54/2.01 of 400 are 107 of 200."""
    table = paper_table({"a model": (made("lora", 400, 900), made("proposed", 30, 200), 200)})
    assert [row[1] for row in table.rows[:5]] == ["2.01%", "0.54%", "73.1%", "0.27%", "86.6%"]
    assert [row[2] for row in table.rows] == ["4.00%", "0.30%", "92.5%", "0.30%", "92.5%", "0.54", "0.27"]
