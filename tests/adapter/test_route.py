"""Routes: the update that each row of a pass gets, against dense weights row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Bank, Mixture, Segments, dealt
from meshtune.adapter.sites import LayerSpec, describe

LAYERS = [describe(i, f"model.layers.0.self_attn.{leaf}_proj", 12, 10, False) for i, leaf in enumerate("qk")]
RANK, SCALE = 3, 2.0
WIDE = torch.float64


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=WIDE)


def sparse(block: int, scale: float = SCALE) -> SparseExpert:
    masks = [torch.arange(block, layer.outputs * RANK, 3) for layer in LAYERS]
    made = SparseExpert(LAYERS, Projections(Recipe(7, "orthogonal", block, RANK), WIDE), masks, scale)
    return made.with_values(draw(block, made.count))


def lora(rank: int) -> LoraExpert:
    made = LoraExpert(LAYERS, rank, 0.5)
    return made.with_values(draw(50 + rank, made.count))


def by_hand(expert: Expert | None, layer: LayerSpec, x: Tensor, y: Tensor) -> Tensor:
    return y if expert is None else y + x @ expert.delta(layer).T


def test_every_row_gets_the_update_of_its_run_and_no_other() -> None:
    """Experts of unlike kinds and ranks and the frozen model in one pass; also rows of unlike lengths in one stream."""
    runs: list[tuple[Expert | None, int]] = [(sparse(0), 2), (None, 1), (lora(2), 1), (sparse(1), 0), (lora(5), 1)]
    whose = [expert for expert, rows in runs for _ in range(rows)]
    for layer in LAYERS:
        x, y = draw(1, 5, 4, 12), draw(2, 5, 4, 10)
        expected = torch.stack([by_hand(whose[row], layer, x[row], y[row]) for row in range(5)])
        torch.testing.assert_close(Segments(runs).apply(layer, x, y.clone()), expected)
        lengths = [7, 1, 3, 5, 4]
        x, y = draw(3, 1, 20, 12), draw(4, 1, 20, 10)
        parts = zip(whose, x[0].split(lengths), y[0].split(lengths), strict=True)
        expected = torch.cat([by_hand(expert, layer, mine, out) for expert, mine, out in parts])[None]
        torch.testing.assert_close(Segments(runs).apply(layer, x, y.clone(), lengths), expected)


def test_what_is_kept_for_a_place_is_not_taken_for_another_input() -> None:
    """q and k read one tensor, so that A x is computed once; a new tensor of that shape is another input."""
    route, expert = Segments([(sparse(0), 1)]), sparse(0)
    for seed in (1, 2):
        x, zero = draw(seed, 1, 4, 12), torch.zeros(1, 4, 10, dtype=WIDE)
        for layer in LAYERS:
            torch.testing.assert_close(route.apply(layer, x, zero.clone()), x @ expert.delta(layer).T)


def test_gradients_flow_only_where_values_are_trained() -> None:
    expert = sparse(0)
    expert.values.requires_grad_()
    x, y = draw(1, 1, 4, 12), draw(2, 1, 4, 10)
    assert not Segments([(expert, 1)]).apply(LAYERS[0], x, y.clone()).requires_grad
    out = Segments([(expert, 1)], trainable=True).apply(LAYERS[0], x, y.clone())
    (grad,) = torch.autograd.grad(out.sum(), expert.values)
    assert grad[: expert.counts[0]].any()
    assert not grad[expert.counts[0] :].any()  # the other layer's


def test_mixture_is_the_gated_sum() -> None:
    """y = W0 x + s sum_g gate_g B_g A_g x, row by row, also with LoRA experts of another rank in the bank."""
    bank = Bank([sparse(0), sparse(1, scale=0.25), lora(5)])
    gates = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=WIDE)
    lengths = [2, 7, 3]
    for layer in LAYERS:
        x, y = draw(5, 12, 12), draw(6, 12, 10)
        found = Mixture(bank, gates).apply(layer, x[None], y[None].clone(), lengths)[0]
        rows = zip(gates, x.split(lengths), y.split(lengths), strict=True)
        expected = torch.cat(
            [
                out + sum(gate * (mine @ expert.delta(layer).T) for gate, expert in zip(row, bank.experts, strict=True))
                for row, mine, out in rows
            ]
        )
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("number", range(4))
def test_a_row_alone_has_the_route_that_it_has_among_others(number: int) -> None:
    runs: list[tuple[Expert | None, int]] = [(sparse(0), 2), (None, 1), (lora(2), 1)]
    bank, gates = Bank([sparse(0), lora(2)]), draw(8, 4, 2).softmax(dim=1)
    for route in (Segments(runs), Mixture(bank, gates)):
        x, y = draw(9, 4, 6, 12), draw(10, 4, 6, 10)
        whole = route.apply(LAYERS[1], x, y.clone())
        one = slice(number, number + 1)
        torch.testing.assert_close(route.row(number).apply(LAYERS[1], x[one], y[one].clone()), whole[one])


def test_a_row_beyond_the_last_has_no_route() -> None:
    with pytest.raises(IndexError):
        Segments([(None, 2), (sparse(0), 1)]).row(3)


def test_tokens_are_dealt_to_rows() -> None:
    x = torch.zeros(3, 4, 12)
    assert list(dealt(3, x, None)) == [4, 4, 4]
    assert list(dealt(2, x, [5, 7])) == [5, 7]
    for rows, lengths, said in (
        (5, None, "the route covers 5 rows, the batch has 5 of 12 tokens"),
        (2, [5, 6], "the route covers 2 rows, the batch has 2 of 12 tokens"),
        (2, [4, 4, 4], "the route covers 2 rows, the batch has 3 of 12 tokens"),
    ):
        with pytest.raises(ValueError, match=f"^{said}$"):
            dealt(rows, x, lengths)


def test_a_banks_digest_tells_its_experts_and_their_order() -> None:
    one, other = sparse(0), sparse(1)
    assert Bank([one, other]).digest == Bank([sparse(0), sparse(1)]).digest
    assert len({Bank(experts).digest for experts in ([one, other], [other, one], [one], [one, one])}) == 4
