"""Paired differences, and what is left of them where nothing was measured."""

from __future__ import annotations

from typing import Any

from meshtune.report.differences import difference_table, own_task_table
from meshtune.report.results_file import parse_results


def scores(method: str, nll: list[float]) -> dict[str, Any]:
    ids = [str(i) for i in range(len(nll))]
    return {"method": method, "task": "boolq", "devices": [0, 1], "round": 2, "questions": ids, "nll": nll}


def test_equal_answers_have_a_difference_with_a_width() -> None:
    """Two questions and two more, of which each method wins one: 1.96 sqrt(2 / 4 / 4)."""
    lines = [scores(method, [2.0, 4.0]) | {"acc": [1, 0]} for method in ("lora", "proposed")]
    assert difference_table(lines, ["proposed"], "lora", "acc").rows == [
        ["proposed", "+0.000", "[-0.693, +0.693]", "2"]
    ]
    assert difference_table(lines, ["proposed"], "lora", "nll").rows == [["proposed", "+0.000", "all equal", "2"]]


def test_own_task_table_counts_owners_only(raw: dict[str, Any]) -> None:
    """Device 0 owns boolq, device 1 piqa. Gaps on boolq -1, -3 (mean -2, stderr 1), on piqa -1, -1."""

    def line(method: str, task: str, devices: list[int], nll: list[float]) -> dict[str, Any]:
        return scores(method, nll) | {"task": task, "devices": devices}

    records = [
        line("local", "boolq", [0], [2.0, 6.0]),
        line("local", "boolq", [1], [50.0]),
        line("local", "piqa", [1], [3.0, 5.0]),
        line("proposed", "boolq", [0, 1], [1.0, 3.0]),
        line("proposed", "piqa", [0, 1], [2.0, 4.0]),
    ]
    rows = own_task_table(parse_results(raw, "here"), records).rows
    assert rows == [["proposed", "2.000", "3.000", "2.500", "-1.500", "[-2.480, -0.520]", "4"]]
    results = raw | {"rows": [*raw["rows"], {**raw["rows"][0], "method": "local"}]}
    assert own_task_table(parse_results(results, "here"), records).rows[-1][:4] == ["local", "4.000", "4.000", "4.000"]


def test_a_method_is_compared_with_others_on_common_questions_alone() -> None:
    """Of three questions two are common: gaps -1 and -3, whose mean is -2 and standard error 1."""
    lines = [
        scores("lora", [2.0, 4.0]),
        scores("proposed", [1.0, 1.0, 9.0]),
        {**scores("local", [5.0]), "task": "piqa"},
    ]
    table = difference_table(lines, ["lora", "proposed", "local", "absent"], "lora", "nll")
    assert table.rows == [["proposed", "-2.000", "[-3.960, -0.040]", "2"]]
    assert table.title == "NLL per answer token: paired difference to lora"
    assert difference_table(lines, ["proposed"], "absent", "nll").rows == []


def test_one_question_has_a_difference_without_an_interval() -> None:
    lines = [scores("lora", [2.0]), scores("proposed", [1.5])]
    (row,) = difference_table(lines, ["proposed"], "lora", "nll").rows
    assert row[:2] == ["proposed", "-0.500"]
    assert row[3] == "1"
    assert "[" not in row[2]


def test_a_method_without_some_owners_answers_has_no_row(raw: dict[str, Any]) -> None:
    records = [scores("local", [2.0, 6.0]), scores("proposed", [1.0, 3.0])]  # nobody answered piqa
    assert own_task_table(parse_results(raw, "here"), records).rows == []
