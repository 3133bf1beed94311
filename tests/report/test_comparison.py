"""Runs side by side as tables, JSON and CSV, and the page of one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.printable import printable
from meshtune.report.comparison import cell, compare, tables, write_report
from meshtune.report.result_tables import (
    METRIC_NAMES,
)


def scores(method: str, nll: list[float]) -> dict[str, Any]:
    ids = [str(i) for i in range(len(nll))]
    return {"method": method, "task": "boolq", "devices": [0, 1], "round": 2, "questions": ids, "nll": nll}


def test_comparison_in_markdown_pairs_the_questions(make_run: Callable[..., Path]) -> None:
    run = make_run("one", None, [scores("lora", [2.0, 4.0]), scores("proposed", [1.0, 1.0])])
    text = compare([run], "markdown")
    assert "paired difference to lora" in text
    assert "| proposed | -2.000 | [-3.960, -0.040] | 2 |" in text
    assert "[-3.960" not in compare([run], "markdown", against="frozen")


def test_two_runs_are_merged_as_json_and_csv(make_run: Callable[..., Path], raw: dict[str, Any]) -> None:
    runs = [make_run("one"), make_run("two")]
    rows = json.loads(compare(runs, "json"))
    ends = [(row.pop("low"), row.pop("high")) for row in rows]
    assert {row.pop("cores") for row in rows} == {None}  # as in files of older versions
    assert rows == [{"run": name, **row} for name in ("one", "two") for row in raw["rows"]]
    assert ends[0] == pytest.approx((6 - 1.959964 * 0.3, 6 + 1.959964 * 0.3))
    read = list(csv.DictReader(io.StringIO(compare(runs, "csv"))))
    assert len(read) == len(rows)
    assert (read[0]["run"], read[0]["method"], float(read[0]["value"])) == ("one", "frozen", 6.0)
    made = tables(runs)
    assert made[0].columns[0] == "run"
    assert [row[:2] for row in made[0].rows[:4:3]] == [["one", "frozen"], ["one", "hard_moe"]]
    assert any(table.title == "two: Routers" for table in made)


def test_runs_of_one_name_are_told_apart(make_run: Callable[..., Path]) -> None:
    runs = [make_run("a/demo"), make_run("b/demo")]
    assert {row["run"] for row in json.loads(compare(runs, "json"))} == {str(run) for run in runs}


def test_mistakes_are_named(make_run: Callable[..., Path]) -> None:
    run = make_run("one")
    with pytest.raises(UserError, match="no format called html"):
        compare([run], "html")
    with pytest.raises(UserError, match="no metric called bleu"):
        compare([run], metric="bleu")
    with pytest.raises(UserError, match="has the method best"):
        compare([run], against="best")
    with pytest.raises(UserError, match="named twice"):
        compare([run, run])


def test_the_report_is_a_table_and_a_picture(make_run: Callable[..., Path]) -> None:
    run = make_run("one", None, [scores("lora", [2.0, 4.0]), scores("proposed", [1.0, 1.0])])
    table, figure = write_report(run)
    text = table.read_text()
    assert text.startswith("**What happened**\n\n2 devices learnt 2 tasks, 1 on each, in 2 rounds; ")
    assert "83%" in text
    assert [name for name in METRIC_NAMES.values() if f"**{name} by task" in text] == [
        "NLL per answer token",
        "accuracy",
    ]
    assert "| boolq | 3 | 1 |\n| piqa |  | 4 |" in text
    assert figure.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("radio", [False, True])
def test_the_page_shows_its_pictures(
    radio: bool, raw: dict[str, Any], flown: dict[str, Any], make_run: Callable[..., Path]
) -> None:
    run = make_run("run", flown if radio else raw, [])
    written = write_report(run)
    pictures = [file.name for file in written if file.suffix == ".png"]
    assert pictures == ["accuracy.png", *(["map.png", "time.png"] if radio else [])]
    assert sorted(file.name for file in run.glob("*.png")) == sorted(pictures)
    page = (run / "table.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in page for name in pictures)
    assert page.count("](") == len(pictures)


def test_numbers_stay_numbers_in_csv(raw: dict[str, Any], make_run: Callable[..., Path]) -> None:
    raw["rows"][0]["value"] = -1.5
    rows = list(csv.DictReader(io.StringIO(compare([make_run("-run", raw)], "csv"))))
    assert (rows[0]["value"], rows[0]["run"]) == ("-1.5", "'-run")
    assert [float(rows[0][end]) for end in ("low", "high")] == pytest.approx(
        [-1.5 - 1.96 * 0.3, -1.5 + 1.96 * 0.3], 1e-3
    )


@given(st.text("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20a1 '", max_size=6))
def test_no_cell_is_a_formula_and_only_those_are_marked(text: str) -> None:
    found = str(cell(text))
    assert found[:1] not in {*"=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"} - {""}
    assert found in (printable(text), f"'{printable(text)}")
    if text[:1] in ("a", "1", " ", "'"):
        assert found == printable(text)


def test_what_is_no_text_stays_what_it_is() -> None:
    assert [cell(value) for value in (-1.5, 3, None)] == [-1.5, 3, None]


def test_differences_are_taken_to_lora_where_it_ran_else_to_the_frozen_model(
    make_run: Callable[..., Path], raw: dict[str, Any]
) -> None:
    lines = [scores(method, [2.0, 4.0]) for method in ("frozen", "lora", "proposed")]
    titles = [table.title for table in tables([make_run("one", raw, lines)])]
    assert "NLL per answer token: paired difference to lora" in titles
    raw["rows"] = [row for row in raw["rows"] if row["method"] != "lora"]
    two = make_run("two", raw, lines)
    titles = [table.title for table in tables([two])]
    assert "NLL per answer token: paired difference to frozen" in titles
    titles = [table.title for table in tables([two], against="hard_moe")]
    assert not any("paired difference" in title for title in titles)  # it was scored, but not question by question
    both = [table.title for table in tables([make_run("one"), two], against="lora")]
    assert "one: Routers" in both
    with pytest.raises(UserError, match=r"^no run has the method lori: choose from frozen, proposed, lora, hard_moe$"):
        tables([make_run("one"), two], against="lori")
