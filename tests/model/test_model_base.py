"""A base reads rows as its model does, in each of its ways; what lies inside is what the model computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from architectures import tiny
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.route import Segments
from meshtune.model.base import LOGITS, Base
from meshtune.model.head import LinearHead, NoHead, OwnHead
from meshtune.model.packing import Packed
from meshtune.model.paths import PLAINEST, READINGS, Paths
from meshtune.model.probes.probed_base import open_base

ROWS = [(5, 9, 3, 8, 7, 7, 2), (4, 4), (9,), tuple(range(1, 20))]


@pytest.fixture(scope="module")
def plain() -> Any:
    return tiny("llama").eval().double()


@pytest.fixture(scope="module")
def base() -> Base:
    return open_base(tiny("llama").double(), None, "llama")


@pytest.fixture(autouse=True)
def as_it_was(base: Base) -> Any:
    paths = base.paths
    yield
    base.go_by(paths)


def outputs(plain: Any, **how: Any) -> list[Any]:
    with torch.no_grad():
        return [plain(torch.tensor([row]), use_cache=False, output_hidden_states=True) for row in ROWS]


def states(plain: Any) -> Tensor:
    return torch.cat([out.hidden_states[-1][0] for out in outputs(plain)])


@pytest.mark.parametrize("reading", READINGS)
def test_rows_read_as_each_alone_in_every_way(base: Base, plain: Any, reading: Any) -> None:
    base.go_by(replace(base.paths, read=reading))
    packed = Packed(ROWS, base.device)
    with torch.no_grad():
        torch.testing.assert_close(base.read(packed), states(plain), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reading", READINGS)
def test_every_row_gets_its_own_expert_in_every_way(base: Base, reading: Any) -> None:
    base.go_by(replace(base.paths, read=reading))
    expert = LoraExpert(base.adapters.layers, 2, 1.0)
    expert = expert.with_values(torch.randn(expert.count, generator=torch.Generator().manual_seed(0)).double() * 0.1)
    with torch.no_grad(), base.adapters.routed(Segments([(None, 1), (expert, 3)])):
        found = base.read(Packed(ROWS, base.device)).split([len(row) for row in ROWS])
        with base.adapters.routed(None):
            frozen = base.read(Packed(ROWS[:1], base.device))
        with base.adapters.routed(Segments([(expert, 1)])):
            alone = base.read(Packed(ROWS[3:], base.device))
    torch.testing.assert_close(found[0], frozen, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found[3], alone, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        assert not torch.allclose(alone, base.read(Packed(ROWS[3:], base.device)), rtol=1e-2)


def test_the_plainest_way_ends_in_logits(base: Base, plain: Any) -> None:
    base.go_by(PLAINEST)
    assert isinstance(base.head, NoHead)
    with torch.no_grad():
        found = base.logits(base.read(Packed(ROWS, base.device)))
    torch.testing.assert_close(found, torch.cat([out.logits[0] for out in outputs(plain)]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("paths", "head"), [(Paths(), LinearHead), (Paths(linear=False), OwnHead)])
def test_losses_are_those_of_the_models_logits_whatever_the_chunk(
    base: Base, plain: Any, monkeypatch: pytest.MonkeyPatch, paths: Paths, head: type
) -> None:
    base.go_by(paths)
    assert isinstance(base.head, head)
    row = ROWS[3]
    labels = torch.tensor(row[1:])
    with torch.no_grad():
        expected = F.cross_entropy(plain(torch.tensor([row])).logits[0, :-1], labels, reduction="none")
        hidden = base.read(Packed([row], base.device))[:-1]
        monkeypatch.setattr("meshtune.model.base.LOGITS", 4 * 64 * 5)  # of five tokens of 64 words
        assert base.chunk() == 5
        torch.testing.assert_close(base.token_losses(hidden, labels), expected, rtol=1e-6, atol=1e-6)
    monkeypatch.setattr("meshtune.model.base.LOGITS", 1)
    assert base.chunk() == 1
    assert LOGITS // (4 * 64) > 1000


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("block", [0, 1])
def test_a_pass_stops_at_a_block_with_what_enters_it(base: Base, plain: Any, reading: Any, block: int) -> None:
    base.go_by(replace(base.paths, read=reading))
    expected = torch.cat([out.hidden_states[block][0] for out in outputs(plain)])
    ran = []
    handle = base.blocks[block].register_forward_hook(lambda *args: ran.append(1))
    with base.stopped_at(block) as stopped:
        torch.testing.assert_close(stopped(Packed(ROWS, base.device)), expected, rtol=1e-6, atol=1e-6)
    assert ran == []
    with torch.no_grad():
        base.read(Packed(ROWS[:1], base.device))  # and runs whole again afterwards
    assert ran == [1]
    handle.remove()


def test_tokens_behind_a_cache_are_those_of_the_whole_row(base: Base, plain: Any) -> None:
    """Two rows, the first of them padded on the left by one."""
    cache = base.fresh_cache()
    real = torch.tensor([[False, True, True, True], [True] * 4])
    positions = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 3]])
    with torch.no_grad():
        base.extend(torch.tensor([[0, 5, 9, 3], [4, 4, 1, 2]]), cache, positions, real)
        more = torch.tensor([[8, 7], [6, 5]])
        wider = torch.cat([real, torch.ones(2, 2, dtype=torch.bool)], dim=1)
        found = base.extend(more, cache, torch.tensor([[3, 4], [4, 5]]), wider)
        for row, tokens in zip(found, ([5, 9, 3, 8, 7], [4, 4, 1, 2, 6, 5]), strict=True):
            expected = plain(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1][0, -2:]
            torch.testing.assert_close(row, expected, rtol=1e-6, atol=1e-6)


def test_what_a_base_says_of_itself(base: Base) -> None:
    assert (base.width, base.vocabulary, base.longest, base.window) == (32, 64, 64, 1 << 30)
    assert (base.dtype, base.device.type, len(base.blocks)) == (torch.float64, "cpu", 2)
    weights = 2 * 64 * 32 + 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 48 + 2 * 32)
    assert base.parameters in (weights, weights - 64 * 32)  # the head may be the embeddings
    assert base.notes()[0].startswith("adapts 99.")
    base.go_by(replace(base.paths, reach=17, threads=False))
    assert base.longest == 17
    assert not base.threads
    assert len(base.notes()) == 3
    base.go_by(replace(base.paths, reach=1000))
    assert base.longest == 64  # no further than the model has positions
