"""Root-mean-square norms: the same numbers and the right gradient, or left as they are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.architectures import tiny
from torch import nn

from meshtune.model.norms import _RmsNorm, quicken_norms

ROWS = [(5, 9, 3, 8, 7, 7, 2), (4, 4), (9,), (1, 2, 3, 4, 5, 6), tuple(range(1, 31))]


def test_the_quick_norm_has_the_right_gradient() -> None:
    x = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: _RmsNorm.apply(x, weight, 1e-3), (x,))
    torch.testing.assert_close(_RmsNorm.apply(x, weight, 1e-3), F.rms_norm(x, (5,), weight, 1e-3))


@pytest.mark.parametrize(("architecture", "norms"), [("llama", 5), ("gemma3", 13), ("gpt2", 0)])
def test_known_norms_get_it_and_say_the_same(architecture: str, norms: int) -> None:
    model = tiny(architecture).eval()
    tokens = torch.tensor([ROWS[4]])
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        expected = model(tokens).logits
        assert quicken_norms(model) == norms
        torch.testing.assert_close(model(tokens).logits, expected, rtol=1e-3, atol=1e-3)


def test_a_norm_of_another_kind_stays_as_it_is() -> None:
    class OddRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(8))
            self.eps = 1e-6

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    assert quicken_norms(nn.Sequential(OddRMSNorm())) == 0


class TwiceRMSNorm(nn.Module):
    """Divides by the root mean square as Llama's does, or as Gemma's, whose weight counts from 1."""

    def __init__(self, more: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 2, 8, dtype=dtype), requires_grad=False)
        self.more, self.eps = more, 1e-4
        self.calls = 0

    def forward(self, x: torch.Tensor, doubled: bool = False) -> torch.Tensor:
        self.calls += 1
        y = F.rms_norm(x, x.shape[-1:], None, self.eps) * (self.weight[: x.shape[-1]] + self.more)
        return 2 * y if doubled else y


@pytest.mark.parametrize("more", [0.0, 1.0])
def test_weights_that_count_from_one_are_known_and_the_modules_code_runs_no_more(more: float) -> None:
    norm = TwiceRMSNorm(more)
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    expected = norm(x)
    assert quicken_norms(norm) == 1
    before = norm.calls
    torch.testing.assert_close(norm(x), expected)
    assert norm.calls == before


def test_other_inputs_and_weights_that_are_trained_are_left_to_the_module() -> None:
    norm = TwiceRMSNorm(0.0)
    quicken_norms(norm)
    before = norm.calls
    x = torch.ones(1, 8)
    torch.testing.assert_close(norm(x, doubled=True), 2 * norm(x))
    assert norm(torch.ones(1, 4)).shape == (1, 4)
    norm.weight.requires_grad_()
    (grad,) = torch.autograd.grad(norm(x).sum(), norm.weight)
    torch.testing.assert_close(grad, F.rms_norm(x, (8,), None, 1e-4)[0])
    assert norm.calls == before + 3


def test_half_precision_and_norms_of_other_shapes_stay_as_they_are() -> None:
    assert quicken_norms(TwiceRMSNorm(0.0, torch.bfloat16)) == 0
    assert quicken_norms(TwiceRMSNorm(0.5)) == 0
    broken = TwiceRMSNorm(0.0)
    broken.forward = lambda x: (x, x)  # type: ignore[assignment, method-assign, return-value]
    assert quicken_norms(broken) == 0
