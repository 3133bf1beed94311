"""The tables of a plan say what it holds."""

from __future__ import annotations

from five_devices import TREE, planned
from meshtune.config.run_config import validate
from meshtune.planning.planner import plan
from meshtune.report.plan_tables import tables


def test_tables_say_what_the_plan_holds() -> None:
    made = {table.title: table for table in tables(planned())}
    devices = made["Devices"]
    assert [row[0] for row in devices.rows] == ["0", "1", "2", "3", "4"]
    assert [row[3] for row in devices.rows] == ["2", "2", "2", "0", "0"]
    assert made["Clusters"].rows[0][1:3] == ["0, 1 and 2", "3"]
    assert [row[:2] for row in made["Links between clusters"].rows] == [["1", "3"], ["3", "1"]]
    why = {row[0]: row[1] for row in made["Who is not with whom"].rows}
    assert why["4"].startswith("device 4 is alone: no other device is within 100 m")
    assert why["0"].startswith("3 was refused")
    assert [row[1] for row in made["To be known"].rows] == list(planned().notes)
    (asked,) = tables(planned(), 4)
    assert asked.title == "Device 4"
    assert asked.rows[0][1] == planned().devices[4].reason


def test_of_many_the_first_are_shown() -> None:
    tree = {**TREE, "places": {"radius": 400.0}, "radio": {"range": 60.0}, "devices": {"count": 61}}
    made = {table.title: table for table in tables(plan(validate(tree, "the test")))}
    assert len(made["Devices"].rows) == 30
    assert made["Devices"].note.endswith("The first 30 of 61 devices.")
