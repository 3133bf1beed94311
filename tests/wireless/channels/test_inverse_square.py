"""The paper's channel against its formula."""

from __future__ import annotations

import numpy as np
import pytest

from meshtune.errors import UserError
from meshtune.wireless.channel import open_channel
from meshtune.wireless.config import RadioConfig

A, B = np.array([0, 7, 3]), np.array([1, 2, 8])


def test_the_papers_gain() -> None:
    found = open_channel(RadioConfig(channel="paper"), 1).mean_gain(np.array([1.0, 10.0, 500.0]), A, B)
    assert found.tolist() == pytest.approx([1, 1e-2, 4e-6], rel=1e-12, abs=0)  # 54 dB at 500 m


def test_below_a_metre_it_is_as_the_formula_has_it_and_at_no_distance_there_is_none() -> None:
    channel = open_channel(RadioConfig(channel="paper"), 1)
    assert channel.mean_gain(np.array([0.1, 0.5, 2.0]), A, B).tolist() == pytest.approx(
        [100, 4, 0.25], rel=1e-12, abs=0
    )
    with pytest.raises(UserError, match=r"^devices 7 and 2 are 0 m apart: a link needs a distance above 0 m"):
        channel.mean_gain(np.array([0.1, 0.0, 2.0]), A, B)
