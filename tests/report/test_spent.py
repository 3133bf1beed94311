"""The curves over time and energy: the frozen model until the handshake is over, then every scored round."""

from __future__ import annotations

from typing import Any

from matplotlib.text import Text

from meshtune.report import spent
from meshtune.report.results_file import parse_results


def texts(figure: Any) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_text()]


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


def test_every_method_has_a_style_of_its_own(flown: dict[str, Any]) -> None:
    """Of many methods: the one that the run is about is widest, perfect routing is dashed, colours do not repeat."""
    names = ["lora", "hard_moe", "proposed", "local", "fpft", "shared_b"]
    point = flown["header"]["curves"]["lora"][0]
    flown["header"]["curves"] = {name: [point] for name in names} | {"proposed:top1": [point]}
    flown["header"]["methods"] |= {name: {} for name in names if name not in flown["header"]["methods"]}
    axis = spent.compose(parse_results(flown, "here")).axes[0]
    lines = {line.get_label().partition(":")[0]: line for line in axis.get_lines()}
    assert len(lines) == len(names)
    assert max(lines, key=lambda name: lines[name].get_linewidth()) == "proposed"
    assert len({line.get_color() for line in lines.values()}) == len(names)
    assert [name for name, line in lines.items() if line.get_linestyle() == "--"] == ["hard_moe (perfect router)"]


def test_without_the_frozen_model_or_a_clock_curves_begin_where_they_were_scored(flown: dict[str, Any]) -> None:
    flown["rows"] = [row for row in flown["rows"] if row["method"] != "frozen"]
    axis = spent.compose(parse_results(flown, "here")).axes[0]
    lines = {line.get_label().partition(":")[0]: line for line in axis.get_lines()}
    assert lines["proposed"].get_xdata().tolist() == [3.0, 9.0]


def test_accuracy_is_drawn_from_nothing_to_all(flown: dict[str, Any]) -> None:
    """Where some method gained twenty points, the curves are of accuracy."""
    for row in flown["rows"]:
        if row["metric"] == "acc":
            row["value"] = 0.2 if row["method"] == "frozen" else 0.9
    for points in flown["header"]["curves"].values():
        for point in points:
            point["acc"] = 0.9
    figure = spent.compose(parse_results(flown, "here"))
    assert figure.axes[0].get_ylim() == (0, 1)
    assert "Right answers after so much time" in texts(figure)
    assert {"proposed: 90%, 9.0 s", "proposed: 90%, 16 J"} <= set(texts(figure))
