"""The virtual clock against sums by hand: compute, the end of a round, totals, and curves."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.methods.registry import get_method
from meshtune.model.encoding import Row
from meshtune.network.virtual_clock import Pace, RoundCost, elapsed, joules, pack, summary, unpack


class Rows:
    """A device whose rows all have as many tokens as the step's number says, plus its own."""

    def __init__(self, more: int) -> None:
        self._more = more

    def batch(self, step: int, size: int) -> list[Row]:
        return [Row((0,) * (step + 1 + self._more), 1)] * size


def config(**more: Any) -> RunConfig:
    tree = {"tasks": ["boolq", "piqa"], "radio": {}, "train": {"rounds": 2, "steps": 2, "batch": 3}, **more}
    return validate(tree, "test")


def pace(**more: Any) -> Pace:
    devices: Any = [Rows(0), Rows(10)]
    return Pace(config(**more), 1000, devices)


def test_tokens_are_those_of_the_rows_that_each_round_trains() -> None:
    assert pace().tokens.tolist() == [[3 * (1 + 2), 3 * (11 + 12)], [3 * (3 + 4), 3 * (13 + 14)]]


def test_seconds_and_joules_are_cycles_over_and_times_the_frequency() -> None:
    one = pace(compute={"cycles_per_token": 5e6, "frequency": 1e9, "kappa": 1e-28})
    method = get_method("bank")
    np.testing.assert_allclose(one.seconds(method, 7), one.tokens * 5e-3)
    np.testing.assert_allclose(one.energy(method, 7), one.tokens * 5e6 * 1e-28 * 1e18)
    assert one.ends(method, 7, 1) == pytest.approx(81 * 5e-3 + 1.5 * 0.5)
    assert one.ends(method, 7, 3) == pytest.approx(81 * 5e-3 + 3.5 * 0.5)


def test_by_equation_7_values_and_rows_count_instead_of_tokens() -> None:
    one = pace(compute={"epsilon": 100.0, "frequency": 1e6})
    np.testing.assert_allclose(one.seconds(get_method("lora"), 50), np.full((2, 2), 100 * 50 * (2 * 3) / 3 / 1e6))


def test_one_device_does_the_work_of_a_method_that_pools_all_rows() -> None:
    one = pace(compute={"cycles_per_token": 5e6, "frequency": 1e9})
    found = one.seconds(get_method("central"), 7)
    np.testing.assert_allclose(found, [[78 * 5e-3, 0.0], [102 * 5e-3, 0.0]])


def test_a_round_may_have_its_end_given_but_not_before_anybody_can_be_done() -> None:
    slow = {"cycles_per_token": 5e6, "frequency": 1e9}
    assert pace(compute=slow, round_seconds=3.0).ends(get_method("bank"), 7, 1) == 3.0
    with pytest.raises(UserError, match=r"before the fastest device has computed \(0\.105 s\).*at least 0\.605"):
        pace(compute=slow, round_seconds=0.6)


def test_totals_are_sums_and_survive_a_checkpoint() -> None:
    clock = [RoundCost(1.0, 2.0, 0.0, 0.5), RoundCost(3.0, 0.5, 4.0, 0.25, outages=2, away=1)]
    assert (elapsed(clock), joules(clock)) == (4.0, 6.5)
    found = summary(clock)
    assert (found["seconds"], found["joules"], found["airtime"], found["outages"]) == (4.0, 6.5, 0.75, 2)
    assert found["per_round"]["seconds"] == [1.0, 3.0]
    assert found["per_round"]["away"] == [0, 1]
    assert unpack(json.loads(json.dumps(pack({"lora": clock})))) == {"lora": clock}
