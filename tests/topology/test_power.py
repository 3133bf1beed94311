"""Power in ticks against its formula in floats."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.topology.power import FULL, NEVER, Scale
from radio_worlds import factor


def papers(u: int) -> float:
    """The paper's radio: 20 MHz, -174 dBm/Hz, 0.5 s, ten million bits."""
    return 10**-20.4 * 2e7 / u * (2 ** (1e7 * u / 2e7 / 0.5) - 1)


@settings(deadline=None)
@given(st.floats(1e-9, 10), st.lists(st.floats(1, 1e12), min_size=1, max_size=8), st.integers(1, 12))
def test_ticks_stand_for_watts(strongest: float, losses: list[float], u: int) -> None:
    scale = Scale(strongest, papers)
    ticks = scale.ticks(losses)
    for cost, loss in zip(ticks.tolist(), losses, strict=True):
        need = papers(u) * loss
        if cost < NEVER:
            unit = scale.watts(1, u)
            assert need * (1 - 1e-12) <= scale.watts(cost, u) <= need * (1 + 1e-12) + unit
            if cost <= scale.cap(strongest, u):
                assert need <= strongest * (1 + 1e-12)
            elif need < strongest * (1 - 1e-9):
                assert need + unit >= strongest * (1 - 1e-9)
        else:
            assert papers(1) * loss >= strongest


def test_caps_fall_with_neighbours_and_end_at_nothing() -> None:
    scale = Scale(0.01, papers)
    caps = [scale.cap(0.01, u) for u in range(1, 2000)]
    assert caps[0] == FULL
    assert caps == sorted(caps, reverse=True)
    assert caps[-1] == 0
    assert scale.watts(1, 1999) == float("inf")
    assert scale.watts(5, 0) == 0


def test_a_payload_too_large_for_any_power() -> None:
    scale = Scale(0.01, lambda u: 2.0 ** (5000 * u))
    assert scale.ticks([1.0]).tolist() == [NEVER]
    assert scale.cap(0.01, 1) == 0


def test_power_that_falls_with_neighbours_is_an_error() -> None:
    with pytest.raises(UserError, match=r"a device with 2 neighbours needs 0\.5 W per unit of loss, with one 1"):
        Scale(1.0, lambda u: 1 / u).cap(1.0, 2)


def test_ticks_by_hand() -> None:
    """The strongest has 64 W; one neighbour takes 1 W per unit of loss, two take 2 W for each."""
    scale = Scale(64.0, factor)
    third = 2 * FULL // 3 + 1  # 2^41 / 3 is no whole number: rounded up
    losses = [64, 32, 64 / 3 * 2, 1e-30, 64 * 1024, 1e300]
    assert scale.ticks(losses).tolist() == [FULL, FULL // 2, third, 1, NEVER, NEVER]
    caps = [scale.cap(watts, u) for watts, u in ((64, 1), (16, 1), (16, 2), (16, 3))]
    assert caps == [FULL, FULL // 4, FULL // 8, FULL // 12]
    assert [scale.watts(FULL // 4, u) for u in (0, 1, 2, 3)] == [0, 16, 32, 48]
    assert [scale.ratio(u) for u in (1, 2, 5)] == [1, 2, 8]


@pytest.mark.parametrize("power, said", [(0.0, "0"), (-1.0, "-1"), (float("inf"), "inf"), (float("nan"), "nan")])
def test_what_is_no_power_limit(power: float, said: str) -> None:
    with pytest.raises(UserError) as caught:
        Scale(power, factor)
    assert str(caught.value) == f"a power limit of {said} W is not positive: give a positive one"
