"""What a method adds to the forecast, worked out by hand from the number of scalars that it trains."""

from __future__ import annotations

from typing import Any

import pytest

from meshtune.adapter.sites import sizes
from meshtune.config.run_config import validate
from meshtune.data.partition import deal
from meshtune.methods.registry import get_method
from meshtune.model.loading import load
from meshtune.training.process_memory import DENSE, POSITION, SCALAR, SENT, foresee


def test_the_state_of_every_kind_of_method_is_counted(settings: dict[str, Any]) -> None:
    config = validate({**settings, "model": {"name": "tiny-random"}}, "test")
    base = load(config.model)
    devices = deal(config, base.tokenizer)
    layers, rank = base.adapters.layers, config.adapter.rank
    every = sum(sizes(layers, rank))
    dense = rank * sum(layer.inputs + layer.outputs for layer in layers)
    sparse = 0.1 * every

    def state(*names: str) -> float:
        return foresee(base, config, [get_method(name) for name in names], devices).state / len(devices)

    assert state("lora") == pytest.approx(SCALAR * dense, rel=1e-3)
    assert state("proposed") == pytest.approx((SCALAR + POSITION) * sparse, rel=1e-3)
    assert state("proposed", "paper") == pytest.approx((2 * SCALAR + POSITION) * sparse, rel=1e-3)
    assert state("ffa") == pytest.approx((SCALAR + POSITION) * every, rel=1e-3)
    assert state("lori") == pytest.approx((DENSE + POSITION) * every, rel=1e-3)
    assert state("fpft") == pytest.approx((SENT + 4 / len(devices)) * base.parameters, rel=1e-3)
