"""The two thin products against dense algebra, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from meshtune.adapter.thin_products import Share, expand, project

K, D, TOKENS = 7, 5, 9
WIDE = torch.float64


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=WIDE)


def shares(a: list[Tensor], b: list[Tensor]) -> list[Share]:
    """A sparse B of rank 3 for tokens 0 to 3 and a dense one of rank 2 for tokens 5 to 8; token 4 has none."""
    places = torch.tensor([0, 4, 7, 13])  # column * d + row of B
    return [Share(0, 4, a[0], b[0], places, 0.5), Share(5, 9, a[1], b[1], None, 3.0)]


def tensors() -> tuple[list[Tensor], list[Tensor]]:
    return [draw(1, 3, K), draw(2, 2, K)], [draw(3, 4), draw(4, D, 2)]


def by_hand(x: Tensor, y: Tensor, a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Return y + scale * B A x, with B of the first share laid out entry by entry."""
    sparse = torch.zeros(D, 3, dtype=WIDE)
    entries = ((0, 0), (4, 0), (2, 1), (3, 2))  # of places 0, 4, 7 and 13, d being 5
    for value, (row, column) in zip(b[0], entries, strict=True):
        where = torch.zeros(D, 3, dtype=WIDE)
        where[row, column] = 1.0
        sparse = sparse + value * where
    parts = [x[:4] @ (0.5 * sparse @ a[0]).T, torch.zeros(1, D, dtype=WIDE), x[5:] @ (3.0 * b[1] @ a[1]).T]
    return y + torch.cat(parts)


def found(x: Tensor, y: Tensor, a: list[Tensor], b: list[Tensor]) -> Tensor:
    spans = shares(a, b)
    return expand(y, project(x, spans), spans)


def test_every_span_gets_its_own_product_and_the_rest_none() -> None:
    (a, b), x, y = tensors(), draw(5, TOKENS, K), draw(6, TOKENS, D)
    expected = by_hand(x, y, a, b)
    with torch.no_grad():
        torch.testing.assert_close(found(x, y.clone(), a, b), expected)
    torch.testing.assert_close(found(x, y.clone(), a, b), expected)
    torch.testing.assert_close(found(x.view(3, 3, K), y.clone().view(3, 3, D), a, b), expected.view(3, 3, D))


def test_columns_of_lower_ranks_and_tokens_without_a_share_are_zero() -> None:
    a, b = tensors()
    z = project(draw(5, TOKENS, K), shares(a, b))
    assert z.shape == (TOKENS, 3)
    assert not z[4].any()
    assert not torch.isnan(z[:5]).any()


@pytest.mark.parametrize("trained", ["x", "y", "a", "b", "all"])
def test_gradients_are_those_of_autograd_through_dense_matrices(trained: str) -> None:
    ends = []
    for compute in (found, by_hand):
        (a, b), x, y = tensors(), draw(5, TOKENS, K), draw(6, TOKENS, D)
        leaves = {"x": [x], "y": [y], "a": a, "b": b, "all": [x, y, *a, *b]}[trained]
        for leaf in leaves:
            leaf.requires_grad_()
        inner = y * 1.0 if y.requires_grad else y.clone()  # a leaf may not be changed in place
        out = compute(x, inner, a, b)
        ends.append(torch.autograd.grad((out.square() * draw(7, TOKENS, D)).sum(), leaves))
    for mine, expected in zip(*ends, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(mine, expected)


def test_numerical_derivatives_agree() -> None:
    (a, b), x, y = tensors(), draw(5, TOKENS, K), draw(6, TOKENS, D)
    leaves = [leaf.requires_grad_() for leaf in (x, y, *a, *b)]
    assert torch.autograd.gradcheck(lambda x, y, *ab: found(x, y * 1.0, list(ab[:2]), list(ab[2:])), leaves)


@pytest.mark.parametrize("trains_a", [False, True])
def test_the_backward_pass_keeps_the_input_only_where_a_is_trained(trains_a: bool) -> None:
    """What is saved is (tokens, r), A or B's values: never (tokens, k), unless A's gradient needs it."""
    (a, b), x, y = tensors(), draw(5, TOKENS, K).requires_grad_(), draw(6, TOKENS, D)
    for leaf in (*b, *(a if trains_a else ())):
        leaf.requires_grad_()
    saved: list[tuple[int, ...]] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        found(x, y, a, b)
    assert (TOKENS, 3) in saved
    assert ((TOKENS, K) in saved) == trains_a


def test_values_of_other_types_are_computed_in_the_inputs_type() -> None:
    """Values are kept in fp32 behind a model in bfloat16; their gradients come back in fp32."""
    a, b = tensors()
    a, b = [one.bfloat16() for one in a], [one.float().requires_grad_() for one in b]
    x, y = draw(5, TOKENS, K).bfloat16(), draw(6, TOKENS, D).bfloat16()
    out = found(x, y.clone(), a, b)
    assert out.dtype == torch.bfloat16
    assert [grad.dtype for grad in torch.autograd.grad(out.sum(), b)] == [torch.float32] * 2
    exact = by_hand(x.double(), y.double(), [one.double() for one in a], [one.detach().double() for one in b])
    assert (out.double() - exact).abs().max() < 0.02 * exact.abs().max()
