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
