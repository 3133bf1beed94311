"""The tables of a plan say what it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from five_devices import TREE, planned
from meshtune.config.config_file import validate
from meshtune.planning.plan_record import Limit, Plan
from meshtune.planning.planner import plan
from meshtune.report.plan_tables import percent, tables
from meshtune.topology.phrases import watts


def test_tables_say_what_the_plan_holds() -> None:
    made = {table.title: table for table in tables(planned())}
    devices = made["Devices"]
    assert [row[0] for row in devices.rows] == ["0", "1", "2", "3", "4"]
    assert [row[3] for row in devices.rows] == ["2", "2", "2", "0", "0"]
    assert made["Clusters"].rows[0][1:3] == ["0, 1 and 2", "3"]
    assert [row[:2] for row in made["Links between clusters"].rows] == [["1", "3"], ["3", "1"]]
    why = {row[0]: row[1] for row in made["Why devices are not in one cluster"].rows}
    assert why["4"].startswith("device 4 is alone: no other device is within 100 m")
    assert why["0"].startswith("3 was refused")
    assert [row[1] for row in made["Notes"].rows] == list(planned().notes)
    (asked,) = tables(planned(), 4)
    assert asked.title == "Device 4"
    assert asked.rows[0][1] == planned().devices[4].reason


def test_of_many_the_first_are_shown() -> None:
    tree = {**TREE, "places": {"radius": 400.0}, "radio": {"range": 60.0}, "devices": {"count": 61}}
    made = {table.title: table for table in tables(plan(validate(tree, "the test")))}
    assert len(made["Devices"].rows) == 30
    assert made["Devices"].note.endswith("The first 30 of 61 devices.")


def rows(title: str, whole: Plan) -> list[list[str]]:
    (table,) = (table for table in tables(whole) if table.title == title)
    return table.rows


METHODS, LIMITS = "Methods on these links, all devices together", "How much a device may train"


def test_what_is_not_there_is_a_dash_and_not_a_nought() -> None:
    whole = planned()
    row = rows("Devices", whole)[4]
    assert row[:6] == ["4", "boolq", "2", "0", "-", watts(whole.devices[4].headroom)]
    assert row[6:10] == ["-", "-", "-", "-"]
    assert rows("Clusters", whole)[2][1:] == ["4", "1", "0", "-", "-"]
    silent = replace(whole.methods[0], update=0, seconds=None, run=dict.fromkeys(whole.methods[0].run, 0))
    row = rows(METHODS, replace(whole, methods=(silent,)))[0]
    assert row[2:] == ["-"] * 8


def test_a_bound_says_how_much_and_whether_it_is_kept() -> None:
    none, tight = Limit("compute", None, None, True, "no time is set"), Limit("link", 1234.4, 0.01234, False, "10 s")
    planned_, first, second = rows(LIMITS, replace(planned(), limits=(none, tight), values=2000, density=0.02))
    assert planned_[:4] == ["planned", "2,000", "0.02", ""]
    assert first == ["compute", "no bound", "-", "yes", "no time is set"]
    assert second == ["link", "1,234", "0.0123", "no", "10 s"]


def test_who_is_not_served_is_counted_among_the_neighbours() -> None:
    whole = planned()
    first = replace(whole.devices[0], neighbours=(1,), unserved=(2,))
    assert rows("Devices", replace(whole, devices=(first, *whole.devices[1:])))[0][3] == "1 of 2"


def test_updates_cross_a_link_one_after_another() -> None:
    whole = planned()
    link = next(one for one in whole.links if one.between)
    crossed = replace(link, metres=80.4, rate=2.5e6, outage=0.0123, updates=3, delay=0.25, power=0.02)
    row = rows("Links between clusters", replace(whole, links=(crossed,)))
    assert row == [["1", "3", "80 m", "20 mW", "2.5 Mbit/s", "1.2%", "3", "0.75 s"]]
    none = replace(crossed, power=0.0, rate=0.0, outage=None, delay=None)
    assert rows("Links between clusters", replace(whole, links=(none,)))[0][3:] == ["-", "0.0 Mbit/s", "-", "3", "-"]


def test_the_summary_adds_up() -> None:
    whole = replace(
        planned(), weights=12345, round_seconds=100.0, run_seconds=9000.0, run_energy=50.0, run_compute_energy=20.0,
        rounds=90, exchanges=4, gamma=2.0, planned_gamma=1.5, parts=(4, 1),
    )  # fmt: skip
    found = {row[0]: row[1] for row in rows("The plan", whole)}
    assert found["model"].startswith("tiny-random: 12,345 weights, ")
    assert found["radio"].endswith("Gamma 2 s, planned with 1.5 s")
    assert found["clusters"].startswith("3 of 1 to 3 devices, 5 in all; ")
    assert found["parts"] == "2 parts"
    assert found["rounds"] == "90 of 1.7 min, 2.5 h in all, 4 with an exchange between clusters"
    assert found["energy, all devices"] == "50 J, 30 J of it for sending"
    quiet = replace(whole, run_compute_energy=50.0, planned_gamma=2.0, parts=(5,), links=())
    found = {row[0]: row[1] for row in rows("The plan", quiet)}
    assert found["energy, all devices"] == "50 J, nothing of it for sending"
    assert found["rounds"].endswith("hop by hop")
    assert found["radio"].endswith("Gamma 2 s")
    assert found["parts"] == "all devices are connected"


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "-"), (0.0, "0"), (1e-6, "0.0001%"), (0.0123, "1.2%"), (0.5, "50%"), (0.996, "100%"), (1.0, "100%")],
)
def test_probabilities_for_people(share: float | None, text: str) -> None:
    assert percent(share) == text
