"""What experts add to frozen layers, against the layers themselves and against the formula, entry by entry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import meshtune
from meshtune.adapter.expert import LoraExpert, SparseExpert
from meshtune.adapter.projection import projection
from meshtune.adapter.route import Segments
from meshtune.config.config_file import validate
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run

METHODS = ["bank", "lora", "local", "paper", "fpft"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> meshtune.Run:
    """Six devices on a ring, so that some hold experts that others do not."""
    settings = {
        **whole_settings,
        "devices": {"per_task": 2},
        "graph": {"kind": "ring", "relay": False},
        "methods": METHODS,
        "train": {"rounds": 1, "steps": 2, "batch": 2, "warmup": 0},
        "eval": {"questions": 1},
    }
    return meshtune.open_run(run(validate(settings, "test"), tmp_path_factory.mktemp("runs") / "ring", Silent()))


def added(device: meshtune.Device, expert: Any, number: int, x: torch.Tensor) -> torch.Tensor:
    """Return the adapted layer's output minus the frozen layer's."""
    adapters = device._base.adapters
    layer = adapters._modules[number]
    with torch.no_grad():
        frozen = layer(x.clone())
        with adapters.routed(Segments([(expert, 1)])):
            return layer(x.clone()) - frozen


@pytest.mark.parametrize("method", ["bank", "lora", "local", "paper"])
def test_an_update_is_what_the_adapted_layer_adds(finished: meshtune.Run, method: str) -> None:
    device = finished.device(0, method)
    changed = 0
    for held in device.experts():
        for number, (update, spec) in enumerate(zip(held.layers, device._base.adapters.layers, strict=True)):
            matrix = update.dense()
            assert (update.layer, update.shape, tuple(matrix.shape)) == (
                spec.name,
                (spec.outputs, spec.inputs),
                update.shape,
            )
            x = torch.randn(1, 5, spec.inputs, generator=torch.Generator().manual_seed(number))
            expected = added(device, update._expert, number, x)
            torch.testing.assert_close(x @ matrix.T, expected, rtol=1e-3, atol=1e-6)
            b, a = update.factors()
            torch.testing.assert_close(b @ a, matrix)
            changed += bool(matrix.abs().max() > 1e-6)
    assert changed > 5


def test_a_sparse_update_is_alpha_over_r_times_the_masked_b_times_a(finished: meshtune.Run) -> None:
    device = finished.device(0)
    adapter = finished.config.adapter
    for held in device.experts():
        expert = held.layers[0]._expert
        assert isinstance(expert, SparseExpert)
        start = 0
        for update, mask, spec in zip(held.layers, expert.masks, expert.layers, strict=True):
            b = np.zeros((spec.outputs, adapter.rank))
            for position in mask.tolist():
                b[divmod(position, adapter.rank)] = float(expert.values[start])
                start += 1
            a = projection(expert.projections.recipe, spec.site, spec.inputs)
            np.testing.assert_allclose(
                update.dense().numpy(), adapter.alpha / adapter.rank * b @ a, rtol=1e-4, atol=1e-8
            )
            given = update.factors()
            assert given is not None
            assert set(zip(*np.nonzero(given[0].numpy()), strict=True)) <= set(zip(*np.nonzero(b), strict=True))
        assert start == expert.count


def test_who_trained_what_is_said(finished: meshtune.Run) -> None:
    """On the ring device 0 hears 1 and 5 only; tasks by device: boolq, arc_easy, piqa, boolq, arc_easy, piqa."""

    def held(method: str) -> set[tuple[str, tuple[int, ...]]]:
        return {(expert.task, expert.devices) for expert in finished.device(0, method).experts()}

    assert held("bank") == {("boolq", (0,)), ("arc_easy", (1,)), ("piqa", (5,))}
    assert held("lora") == {("every task", (0, 1, 5))}
    assert held("local") == held("paper") == {("boolq", (0,))}
    assert held("frozen") == set()
    (lora,) = finished.device(0, "lora").experts()
    assert isinstance(lora.layers[0]._expert, LoraExpert)


def test_an_update_of_all_weights_is_their_difference(finished: meshtune.Run) -> None:
    device = finished.device(0, "fpft")
    (held,) = device.experts()
    weights = dict(device._base.model.named_parameters())
    flat, at = held.layers[0]._expert.values, {}
    start = 0
    for name, parameter in weights.items():
        at[name] = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    update = held.layers[0]
    name = f"{update.layer}.base.weight"
    before = weights[name].clone()
    torch.testing.assert_close(update.dense(), at[name] - before, rtol=0, atol=1e-6)
    assert update.dense().abs().max() > 0
    assert torch.equal(weights[name], before)
    assert update.factors() is None
