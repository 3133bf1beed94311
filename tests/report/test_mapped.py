"""What the maps of a plan and of a run are made of."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from five_devices import planned
from meshtune.report.map import Map, compose, draw
from meshtune.report.mapped import of_plan, of_run
from meshtune.report.results_file import parse_results


def texts(figure: Any) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_text()]


def test_the_map_of_a_run_has_its_devices_tasks_clusters_and_links(raw: dict[str, Any], flown: dict[str, Any]) -> None:
    assert of_run(parse_results(raw, "here")) is None
    shown = of_run(parse_results(flown, "here"))
    assert shown is not None
    assert list(shown.tasks) == ["boolq", "piqa", "piqa"]
    written = texts(compose(shown))
    assert {"0", "1", "2", "boolq", "cluster 0: 2 devices", "1 device in no cluster"} <= set(written)
    assert {"could carry 2 Mbit/s", "between clusters", "refused: collision"} <= set(written)
    assert any("masks collide in up to 8% of positions" in text for text in written)
    assert "at the start" not in shown.title
    moving = {**flown, "header": {**flown["header"], "config": {"places": {"mobility": "waypoint"}}}}
    later = of_run(parse_results(moving, "here"))
    assert later is not None
    assert later.title.startswith("3 devices in 2 clusters over the air, at the start")
    assert imread(io.BytesIO(draw(shown))).shape[1] == 990


def test_a_pair_of_which_one_end_is_served_is_a_link_and_one_of_none_fails() -> None:
    """Devices 0, 1 and 2 are a cluster; all links within it lie there in both directions."""
    whole = planned()

    def changed(unserved: set[tuple[int, int]]) -> Map:
        links = tuple(replace(one, served=(one.sender, one.receiver) not in unserved) for one in whole.links)
        return of_plan(replace(whole, links=links))

    pairs = {(0, 1), (0, 2), (1, 2)}
    assert {(a, b) for a, b, _ in changed(set()).within} == pairs
    assert changed(set()).failing == []
    for half in ({(0, 1)}, {(1, 0)}):
        shown = changed(half)
        assert {(a, b) for a, b, _ in shown.within} == pairs
        assert shown.failing == []
    shown = changed({(0, 1), (1, 0)})
    assert {(a, b) for a, b, _ in shown.within} == pairs - {(0, 1)}
    assert shown.failing == [(0, 1)]


def test_the_map_of_a_plan_has_every_link_between_clusters_once_and_the_nearest_refusals() -> None:
    shown = of_plan(planned())
    assert shown.between == [(1, 3)]
    assert [tuple(one) for one in shown.clusters] == [(0, 1, 2), (3,), (4,)]
    assert list(shown.positions) == [(0, 0), (30, 0), (0, 40), (110, 0), (900, 0)]
    nearest = {device: other for device, other, _ in shown.refused}
    assert nearest == {0: 3, 1: 3, 2: 3, 3: 1, 4: 3}
    assert shown.title.startswith("tiny-random, rank 4: 5 devices in 3 clusters\nan update of ")


@pytest.mark.parametrize(
    ("rates", "text"), [([0.0, 0.0], "0%"), ([0.0, 0.123], "12%"), ([0.5, 0.031], "50%"), ([0.998, 1.0], "100%")]
)
def test_how_often_masks_collide_where_they_do_most(rates: list[float], text: str, flown: dict[str, Any]) -> None:
    flown["header"]["network"]["collision_measured"] = rates
    shown = of_run(parse_results(flown, "here"))
    assert shown is not None
    assert shown.title == (
        f"3 devices in 2 clusters over the air\nan update of 120 B; masks collide in up to {text} of positions"
    )
    assert (shown.within, shown.between, shown.failing) == ([(0, 1, 2e6)], [(0, 2)], ())
