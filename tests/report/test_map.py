"""What the map and the tables of a plan show; how the map looks is for eyes."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.collections import LineCollection, PathCollection
from matplotlib.image import imread
from matplotlib.text import Text

from five_devices import TREE, planned
from meshtune.config.config_file import validate
from meshtune.planning.planner import plan
from meshtune.report.map import compose, draw
from meshtune.report.mapped import of_plan


def texts(figure: Any) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_text()]


def segments(figure: Any, dashed: bool) -> list[list[tuple[float, float]]]:
    found = []
    for lines in figure.findobj(LineCollection):
        if (lines.get_linestyle()[0][1] is not None) == dashed:
            found += [sorted(map(tuple, segment.tolist())) for segment in lines.get_segments()]
    return found


def test_devices_clusters_links_refusals_and_a_scale() -> None:
    figure = compose(of_plan(planned()))
    shown = texts(figure)
    assert {"0", "1", "2", "3", "4"} <= set(shown)
    assert {"cluster 0: 3 devices", "2 devices in no cluster", "between clusters", "200 m"} <= set(shown)
    assert {"refused: range", "tiny-random, rank 4: 5 devices in 3 clusters"} <= {line.split("\n")[0] for line in shown}
    (points,) = (found for found in figure.findobj(PathCollection) if len(found.get_offsets()) == 5)
    assert points.get_offsets().tolist() == [[float(x), float(y)] for x, y in TREE["places"]["positions"]]
    solid, dashed = segments(figure, dashed=False), segments(figure, dashed=True)
    for pair in (((0, 0), (30, 0)), ((0, 0), (0, 40)), ((0, 40), (30, 0)), ((30, 0), (110, 0))):
        assert [tuple(map(float, end)) for end in pair] in solid
    assert [(110.0, 0.0), (900.0, 0.0)] in dashed


def test_lines_are_wider_where_more_could_be_carried() -> None:
    figure = compose(of_plan(planned()))
    lines = next(found for found in figure.findobj(LineCollection) if len(found.get_segments()) == 3)
    width = {tuple(map(tuple, s.tolist())): w for s, w in zip(lines.get_segments(), lines.get_linewidth(), strict=True)}
    by_length = sorted(width, key=lambda ends: (ends[0][0] - ends[1][0]) ** 2 + (ends[0][1] - ends[1][1]) ** 2)
    assert [width[ends] for ends in by_length] == sorted(width.values(), reverse=True)
    assert len(set(width.values())) == 3


def test_many_devices_have_no_ids_and_one_device_is_a_map_too() -> None:
    tree = {**TREE, "places": {}, "radio": {"range": 60.0}, "devices": {"count": 61}}
    assert not {"0", "1", "60"} & set(texts(compose(of_plan(plan(validate(tree, "the test"))))))
    lone = plan(validate({**tree, "devices": {"count": 1}}, "the test"))
    assert "1 device in no cluster" in texts(compose(of_plan(lone)))
    assert imread(io.BytesIO(draw(of_plan(lone)))).shape[1] == 990
