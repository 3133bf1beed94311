"""What the maps of a plan and of a run are made of."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.image import imread
from matplotlib.text import Text

from meshtune.report.map import compose, draw
from meshtune.report.mapped import of_run
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
