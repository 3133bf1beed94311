"""The quicker product of frozen float32 weights is the plain one, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from meshtune.config.learning_config import ModelConfig
from meshtune.decoding.scoring import row_losses
from meshtune.errors import UserError
from meshtune.model import frozen_products as products
from meshtune.model.encoding import Row
from meshtune.model.loading import load

needed = pytest.mark.skipif(not products.available(), reason="this torch has no oneDNN product")


@needed
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, products.FEWEST, 200])
def test_it_is_the_plain_product(rows: int, bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST", 1)
    torch.manual_seed(rows)
    plain = nn.Linear(48, 80, bias=bias)
    exact = nn.Linear(48, 80, bias=bias, dtype=torch.float64)
    exact.load_state_dict(plain.state_dict())
    plain.requires_grad_(False)
    assert products.quicken_products(nn.Sequential(plain)) == 1
    x = torch.randn(1, rows, 48, requires_grad=True)
    wide = x.detach().double().requires_grad_()
    y, expected = plain(x), exact(wide)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(y)
    (found,) = torch.autograd.grad((y * weights).sum(), x)
    (slope,) = torch.autograd.grad((expected * weights).sum(), wide)
    torch.testing.assert_close(found.double(), slope, rtol=1e-5, atol=1e-5)


@needed
def test_small_products_and_small_weights_are_left_to_torch() -> None:
    weight = torch.empty(512, 512)
    assert products.quick(torch.empty(1, products.FEWEST, 512), weight)
    assert not products.quick(torch.empty(1, products.FEWEST - 1, 512), weight)
    assert not products.quick(torch.empty(1, 1000, 512), torch.empty(511, 512))


def test_what_it_is_not_for_stays_as_it_is() -> None:
    double = nn.Linear(8, 8, dtype=torch.float64)
    assert products.quicken_products(double) == 0
    trained = nn.Linear(8, 8)
    products.quicken_products(trained)  # its weight still learns
    trained(torch.randn(100, 8)).sum().backward()
    assert trained.weight.grad is not None


def test_without_the_operator_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "available", lambda: False)
    module = nn.Linear(8, 8)
    assert products.quicken_products(module) == 0
    x = torch.randn(100, 8)
    torch.testing.assert_close(products.multiply(x, module.weight, module.bias), module(x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, products.FEWEST, 200])
def test_rounded_products_round_both_factors_and_the_result(rows: int, bias: bool) -> None:
    torch.manual_seed(rows)
    module = nn.Linear(512, 520, bias=bias).requires_grad_(False)
    assert products.round_products(nn.Sequential(module)) == 1
    x = torch.randn(1, rows, 512, requires_grad=True)
    y = module(x)
    weight, rounded = module.weight.bfloat16().double(), x.detach().bfloat16().double()
    expected = rounded @ weight.T + (module.bias.double() if bias else 0)
    torch.testing.assert_close(y.double(), expected, rtol=2**-8, atol=1e-3)
    upstream = torch.randn_like(y)
    (found,) = torch.autograd.grad((y * upstream).sum(), x)
    torch.testing.assert_close(found.double(), upstream.bfloat16().double() @ weight, rtol=2**-8, atol=1e-3)
    assert y.dtype == found.dtype == torch.float32


def test_another_processor_rounds_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(200, 512), torch.randn(600, 512).bfloat16()
    here = products.rounded_product(x, weight)
    monkeypatch.setattr(products, "multiplies_bfloat16", lambda: False)
    there = products.rounded_product(x, weight)
    torch.testing.assert_close(here, there, rtol=2**-7, atol=1e-3)  # sums may be in another order
    assert (here == there).float().mean() > 0.98


def test_a_weight_that_learns_is_not_rounded() -> None:
    module = nn.Linear(512, 512)
    products.round_products(module)
    x = torch.randn(100, 512)
    assert torch.equal(module(x), torch.nn.functional.linear(x, module.weight, module.bias))


@pytest.mark.parametrize("others", [{"dtype": "bfloat16"}, {"bits": 8}])
def test_only_float32_weights_have_products_to_round(others: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"leave model\.dtype=float32 and set no model\.bits"):
        load(ModelConfig(name="tiny-random", products="bfloat16", **others))


def test_a_base_with_rounded_products_is_near_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST", 1)  # the embedded model's weights are small
    exact, rounded = (load(ModelConfig(products=products)) for products in ("model", "bfloat16"))
    rows = [Row(tuple(range(20, 60)), 30)]
    before, after = (row_losses(base, None, rows, 1024)[0] for base in (exact, rounded))
    assert 0 < abs(before - after) < 0.02 * before
