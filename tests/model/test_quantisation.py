"""A base in 8 or 4 bits: adapters learn on top of it, and what reads frozen weights reads them in floats."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from meshtune.adapter.expert import LoraExpert, Projections, SparseExpert
from meshtune.adapter.layer import AdaptedLinear
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.learning_config import ModelConfig, TrainConfig
from meshtune.errors import UserError
from meshtune.model import quantisation as quantised
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.loading import load
from meshtune.model.packing import Packed
from meshtune.training.calibration import entropies, layer_inputs
from meshtune.training.trainer import Job, train

PROMPT = tuple(range(1, 40))
needed = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


@pytest.fixture(scope="module")
def plain() -> Base:
    return load(ModelConfig(device="cpu"))


def losses(base: Base, kind: str) -> list[float]:
    """Return the losses of eight steps of a sparse or a LoRA expert."""
    layers = base.adapters.layers
    draw = np.random.default_rng(0)
    masks = [np.sort(draw.choice(size, size // 10, replace=False)) for size in sizes(layers, 4)]
    sparse = SparseExpert(layers, Projections(Recipe(0, "orthogonal", 0, 4)), masks, 2.0)
    expert = sparse if kind == "sparse" else LoraExpert(layers, 4, 2.0)
    job = Job(expert, [[Row(PROMPT, 30), Row(PROMPT[:20], 15)]] * 8, 1e-2)
    train(base, [job], TrainConfig(rounds=1, steps=8, warmup=0))
    return job.losses


@needed
@pytest.mark.parametrize(("bits", "close"), [(8, 0.02), (4, 0.12)])
def test_adapters_learn_on_a_rounded_base_as_on_the_plain_one(bits: int, close: float, plain: Base) -> None:
    base = load(ModelConfig(device="cpu", bits=bits))
    assert base.packs
    for layer in base.adapters.layers:
        exact, found = plain.adapters.weight(layer), base.adapters.weight(layer)
        assert found.shape == exact.shape
        assert float((found - exact).norm() / exact.norm()) < close
    with torch.no_grad():
        exact, found = (b.read(Packed([PROMPT], b.device)) for b in (plain, base))
    assert float((found - exact).norm() / exact.norm()) < 4 * close
    spectra = (entropies(b, layer_inputs(b, [PROMPT], 32)) for b in (base, plain))
    for mine, theirs in zip(*spectra, strict=True):
        assert mine == pytest.approx(theirs, abs=2 * close)
    for kind in ("sparse", "lora"):
        mine, theirs = losses(base, kind), losses(plain, kind)
        assert mine[-1] / mine[0] == pytest.approx(theirs[-1] / theirs[0], abs=0.06)  # 0.024 and 0.030, by processor
        assert theirs[-1] < 0.95 * theirs[0]


@needed
@pytest.mark.parametrize("bits", [8, 4])
def test_a_rounded_layer_is_the_dense_product_with_what_it_holds(bits: int) -> None:
    base = load(ModelConfig(device="cpu", bits=bits))
    layer = base.adapters.layers[0]
    module = base.model.get_submodule(layer.name)
    assert isinstance(module, AdaptedLinear)
    weight, bias = base.adapters.weight(layer), module.base.held.bias
    x = torch.randn(2, 5, layer.inputs, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for _ in range(2):  # reading it once changes nothing
        with torch.no_grad():
            y = module(x)
        torch.testing.assert_close(y, torch.nn.functional.linear(x, weight.float(), bias).detach())
    (slope,) = torch.autograd.grad(module(x).square().sum(), x)
    torch.testing.assert_close(slope, 2 * y @ weight.float(), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_rounded_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.bits=8 needs a model in Hugging Face layout, tiny-random is not"):
        load(ModelConfig(name="tiny-random", bits=8))
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"model\.bits=4 needs bitsandbytes: pip install bitsandbytes"):
        load(ModelConfig(bits=4))
