from __future__ import annotations

from typing import Any

import pytest

from meshtune.report.differences import difference_table, own_task_table
from meshtune.report.figures import draw
from meshtune.report.result_tables import (
    Table,
    bytes_text,
    cost_table,
    quality_table,
    router_table,
    seconds_text,
    time_table,
)
from meshtune.report.results_file import parse_results


def scores(method: str, nll: list[float]) -> dict[str, Any]:
    ids = [str(i) for i in range(len(nll))]
    return {"method": method, "task": "boolq", "devices": [0, 1], "round": 2, "questions": ids, "nll": nll}


def test_quality_table_has_the_hand_computed_cells(raw: dict[str, Any]) -> None:
    table = quality_table({"run": parse_results(raw, "here")})
    assert list(table.columns) == ["method", "boolq", "piqa", "average", "share of gain"]
    assert table.rows[0] == ["frozen", "6.00 ± 0.30", "4.00 ± 0.40", "5.00 ± 0.25", "0%"]
    assert table.rows[1] == ["proposed", "2.00 ± 0.30", "3.00 ± 0.40", "2.50 ± 0.25", "83%"]


def test_what_answered_part_of_the_questions_is_marked_and_not_averaged(raw: dict[str, Any]) -> None:
    for row in raw["rows"]:
        if (row["method"], row["device"], row["task"]) == ("lora", 1, "piqa"):
            row["n"] = 5
    results = parse_results(raw, "here")
    row = next(row for row in quality_table({"run": results}).rows if row[0] == "lora")
    assert row == ["lora", "4.00 ± 0.30", "4.00 ± 0.40*", "-", "-"]
    assert draw(results).startswith(b"\x89PNG")


def test_cost_table(raw: dict[str, Any]) -> None:
    row = cost_table({"run": parse_results(raw, "here")}).rows[0]
    assert row == ["proposed", "10", "1.00%", "120 B", "1.73 kB", "1.50 kB", "200 B", "0 B", "34 B", "0 B"]


def test_router_table(raw: dict[str, Any]) -> None:
    rows = router_table(parse_results(raw, "here")).rows
    assert rows == [["whitened", "shared", "0.875 [0.529, 0.978]", "1.000 [0.676, 1.000]", "0.50 ± 0.10", "0.250"]]


def test_mistakes_that_cost_nothing_are_not_plus_minus_nothing(raw: dict[str, Any]) -> None:
    raw["header"]["router"]["whitened"] |= {"regret": 0.0, "regret_stderr": 0.0}
    assert router_table(parse_results(raw, "here")).rows[0][4] == "0 on every question"
    raw["header"]["router"]["whitened"] |= {"regret": 0.002, "regret_stderr": 0.0004}
    assert router_table(parse_results(raw, "here")).rows[0][4] == "0.00 ± 0.0004"


def test_five_wrong_of_five_have_wilsons_interval(raw: dict[str, Any]) -> None:
    """z^2 / (5 + z^2) = 0.434; the average of two such tasks is that of ten: 0.278."""
    for row in raw["rows"]:
        row |= {"n": 5, **({"value": 0.0, "stderr": 0.0} if row["metric"] == "acc" else {})}
    table = quality_table({"run": parse_results(raw, "here")}, "acc")
    assert table.rows[0][1:] == ["0.000 [0.000, 0.434]", "0.000 [0.000, 0.434]", "0.000 [0.000, 0.278]"]
    assert "In brackets: 95% interval over questions (one seed)." in table.note


def test_a_task_without_a_metric_is_left_out_and_named(raw: dict[str, Any]) -> None:
    """Piqa's answers are written: averages and paired differences of option NLL are those of boolq."""
    raw["rows"] += [
        row | {"metric": "option_nll"} for row in raw["rows"] if row["metric"] == "nll" and row["task"] == "boolq"
    ]
    results = parse_results(raw, "here")
    assert (results.tasks_with("option_nll"), results.tasks_with("acc_norm")) == (["boolq"], [])
    averages = [results.average("lora", metric) for metric in ("option_nll", "nll")]
    assert [(a.value, a.stderr) for a in averages if a] == [pytest.approx((4.0, 0.3)), pytest.approx((4.0, 0.25))]
    table = quality_table({"run": results}, "option_nll")
    assert table.rows[2] == ["lora", "4.00 ± 0.30", "-", "4.00 ± 0.30"]
    said = "Not measured, as answers are written: piqa."
    assert table.note.endswith(said)
    assert said not in quality_table({"run": results}, "acc").note
    lines = [scores(method, [gap, 2 * gap]) for method, gap in (("local", 2.0), ("proposed", 1.0))]
    for line in lines:
        line["option_nll"] = line["nll"]
    lines += [
        line | {"task": "piqa", "answers": ["a", "b"]} for line in (scores("local", [1, 1]), scores("proposed", [1, 1]))
    ]
    own = own_task_table(results, lines, "option_nll")
    assert own.rows == [["proposed", "1.500", "1.500", "-1.500", "[-2.480, -0.520]", "2"]]
    assert own.note.endswith(said)
    assert own_task_table(results, lines, "acc_norm").rows == []
    difference = difference_table(lines, ["proposed"], "local", "option_nll")
    assert (difference.rows[0][-1], difference.note.endswith(said)) == ("2", True)


def test_time_table_adds_up(raw: dict[str, Any]) -> None:
    raw["header"]["seconds"] = {"load": 0.3, "train": 90.0, "score": 59.7}
    raw["header"]["peak_memory_bytes"] = 2_500_000_000
    table = time_table(parse_results(raw, "here"))
    assert list(table.columns) == ["load", "train", "score", "together", "peak memory"]
    assert table.rows == [["0.3 s", "1.5 min", "1.0 min", "2.5 min", "2.50 GB"]]


@pytest.mark.parametrize(
    "count, text",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_900, "1.00 MB"),
        (123_456_789, "123 MB"),
        (5e12, "5.00 TB"),
    ],
)
def test_bytes_for_people(count: float, text: str) -> None:
    assert bytes_text(int(count)) == text


@pytest.mark.parametrize(
    "seconds, text",
    [(0.0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1.0 min"), (600, "10.0 min")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_markdown_escapes_and_aligns() -> None:
    table = Table("t", ["a", "b"], [["x|y", "1"]], note="n")
    assert table.markdown() == "**t**\n\n| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n\nn\n"
