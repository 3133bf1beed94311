"""The quicker product of frozen float32 weights is the plain one, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from meshtune.model import frozen_products as products

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
