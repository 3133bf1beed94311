"""The table of time and energy over the air, from a header as a run writes it."""

from __future__ import annotations

import copy
from typing import Any

from meshtune.report.air import air_table
from meshtune.report.results import parse_results
from meshtune.report.tables import cost_table


def test_a_run_over_the_air_shows_what_it_took(raw: dict[str, Any]) -> None:
    raw = copy.deepcopy(raw)
    assert not air_table(parse_results(raw, "here")).rows
    name = next(iter(raw["header"]["methods"]))
    rounds = {"sending": [0.5, 1.5], "computing": [0.0, 30.0], "outages": [0, 3], "lost": [0, 1], "late": [0, 0]}
    clock = {"seconds": 12.0, "joules": 32.0, "airtime": 3.5, "outages": 3, "per_round": {**rounds, "away": [0, 2]}}
    raw["header"]["methods"][name]["clock"] = clock
    (row,) = air_table(parse_results(raw, "here")).rows
    assert row == [name, "12 s", "2 J", "30 J", "3.5 s", "3", "1", "0", "2"]


def test_what_was_sent_again_has_a_column_only_where_there_is_any(raw: dict[str, Any]) -> None:
    raw = copy.deepcopy(raw)
    assert "repeated" not in cost_table({"run": parse_results(raw, "here")}).columns
    next(iter(raw["header"]["methods"].values()))["bytes"]["repeated"] = 1500
    table = cost_table({"run": parse_results(raw, "here")})
    assert table.columns[-1] == "repeated"
    assert table.rows[0][-1] == "1.50 kB"
