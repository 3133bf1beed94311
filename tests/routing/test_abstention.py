"""What is left to the frozen model: distances by dense algebra, the limit's promise by enumeration, shares by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from clouds import K, clouds, exact
from meshtune.errors import UserError
from meshtune.routing.abstention import Abstention, distances, find_limits
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.routers import make_router
from meshtune.routing.statistics import Statistics, summarise


def on_a_line(limits: tuple[float, float] | None, mean: float = 0.0) -> Statistics:
    """Two prompts at ``mean`` plus and minus 1: the distance of x is (x - mean)^2."""
    made = summarise(np.array([[mean - 1], [mean + 1]]))
    return replace(made, limits=None if limits is None else np.array(limits))


def points(*values: float) -> Features:
    return Features(np.array(values)[:, None])


@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
def test_the_distance_is_mahalanobis_under_the_shrunk_covariance(shrinkage: float) -> None:
    x = clouds(1)["t0"]
    query = clouds(2, seed=5)["t1"]
    s = np.cov(x, rowvar=False, bias=True)
    inverse = np.linalg.inv((1 - shrinkage) * s + shrinkage * np.diag(np.diag(s)))
    offsets = query - x.mean(axis=0)
    found = distances(summarise(x, K), query, shrinkage)
    np.testing.assert_allclose(found, np.einsum("ni,ij,nj->n", offsets, inverse, offsets), rtol=1e-6)


def test_limits_by_hand() -> None:
    """Distances 1, 4, ..., 361 of 19 prompts: at 5% the limit is the largest, at 50% the tenth."""
    held = np.arange(1.0, 20.0)[:, None]
    source = on_a_line(None)
    for refusals, expected in ((0.05, [100, 361]), (0.5, [30.5, 100])):
        np.testing.assert_allclose(find_limits(source, held, 0.5, refusals), expected)  # type: ignore[arg-type]
    assert find_limits(source, held[:18], 0.5, 0.05) is None
    assert find_limits(source, held[:0], 0.5, 0.05) is None


@pytest.mark.parametrize("refusals", [0.2, 0.3, 0.5])
def test_of_all_orders_of_the_prompts_the_promised_share_is_refused(refusals: float) -> None:
    """Any of 6 prompts may be the new one. The limit is as tight as 5 prompts allow."""
    values = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
    refused = []
    for *held, new in permutations(values):
        limits = find_limits(on_a_line(None), np.array(held)[:, None], 0.5, refusals)
        assert limits is not None
        (known,) = Abstention([on_a_line((limits[0], limits[1]))]).known(points(new))
        refused.append(known == 0)
    share = Fraction(sum(refused), len(refused))
    assert share <= Fraction(str(refusals)) < share + Fraction(1, 6)


def test_a_prompt_is_known_within_the_limit_of_any_device() -> None:
    """Devices at 0 and 10 with radii 2 and 3."""
    devices = [on_a_line((1.0, 4.0)), on_a_line((1.0, 9.0), 10.0)]
    x = points(-2.1, -2.0, 0.0, 2.1, 6.9, 7.0, 13.0, 13.1)
    np.testing.assert_array_equal(Abstention(devices).known(x), [0, 1, 1, 0, 0, 1, 1, 0])
    np.testing.assert_array_equal(Abstention([*devices, on_a_line(None, 99.0)]).known(x), np.ones(8))


def test_the_share_falls_through_a_half_as_far_beyond_the_limit_as_the_median_is_within() -> None:
    """Distances 1, 4, 7, 10 and a million, where the median is 1 and the limit 4."""
    found = Abstention([on_a_line((1.0, 4.0))], soft=True).known(points(1.0, 2.0, np.sqrt(7), np.sqrt(10), 1000.0))
    odds = np.exp([-8.0, -4.0, 0.0, 4.0])
    np.testing.assert_allclose(found, [*(1 / (1 + odds)), 0.0], atol=1e-12)


def test_distances_without_any_spread_are_all_or_nothing() -> None:
    found = Abstention([on_a_line((4.0, 4.0))], soft=True).known(points(1.9, 2.0, 2.1))
    np.testing.assert_allclose(found, [1, 1 / (1 + np.exp(-4)), 0], atol=1e-9)


def test_a_router_abstains_where_it_is_told_to_and_its_devices_announced_limits() -> None:
    plain = exact(clouds())
    told = {g: [replace(s, limits=np.array([10.0, 30.0])) for s in found] for g, found in plain.items()}
    assert make_router("whitened", told).abstention is None
    for name in ("hard", "share"):
        settings = RouterConfig(abstain=name)  # type: ignore[arg-type]
        assert make_router("whitened", told, settings).abstention is not None
        assert make_router("arrow", told, settings).abstention is None
        with pytest.raises(UserError, match=rf"router\.abstain={name} needs limits, .* announced none"):
            make_router("top1", plain, settings)


def test_limits_survive_the_air_and_impossible_ones_are_refused() -> None:
    made = replace(summarise(np.eye(3)), limits=np.array([1.5, 2.5]))
    tensors = made.to_tensors()
    back = Statistics.from_tensors(tensors, 3)
    assert back.limits is not None
    np.testing.assert_array_equal(back.limits, [1.5, 2.5])
    for limits, why in (
        ([2.0, 1.0], "above the limit"), ([-1.0, 1.0], "below 0"), ([1.0], "do not fit"), ([np.nan, 1], "not finite"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=why):
            Statistics.from_tensors({**tensors, "limits": np.array(limits, dtype=np.float32)}, 3)
