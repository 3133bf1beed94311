"""Settings: units at the edge, every impossible value refused, and nothing heavy imported for them."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from meshtune.wireless.config import ComputeConfig, LossConfig, PlaceConfig, RadioConfig


def test_dbm_become_watts_here() -> None:
    config = RadioConfig(noise_dbm_hz=-170, power_dbm=20)
    assert config.noise_density == pytest.approx(1e-20, rel=1e-12, abs=0)
    assert config.p_max == pytest.approx(0.1, rel=1e-12, abs=0)


def test_planned_powers_leave_time_for_repetitions() -> None:
    assert RadioConfig().planned_gamma == 0.5
    # Sent 1 + 0.1 + 0.01 times on average, with at most two repetitions.
    loss = LossConfig(probability=0.1, retransmissions=2)
    assert RadioConfig(loss=loss).planned_gamma == pytest.approx(0.5 / 1.11, rel=1e-12, abs=0)
    assert RadioConfig(loss=LossConfig(margin=0.2)).planned_gamma == pytest.approx(0.4, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    "model, key",
    [
        (RadioConfig, "bandwidth"),
        (RadioConfig, "gamma"),
        (RadioConfig, "range"),
        (RadioConfig, "u_plan"),
        (PlaceConfig, "radius"),
        (ComputeConfig, "frequency"),
        (ComputeConfig, "epsilon"),
        (ComputeConfig, "c_max"),
        (ComputeConfig, "cycles_per_token"),
        (ComputeConfig, "flops_per_cycle"),
        (ComputeConfig, "spread"),
        (LossConfig, "packet"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_what_must_be_above_zero(model: type[BaseModel], key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        model.model_validate({key: value})


@pytest.mark.parametrize(
    "model, given, message",
    [
        (RadioConfig, {"noise_dbm_hz": -math.inf}, "noise_dbm_hz"),
        (RadioConfig, {"power_dbm": math.nan}, "power_dbm"),
        (RadioConfig, {"channel": "urbn"}, "there is no channel called urbn: did you mean urban?"),
        (RadioConfig, {"channel": "trace"}, "the channel trace needs a file of recorded gains: set radio.trace=FILE"),
        (RadioConfig, {"trace": "t.csv"}, "radio.trace=t.csv is not read by channel paper: set radio.channel=trace"),
        (RadioConfig, {"fading": "rician"}, "fading"),
        (RadioConfig, {"spectrum": "split"}, "spectrum"),
        (RadioConfig, {"cast": "multicast"}, "cast"),
        (RadioConfig, {"urban": {"carrier": 6e9}}, "carrier"),
        (RadioConfig, {"urban": {"carrier": 0.4e9}}, "carrier"),
        (RadioConfig, {"log_distance": {"exponent": 0}}, "exponent"),
        (RadioConfig, {"log_distance": {"shadowing_db": -1}}, "shadowing_db"),
        (RadioConfig, {"loss": {"probability": 1}}, "probability"),
        (RadioConfig, {"loss": {"margin": 1}}, "margin"),
        (RadioConfig, {"loss": {"retransmissions": -1}}, "retransmissions"),
        (RadioConfig, {"band": 1}, "Extra inputs are not permitted"),
        (PlaceConfig, {"positions": [[0, 0]], "file": "p.csv"}, "keep places.positions or places.file"),
        (PlaceConfig, {"positions": [[0, math.nan]]}, "positions"),
        (PlaceConfig, {"positions": [[0, 1, 2]]}, "positions"),
        (PlaceConfig, {"speed": [2, 1]}, r"places.speed=\[2, 1\]: the lowest speed comes first"),
        (PlaceConfig, {"speed": [0, 1]}, "speed"),
        (PlaceConfig, {"pause": -1}, "pause"),
        (PlaceConfig, {"mobility": "swarm"}, "mobility"),
        (ComputeConfig, {"c_max": 1e9}, "set compute.epsilon too"),
        (ComputeConfig, {"epsilon": 1, "cycles_per_token": 1}, "keep compute.cycles_per_token or compute.epsilon"),
        (ComputeConfig, {"kappa": -1e-28}, "kappa"),
    ],
)
def test_what_makes_no_sense(model: type[BaseModel], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model.model_validate(given)


def test_settings_import_nothing_heavy() -> None:
    code = "import sys, meshtune.wireless.config; print([m for m in ('numpy', 'torch', 'scipy') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_formulas_import_no_torch() -> None:
    code = (
        "import sys, meshtune.wireless.link_budget, meshtune.wireless.compute, meshtune.wireless.delivery, "
        "meshtune.wireless.mobility; print([m for m in ('torch', 'scipy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
