"""What the report tells of a run over the air: its table, map, curves and words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from matplotlib.text import Text

from meshtune.report.radio_costs import air_table
from meshtune.report.result_tables import cost_table, joules_text
from meshtune.report.results_file import parse_results
from meshtune.report.story import story


def texts(figure: Any) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_text()]


def test_a_run_over_the_air_shows_what_it_took(raw: dict[str, Any], flown: dict[str, Any]) -> None:
    assert not air_table(parse_results(raw, "here")).rows
    ours, theirs = air_table(parse_results(flown, "here")).rows
    assert ours == ["proposed", "9.0 s", "2 µJ", "16 J", "3.5 s", "0", "1", "0", "2"]
    assert theirs[5] == "3"


def test_what_was_sent_again_has_a_column_only_where_there_is_any(raw: dict[str, Any]) -> None:
    raw = copy.deepcopy(raw)
    assert "repeated" not in cost_table({"run": parse_results(raw, "here")}).columns
    next(iter(raw["header"]["methods"].values()))["bytes"]["repeated"] = 1500
    table = cost_table({"run": parse_results(raw, "here")})
    assert table.columns[-1] == "repeated"
    assert table.rows[0][-1] == "1.50 kB"


def test_the_words_say_what_the_air_took_and_who_did_not_fit(raw: dict[str, Any], flown: dict[str, Any]) -> None:
    assert "Over the air" not in story(parse_results(raw, "here"), [])
    told = story(parse_results(flown, "here"), [])
    assert (
        "Over the air they formed 2 clusters, joined by 1 link; it took 9.0 s on the virtual clock and 16 J, 2 µJ of "
        "it for sending. LoRA's updates met a link in outage 3 times, proposed's never."
    ) in told


@pytest.mark.parametrize(
    ("joules", "text"),
    [(0, "0 J"), (2.8e-7, "280 nJ"), (1e-6, "1 µJ"), (0.0123, "12.3 mJ"), (25.04, "25 J"), (1234.0, "1.23 kJ")],
)
def test_energy_in_words(joules: float, text: str) -> None:
    assert joules_text(joules) == text
