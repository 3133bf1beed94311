"""What the report tells of a run over the air: its table, map, curves and words."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from meshtune.report import spent
from meshtune.report.comparison import write_report
from meshtune.report.map import compose, draw
from meshtune.report.mapped import of_run
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


def test_curves_stay_at_the_frozen_model_for_the_handshake_and_pass_every_scored_round(
    raw: dict[str, Any], flown: dict[str, Any]
) -> None:
    assert spent.draw(parse_results(raw, "here")) is None
    figure = spent.compose(parse_results(flown, "here"))
    for axis, ours in zip(figure.axes, ([0, 1, 3, 9], [0, 0.5e-6, 8, 16]), strict=True):
        lines = {line.get_label().partition(":")[0]: line for line in axis.get_lines()}
        assert lines["proposed"].get_xdata().tolist() == ours
        assert lines["proposed"].get_ydata().tolist() == [5.0, 5.0, 3.5, 2.5]
        assert lines["lora (averaged)"].get_ydata().tolist() == [5.0, 5.0, 4.0]
        assert lines["proposed"].get_zorder() >= lines["lora (averaged)"].get_zorder()
    assert {"proposed: 2.50, 9.0 s", "proposed: 2.50, 16 J", "lora (averaged): 4.00, 7.0 s"} <= set(texts(figure))


def test_the_words_say_what_the_air_took_and_who_did_not_fit(raw: dict[str, Any], flown: dict[str, Any]) -> None:
    assert "Over the air" not in story(parse_results(raw, "here"), [])
    told = story(parse_results(flown, "here"), [])
    assert (
        "Over the air they formed 2 clusters, joined by 1 link; it took 9.0 s on the virtual clock and 16 J, 2 µJ of "
        "it for sending. LoRA's updates met a link in outage 3 times, proposed's never."
    ) in told


@pytest.mark.parametrize("radio", [False, True])
def test_the_page_shows_its_pictures(
    radio: bool, raw: dict[str, Any], flown: dict[str, Any], make_run: Callable[..., Path]
) -> None:
    run = make_run("run", flown if radio else raw, [])
    written = write_report(run)
    pictures = [file.name for file in written if file.suffix == ".png"]
    assert pictures == ["accuracy.png", *(["map.png", "time.png"] if radio else [])]
    assert sorted(file.name for file in run.glob("*.png")) == sorted(pictures)
    page = (run / "table.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in page for name in pictures)
    assert page.count("](") == len(pictures)


@pytest.mark.parametrize(
    ("joules", "text"),
    [(0, "0 J"), (2.8e-7, "280 nJ"), (1e-6, "1 µJ"), (0.0123, "12.3 mJ"), (25.04, "25 J"), (1234.0, "1.23 kJ")],
)
def test_energy_in_words(joules: float, text: str) -> None:
    assert joules_text(joules) == text
