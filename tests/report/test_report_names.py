"""Names that somebody else chose, wherever a report shows them: they read as they are and do nothing."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from matplotlib.text import Text

from meshtune.cli.show import show_tables
from meshtune.printable import printable
from meshtune.report import figures
from meshtune.report.comparison import compare, summary, tables, write_report
from meshtune.report.figures import compose, draw
from meshtune.report.markdown import escaped
from meshtune.report.result_tables import Table
from meshtune.report.results_file import Results, parse_results

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
PARSER = MarkdownIt("gfm-like", {"linkify": False})


def named(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The hand-computed run with ``boolq`` called ``name``."""
    text = json.dumps(raw).replace('"boolq"', json.dumps(name))
    found: dict[str, Any] = json.loads(text)
    return found


def leaves(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from leaves(token.children or [])


def shown(markdown: str) -> list[str]:
    """The texts of a Markdown page, paragraph by paragraph and cell by cell, which must hold nothing but text."""
    texts = []
    for token in PARSER.parse(markdown):
        assert token.type not in ("html_block", "fence", "code_block", "heading_open", "list_item_open")
        if token.type == "inline":
            inside = list(leaves(token.children or []))
            kinds = {one.type for one in inside}
            assert kinds <= {"text", "text_special", "strong_open", "strong_close"}, (markdown, kinds)
            texts.append("".join(one.content for one in inside))
    return texts


def test_everyday_names_stay_readable_in_the_file_itself() -> None:
    for name in ("social_i_qa", "pass@2 by task", "proposed:top1", "+0.303 [+0.261, +0.341]", "4.85 ± 0.02", "R2 (x)"):
        assert escaped(name) == name
    assert escaped("a $x^2$") == "a \\$x^2\\$"  # GitHub takes it for a formula
    assert escaped("a@b.org") == "a\\@b.org"
    assert escaped("https://x.org") == "https\\://x.org"


def visible(text: str) -> bool:
    return all(letter == "\n" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs") for letter in text)


@given(st.text(st.characters(codec=None), max_size=30) | st.text("|`[]()<>&*_~\\!#$-= \na1:.@", max_size=12))
def test_markdown_shows_every_name_as_it_is(name: str) -> None:
    table = Table("t", ["task", f"x {name} y"], [[f"x {name} y", "1 [0.5, 0.7]"]])
    title, *cells = shown(table.markdown())
    assert title == "t"
    expected = [" ".join(f"x {printable(name)} y".split(" ")).strip()] * 2
    assert [cells[1], cells[2]] == expected
    assert (cells[0], cells[3]) == ("task", "1 [0.5, 0.7]")
    assert shown(f"AnnouncementLoad: {escaped(name)} .") == [f"AnnouncementLoad: {printable(name)} ."]


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


def test_numbers_stay_numbers_in_csv(raw: dict[str, Any], make_run: Callable[..., Path]) -> None:
    raw["rows"][0]["value"] = -1.5
    rows = list(csv.DictReader(io.StringIO(compare([make_run("-run", raw)], "csv"))))
    assert (rows[0]["value"], rows[0]["run"]) == ("-1.5", "'-run")
    assert [float(rows[0][end]) for end in ("low", "high")] == pytest.approx(
        [-1.5 - 1.96 * 0.3, -1.5 + 1.96 * 0.3], 1e-3
    )


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
