"""Tasks that no device has: shown apart, and left out of every average, share, difference and sentence of blame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

from meshtune.report.comparison import compare, summary, write_report
from meshtune.report.figures import compose
from meshtune.report.result_tables import quality_table
from meshtune.report.results_file import parse_results


def spoiled(raw: dict[str, Any], empty: Any = None) -> dict[str, Any]:
    """The hand-computed run, asked two more exams: ``maps``, which no device has, and ``atlas``, of the same group.

    There the frozen model has 3, hard_moe 9 and the others 1: in an average they would change every share.
    """
    for row in [row for row in raw["rows"] if row["task"] == "boolq"]:
        for task in ("maps", "atlas"):
            value = {"frozen": 3.0, "hard_moe": 9.0}.get(row["method"], 1.0) if row["metric"] == "nll" else 0.0
            raw["rows"].append(row | {"task": task, "value": value, "stderr": 0.0})
    raw["header"]["exams"] = {"boolq": "boolq", "piqa": "piqa", "maps": empty, "atlas": empty}
    return raw


def line(method: str, task: str, nll: list[float]) -> dict[str, Any]:
    ids = [str(i) for i in range(len(nll))]
    return {"method": method, "task": task, "devices": [0, 1], "round": 2, "questions": ids, "nll": nll}


SCORES = [
    *(
        line(method, "boolq", [value, value + 1])
        for method, value in (("frozen", 5.5), ("lora", 3.0), ("proposed", 2.0))
    ),
    *(line(method, "maps", [value] * 2) for method, value in (("frozen", 3.0), ("lora", 100.0), ("proposed", 1.0))),
]


@pytest.mark.parametrize("empty", [None, "maps"])  # the latter as older runs name groups that do not exist
def test_averages_and_shares_are_those_without_them(raw: dict[str, Any], empty: Any) -> None:
    results = parse_results(spoiled(raw, empty), "here")
    assert results.unlearnt == ["maps", "atlas"]
    assert results.tasks_with("nll") == ["boolq", "piqa", "maps", "atlas"]
    assert results.tasks_with("nll", learnt=True) == ["boolq", "piqa"]
    assert results.owners("maps") == []
    found = results.average("frozen", "nll")
    assert found is not None
    assert found.value == 5.0
    assert results.share_of_gain("proposed") == pytest.approx(5 / 6)
    assert results.share_of_gain("hard_moe") == 1


def test_tables_show_them_apart(raw: dict[str, Any], make_run: Callable[..., Path]) -> None:
    table = quality_table({"run": parse_results(spoiled(raw), "here")})
    assert list(table.columns)[-5:] == ["piqa", "average", "share of gain", "maps (unlearnt)", "atlas (unlearnt)"]
    assert table.rows[1][-4:] == ["2.50 ± 0.25", "83%", "1.00", "1.00"]
    assert "Unlearnt: no device has the task; left out of the average." in table.note
    run = make_run("one", raw, SCORES)
    text = compare([run], "markdown")
    assert "| proposed | -1.000 | all equal | 2 |" in text  # boolq alone: maps would make it -50


def test_the_story_says_so_and_blames_nobody(raw: dict[str, Any], make_run: Callable[..., Path]) -> None:
    text = summary(make_run("one", spoiled(raw), SCORES))
    assert "2 devices learnt 2 tasks" in text
    assert "No device learnt maps and atlas: they are asked too, and left out of what follows." in text
    assert "weakest answers are those on piqa, 3.00" in text
    assert text.count("maps") == 1
    raw["header"]["exams"].pop("atlas")
    raw["rows"] = [row for row in raw["rows"] if row["task"] != "atlas"]
    assert "No device learnt maps: it is asked too," in summary(make_run("two", raw, SCORES))


def test_the_picture_marks_their_columns(raw: dict[str, Any]) -> None:
    shown = [found.get_text() for found in compose(parse_results(spoiled(raw), "here")).findobj(Text)]
    assert {"maps\n(unlearnt)", "atlas\n(unlearnt)", "BoolQ"} <= set(shown)
    assert "maps" not in shown


def test_runs_of_which_one_has_nobody_for_a_task(raw: dict[str, Any], make_run: Callable[..., Path]) -> None:
    """A task that somebody learnt in one run keeps its column; the run in which nobody did is marked."""
    full = parse_results(raw, "here")
    less = parse_results(raw | {"header": raw["header"] | {"groups": {"boolq": [0, 1]}}}, "here")
    table = quality_table({"full": full, "less": less})
    assert list(table.columns) == ["run", "method", "boolq", "piqa", "average", "share of gain"]
    rows = {tuple(row[:2]): row[2:] for row in table.rows}
    assert rows["full", "frozen"] == ["6.00 ± 0.30", "4.00 ± 0.40", "5.00 ± 0.25", "0%"]
    assert rows["less", "frozen"] == ["6.00 ± 0.30", "4.00 ± 0.40†", "6.00 ± 0.30", "0%"]
    assert "†: no device of that run has the task; left out of its average." in table.note
    assert "Averages are over the tasks of each run, which differ: not to be compared." in table.note
    assert "differ" not in quality_table({"one": full, "two": full}).note


def test_a_run_that_was_never_asked_a_task_has_no_cell_there(raw: dict[str, Any]) -> None:
    full = parse_results(raw, "here")
    only = parse_results(raw | {"rows": [row for row in raw["rows"] if row["task"] == "boolq"]}, "here")
    rows = {tuple(row[:2]): row[2:] for row in quality_table({"full": full, "only": only}).rows}
    assert rows["only", "frozen"][:3] == ["6.00 ± 0.30", "-", "6.00 ± 0.30"]


def test_hundreds_of_tasks_are_looked_up_not_searched(raw: dict[str, Any]) -> None:
    """Rows are read a fixed number of times, however many tasks they are of."""

    class Counted(list[Any]):
        passes = 0

        def __iter__(self) -> Any:
            Counted.passes += 1
            return super().__iter__()

    def passes(tasks: int) -> int:
        Counted.passes = 0
        template = [row for row in raw["rows"] if row["task"] == "boolq"]
        many = raw | {"rows": [row | {"task": f"t{i}"} for i in range(tasks) for row in template]}
        many["header"] = raw["header"] | {"groups": {f"t{i}": [0] for i in range(tasks)}}
        results = parse_results(many, "here")
        results = results.model_copy(update={"rows": Counted(results.rows)})
        table = quality_table({"run": results})
        assert len(table.columns) == tasks + 3
        assert table.rows[0][1] == "6.00 ± 0.30"
        return Counted.passes

    assert passes(5) == passes(800) <= 12


def test_the_page_of_such_a_run_is_written(raw: dict[str, Any], make_run: Callable[..., Path]) -> None:
    page, picture = write_report(make_run("one", spoiled(raw), SCORES))
    assert "maps (unlearnt)" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
