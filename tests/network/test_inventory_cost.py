"""What saying who holds what costs: windows by brute force, seconds and joules by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.config.config_file import validate
from meshtune.network.inventory_cost import inventory_cost, least_windows
from meshtune.network.site import Site, open_site
from meshtune.node.envelope import Envelope
from meshtune.wireless.link import Radio, total_power

RADIO = Radio(bandwidth=20e6, noise_density=4e-21, p_max=0.01, gamma=0.5)
PLACES = np.array([[0, 0], [30, 0], [0, 40]], dtype=float)
N0 = 10 ** (-174 / 10) / 1000


def sited(**radio: Any) -> Site:
    tree = {"tasks": ["boolq"], "devices": {"count": 3}, "places": {"positions": PLACES.tolist()}, "radio": radio}
    site = open_site(validate(tree, "the test"))
    assert site is not None
    return site


def letter(sender: int, receiver: int, count: int) -> Envelope:
    return Envelope(sender, receiver, sender, 1, bytes(count), {"control": count})


@given(st.floats(1e3, 5e9), st.integers(1, 5), st.floats(1, 1e9))
def test_no_smaller_number_of_windows_fits(bits: float, u: int, loss: float) -> None:
    count = least_windows(RADIO, bits, u, u * loss)
    assert total_power(RADIO, bits / count, u, u * loss) <= RADIO.p_max
    assert all(
        total_power(RADIO, bits / fewer, u, u * loss) > RADIO.p_max for fewer in range(max(1, count - 50), count)
    )


def test_messages_go_out_together_in_a_small_part_of_a_window() -> None:
    sent = [letter(0, 1, 100), letter(0, 2, 300), letter(2, 0, 50)]
    seconds, joules = inventory_cost(sited(), PLACES, sent)
    part = 0.5 / 32
    assert seconds == part
    # Device 0 splits its band in two and sends 300 bytes to either, 900 and 1600 of 1/h; device 2 has one neighbour.
    first = N0 * 20e6 / 2 * (2 ** (2400 * 2 / (20e6 * part)) - 1) * (900 + 1600)
    third = N0 * 20e6 * (2 ** (400 / (20e6 * part)) - 1) * 1600
    assert joules == pytest.approx(part * (first + third), rel=1e-9, abs=0)
    assert inventory_cost(sited(), PLACES, []) == (0, 0)


def test_what_power_does_not_carry_at_once_takes_more_windows_of_the_slowest() -> None:
    site = sited(bandwidth=1e4)
    long, short = letter(0, 1, 5000), letter(2, 0, 10)
    radio = replace(Radio.of(site.radio), gamma=0.5 / 32)
    count = next(n for n in range(1, 1000) if total_power(radio, 40000 / n, 1, 900) <= radio.p_max)
    assert count > 1
    seconds, joules = inventory_cost(site, PLACES, [long, short])
    assert seconds == pytest.approx(count * 0.5 / 32)
    assert joules == pytest.approx(
        sum(inventory_cost(site, PLACES, [one])[1] for one in (long, short)), rel=1e-12, abs=0
    )
    assert inventory_cost(site, PLACES, [short])[0] == 0.5 / 32
