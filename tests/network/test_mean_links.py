"""What links carry on mean gains: a flow by hand, over unicast and broadcast, with and without fading."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshtune.config.config_file import validate
from meshtune.network.geometry import Geometry, geometry_of
from meshtune.network.mean_links import flow, pair_flow
from meshtune.network.site import open_site

PLACES = [(0.0, 0.0), (30.0, 0.0), (0.0, 40.0), (4e4, 0.0)]
GRAPH = {0: (1, 2, 3), 1: (0,), 2: (), 3: (0,)}
PAIRS = [(0, 1), (0, 2), (0, 3), (1, 0), (3, 0)]
W, GAMMA, P_MAX = 20e6, 0.5, 0.01
N0 = 10 ** (-174 / 10) / 1000
BITS = 1.5e8  # 15 bit/s/Hz over the whole band for Gamma


def ground(**radio: Any) -> Geometry:
    tree = {"tasks": ["boolq"], "devices": {"count": 4}, "places": {"positions": PLACES}, "radio": radio}
    site = open_site(validate(tree, "the test"))
    assert site is not None
    return geometry_of(site)


def need(u: int, loss: float) -> float:
    """Watts of one link to one of u neighbours."""
    return N0 * W / u * (2 ** (BITS * u / (W * GAMMA)) - 1) * loss


def test_links_stand_in_the_order_of_the_graph_and_by_hand() -> None:
    found = flow(ground(), GRAPH, BITS)
    assert list(zip(found.sender.tolist(), found.receiver.tolist(), strict=True)) == PAIRS
    losses = np.array([900, 1600, 16e8, 900, 16e8])
    assert found.metres == pytest.approx(np.sqrt(losses))
    assert found.gain == pytest.approx(1 / losses, rel=1e-9, abs=0)
    assert need(1, 900) < P_MAX < need(2, 900)  # at 15 bit/s/Hz there is power for one neighbour, for two at 30 not
    served = [True, False, False, True, False]
    assert found.budget.served.tolist() == served
    assert found.pairs() == [pair for pair, fits in zip(PAIRS, served, strict=True) if fits]
    assert found.pairs(False) == [pair for pair, fits in zip(PAIRS, served, strict=True) if not fits]


@pytest.mark.parametrize("cast", ["unicast", "broadcast"])
def test_capacity_and_outage_are_those_of_a_links_share(cast: str) -> None:
    found = flow(ground(cast=cast), {0: (1, 2), 1: (0,)}, BITS / 3)
    assert found.budget.served.all()
    for at, (u, loss) in enumerate([(2, 900), (2, 1600), (1, 900)]):
        shares = 1 if cast == "broadcast" else u
        noise = N0 * W / shares
        assert found.capacity[at] == pytest.approx(W / shares * math.log2(1 + P_MAX / shares / loss / noise))
        least = noise * (2 ** (BITS / 3 * shares / (W * GAMMA)) - 1) * loss
        assert found.outage[at] == pytest.approx(-math.expm1(-least / P_MAX), rel=1e-9, abs=0)


def test_receivers_by_sender() -> None:
    found = pair_flow(ground(), [(2, 1), (0, 3), (2, 0), (1, 3)], 1e6)
    assert found.sender.tolist() == [2, 0, 2, 1]
    assert found.served(True) == {2: (0, 1), 0: (3,), 1: (3,)}
    assert found.served(False) == {}
    none = pair_flow(ground(), [(2, 1), (0, 3)], 1e12)
    assert none.served(False) == {2: (1,), 0: (3,)}
    empty = pair_flow(ground(), [], 1e6)
    assert (empty.pairs(), empty.gain.shape) == ([], (0,))


def test_without_fading_a_link_fails_always_or_never_and_a_recording_has_no_law(tmp_path: Path) -> None:
    assert flow(ground(fading="none"), GRAPH, 1e8).outage.tolist() == [0, 0, 1, 0, 1]
    file = tmp_path / "trace.csv"
    file.write_text("round,a,b,gain_db\n" + "".join(f"{at},0,1,-30\n{at},0,2,-40\n" for at in range(1, 21)))
    found = flow(ground(channel="trace", trace=str(file)), {0: (1, 2, 3)}, 1e6)
    assert found.gain == pytest.approx([1e-3, 1e-4, 0])
    assert np.isnan(found.outage).all()
    assert found.budget.served.tolist() == [True, True, False]
