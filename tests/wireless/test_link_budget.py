"""One round over the air: which budget it is, and of which gains."""

from __future__ import annotations

import numpy as np
import pytest

from meshtune.errors import UserError
from meshtune.wireless.channel import open_channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link import Radio
from meshtune.wireless.link_budget import MOST_SHARED, in_range, link_gains, over_the_air
from meshtune.wireless.orthogonal_bands import LinkBudget, broadcast, unicast


def same(budget: LinkBudget, other: LinkBudget) -> None:
    for name in vars(budget):
        assert getattr(budget, name) == pytest.approx(getattr(other, name), rel=1e-9, abs=0), name


CONFIG = RadioConfig()
PLACES = np.array([[0, 0], [100, 0], [0, 400]], dtype=float)
ALL = np.array([(a, b) for a in range(3) for b in range(3) if a != b])


def test_a_round_over_the_air_is_the_budget_of_its_gains() -> None:
    sender, receiver = ALL.T
    channel = open_channel(CONFIG, 1)
    apart = np.hypot(*(PLACES[sender] - PLACES[receiver]).T)
    mean = over_the_air(CONFIG, channel, PLACES, sender, receiver, 4e7, None)
    same(mean, unicast(Radio.of(CONFIG), 4e7, sender, apart**-2.0, 3))
    now = over_the_air(CONFIG, channel, PLACES, sender, receiver, 4e7, 2)
    same(now, unicast(Radio.of(CONFIG), 4e7, sender, channel.gain(2, apart, sender, receiver), 3))
    one = CONFIG.model_copy(update={"cast": "broadcast"})
    same(
        over_the_air(one, channel, PLACES, sender, receiver, 4e7, None),
        broadcast(Radio.of(CONFIG), 4e7, sender, apart**-2.0, 3),
    )


@pytest.mark.parametrize("spectrum", ["orthogonal", "shared"])
@pytest.mark.parametrize("cast", ["unicast", "broadcast"])
def test_nothing_is_sent_beyond_the_range(spectrum: str, cast: str) -> None:
    config = RadioConfig.model_validate({"spectrum": spectrum, "cast": cast, "range": 150})
    found = over_the_air(config, open_channel(config, 1), PLACES, *ALL.T, 1e6, None)
    near = [a + b == 1 for a, b in ALL]
    assert found.served.tolist() == near
    assert found.u.tolist() == [1, 1, 0]


def test_a_shared_band_has_a_bound() -> None:
    config = RadioConfig(spectrum="shared")
    places = np.zeros((MOST_SHARED + 1, 2))
    none = np.zeros(0, dtype=int)
    with pytest.raises(UserError, match=r"2001 devices share one band, .* set radio\.spectrum=orthogonal"):
        over_the_air(config, open_channel(config, 1), places, none, none, 1.0, None)


def test_linked_devices_at_one_point() -> None:
    places = np.zeros((3, 2))
    with pytest.raises(UserError, match="devices 0 and 1 are 0 m apart"):
        over_the_air(CONFIG, open_channel(CONFIG, 1), places, *ALL.T, 1.0, None)


def test_a_link_as_long_as_the_range_is_within_it() -> None:
    sender, receiver = ALL.T
    for metres, near in ((100.0, 2), (99.999, 0), (400.0, 4), (412.0, 4), (412.4, 6), (None, 6)):
        assert in_range(RadioConfig(range=metres), PLACES, sender, receiver).sum() == near


def test_gains_are_those_of_the_round_or_their_mean() -> None:
    channel = open_channel(CONFIG, 1)
    a, b = np.array([0, 0]), np.array([1, 2])
    assert link_gains(channel, PLACES, a, b, None) == pytest.approx([1e-4, 1 / 16e4], rel=1e-12, abs=0)
    now = link_gains(channel, PLACES, a, b, 3)
    assert now == pytest.approx(channel.fading(3, a, b) * [1e-4, 1 / 16e4], rel=1e-12, abs=0)
