"""Every channel: reciprocal, seeded, independent of other links; its fading and shadowing have their laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from channels import DISTANCE, A, B, opened
from meshtune.errors import UserError
from meshtune.wireless.channel import shadowing
from meshtune.wireless.registry import CHANNELS


@pytest.mark.parametrize("name", CHANNELS)
def test_both_ends_see_the_same_whatever_is_asked_for_beside(name: str, trace: Path) -> None:
    channel = opened(name, trace)
    mean, now = channel.mean_gain(DISTANCE, A, B), channel.gain(2, DISTANCE, A, B)
    assert (mean > 0).all()
    assert (channel.mean_gain(DISTANCE, B, A) == mean).all()
    assert (channel.gain(2, DISTANCE, B, A) == now).all()
    some = np.array([700, 3, 41])
    assert (channel.gain(2, DISTANCE[some], A[some], B[some]) == now[some]).all()
    assert (opened(name, trace).gain(2, DISTANCE, A, B) == now).all()
    assert (now == channel.fading(2, A, B) * mean).all()
    assert not (channel.gain(3, DISTANCE, A, B) == now).all()
    still = opened(name, trace, fading="none")
    assert (still.gain(2, DISTANCE, A, B) == mean).all()


@pytest.mark.parametrize("name", [name for name in CHANNELS if name != "trace"])
def test_models_follow_the_seed_and_refuse_no_distance(name: str, trace: Path) -> None:
    channel = opened(name, trace)
    assert not np.isin(channel.fading(1, A, B), opened(name, trace, seed=2).fading(1, A, B)).any()
    for wrong, said in ((0.0, "0 m"), (-1.0, "-1 m"), (np.nan, "nan m")):
        distance = DISTANCE.copy()
        distance[5] = wrong
        with pytest.raises(UserError, match=f"devices {A[5]} and {B[5]} are {said} apart: a link needs a distance"):
            channel.mean_gain(distance, A, B)
    channel.check_rounds(10**6)


def test_rayleigh_fading_is_exponential_with_mean_one(trace: Path) -> None:
    channel = opened("paper", trace)
    rho = np.concatenate([channel.fading(at, A, B) for at in range(1, 21)])
    assert stats.kstest(rho, "expon").pvalue > 0.001
    assert (rho > 0).all()


def test_shadowing_is_log_normal_and_fixed_for_a_pair() -> None:
    shadow = shadowing(1, 8, A, B)
    assert stats.kstest(shadow / 8, "norm").pvalue > 0.001
    assert (shadowing(1, 8, B, A) == shadow).all()
    assert not np.isin(shadowing(2, 8, A, B), shadow).any()
    assert shadowing(1, 0, A, B).tolist() == [0] * len(A)
