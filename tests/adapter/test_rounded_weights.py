"""Products over rounded weights, against float products with what the rounded weight stands for."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from meshtune.adapter.rounded_weights import QuantisedLinear, any_rounded, whole


class Int8Params(nn.Parameter):
    """Named as bitsandbytes names its own: int8 rows and one largest value (SCB) a row."""


def rounded(weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    """Return a linear module with ``weight`` (d, k) held in 8 bits: 127 stands for a row's largest value."""
    largest = weight.abs().amax(dim=1)
    held: Any = Int8Params((weight / largest[:, None] * 127).round().to(torch.int8), requires_grad=False)
    held.SCB = largest
    module = nn.Module()
    module.weight = held
    module.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
    return module


def weight_of(d: int, k: int) -> Tensor:
    return torch.randn(d, k, generator=torch.Generator().manual_seed(3))


def test_an_8_bit_row_is_its_steps_times_the_largest_over_127() -> None:
    weight = torch.tensor([[2.54, -1.27, 0.0], [0.5, 0.25, -0.5]])
    found = whole(rounded(weight))
    assert found is not None
    torch.testing.assert_close(
        found, torch.tensor([[127, -64, 0], [127, 64, -127]]) * torch.tensor([[0.02], [0.5 / 127]])
    )
    assert float((whole(rounded(weight_of(9, 5))) - weight_of(9, 5)).abs().max()) < 4 / 127 / 2  # type: ignore[operator]


def test_a_plain_weight_is_not_rounded() -> None:
    assert whole(nn.Linear(3, 2)) is None
    assert not any_rounded(nn.Sequential(nn.Linear(3, 2)))
    assert any_rounded(nn.Sequential(nn.Linear(3, 2), rounded(weight_of(2, 3))))


@pytest.mark.parametrize("biased", [False, True])
def test_it_is_the_float_product_with_the_gradient_by_its_input(biased: bool) -> None:
    bias = torch.arange(4.0) if biased else None
    module = rounded(weight_of(4, 6), bias)
    dense = whole(module)
    assert dense is not None
    layer = QuantisedLinear(module)
    ends = []
    for product in (layer, lambda x: F.linear(x, dense, bias)):
        x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
        y = product(x)
        ends.append((y, *torch.autograd.grad(y.square().sum(), x)))
    for mine, expected in zip(*ends, strict=True):
        torch.testing.assert_close(mine, expected)
    half = layer(torch.ones(1, 6, dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), F.linear(torch.ones(1, 6), dense, bias), rtol=0.05, atol=0.05)


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_four_bits_of_bitsandbytes_are_read_as_it_stores_them() -> None:
    """NF4 rounds to the nearest of 16 levels of a block's largest value; the widest gap between levels is 0.304."""
    from bitsandbytes.nn import Params4bit

    weight = weight_of(64, 64)
    module = nn.Module()
    module.weight = Params4bit(weight.clone(), requires_grad=False, quant_type="nf4").to("cpu")
    module.bias = None
    found = whole(module)
    assert found is not None
    assert found.shape == weight.shape
    assert 0 < float((found.float() - weight).abs().max()) <= 0.16 * float(weight.abs().max())
