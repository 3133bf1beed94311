"""Names that somebody else chose, wherever a report shows them: they read as they are and do nothing."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

from meshtune.cli.show import show_tables
from meshtune.printable import printable
from meshtune.report import figures
from meshtune.report.comparison import compare, summary, tables, write_report
from meshtune.report.figures import compose, draw
from meshtune.report.result_tables import Table
from meshtune.report.results_file import Results, parse_results
from pages import shown

NASTY = (
    "\x1b[2J\x1b]0;owned\x07",
    "a|b`c`",
    "[x](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "two\nlines\r\n| x |",
    r"$\frac$",
    "$a$ and \\$b$",
    "\u202egnp.exe",
    "[bold red]x[/]",
    ":fire: **loud** __x__ &lt; ~~no~~",
    "\ud800",
    "漢字",
    "_hidden",
    "-1+2",
    "@SUM(A1)",
)


def named(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The hand-computed run with ``boolq`` called ``name``."""
    text = json.dumps(raw).replace('"boolq"', json.dumps(name))
    found: dict[str, Any] = json.loads(text)
    return found


def visible(text: str) -> bool:
    return all(letter == "\n" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs") for letter in text)


@pytest.mark.parametrize("name", NASTY)
def test_a_whole_page_is_text(
    name: str, raw: dict[str, Any], make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "draw", lambda results: b"drawn elsewhere")
    raw["header"]["groups"]["boolq"] = []  # so that the story names it too
    run = make_run("one", named(raw, name))
    page = write_report(run)[0].read_text()
    assert visible(page)
    body = page.replace("![Every device on every task before and after the exchange](accuracy.png)", "")
    assert any(printable(name) in text for text in shown(body))
    assert printable(name) in summary(run).encode("unicode_escape", "surrogatepass").decode() or printable(
        name
    ) in summary(run)


@pytest.mark.parametrize("name", NASTY)
def test_terminals_get_nothing_to_obey(
    name: str, raw: dict[str, Any], make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("one", named(raw, name))
    show_tables(tables([run]))
    out = capsys.readouterr().out
    assert visible(out)
    assert printable(name) in out
    show_tables([Table(name, [name], [[name]], note=name)])
    out = capsys.readouterr().out
    assert out.count(printable(name)) == 4


@pytest.mark.parametrize("name", NASTY)
def test_csv_opens_without_a_formula_and_json_keeps_names(
    name: str, raw: dict[str, Any], make_run: Callable[..., Path]
) -> None:
    run = make_run("one", named(raw, name))
    text = compare([run], "csv")
    assert visible(text)
    (cell,) = {row["task"] for row in csv.DictReader(io.StringIO(text))} - {"piqa"}
    assert cell.removeprefix("'") == printable(name)
    assert cell[0] not in "=+-@"
    assert {row["task"] for row in json.loads(compare([run], "json"))} == {name, "piqa"}


@pytest.mark.parametrize("names", [NASTY[::2], NASTY[1::2], ["x" * 100_000]])
def test_pictures_draw_every_name(names: Sequence[str], raw: dict[str, Any]) -> None:
    boolq = [row for row in raw["rows"] if row["task"] == "boolq"]
    raw["rows"] += [row | {"task": name} for name in names for row in boolq]
    raw["header"]["groups"] = {"piqa": [1], **{name: [0] for name in names}}
    results: Results = parse_results(raw, "here")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(results).startswith(b"\x89PNG")
    texts = [one.get_text() for one in compose(results).findobj(Text)]
    assert all(len(text) < 200 for text in texts)


def test_dollars_are_letters_in_pictures(raw: dict[str, Any]) -> None:
    """A pair of dollars would make matplotlib read a formula, and fail at one that it does not know."""
    figure = compose(parse_results(named(raw, r"$\frac$"), "here"))
    label = next(one for one in figure.findobj(Text) if "frac" in one.get_text())
    assert label._preprocess_math(label.get_text()) == (r"$\frac$", False)
