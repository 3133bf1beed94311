"""The paper's method over one cluster, whatever clusters the air made."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe, projection
from meshtune.methods.base import Prompts
from meshtune.methods.registry import get_method
from meshtune.methods.state import NEGOTIATED, Announcement
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader
from two_devices import MASKS, played, update

B = np.array([1 / 4, 8.0, 0.0, 3.0]).reshape(2, 2)  # of weights 1 and 3, over all members


def prompts(router: Reader) -> Prompts:
    return Prompts(["a"], router, Features(np.zeros((1, 1))))


@pytest.mark.parametrize(
    ("router", "kept"),
    [(Reader("unrouted"), None), (Reader("plain", 4), 4), (Reader("plain", 1), 1), (Reader("plain"), 2)],
)
def test_the_largest_coordinates_of_all_devices_together_are_kept(router: Reader, kept: int | None) -> None:
    """y = s Bbar sum_j z_j; of the four coordinates of both z_j as many as asked stay, by default the rank's two."""
    method, members, factory = played("single_cluster")
    for member in members:
        member.clusters = {0: 0, 1: 1}  # which are not looked at
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    expected = []
    for token in x.double().numpy():
        z = np.stack([projection(Recipe(0, "orthogonal", d, 2), "attn_in", 6) @ token for d in MASKS])
        if kept is not None:
            least = np.sort(np.abs(z).ravel())[-kept]
            z = np.where(np.abs(z) >= least, z, 0.0)
        expected.append(2.0 * B @ z.sum(axis=0))
    found = update(method.answer(members[0], prompts(router), factory), x)
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-5, atol=1e-5)


def test_a_reading_looks_at_every_devices_own_task_code() -> None:
    """``scalar``: A_j x cos(h_j, x); both codes of these devices point the same way."""
    method, members, factory = played("single_cluster")
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    h = torch.arange(1.0, 7.0)
    cosine = torch.nn.functional.cosine_similarity(x, h[None], dim=1)[:, None]
    plain = update(method.answer(members[0], prompts(Reader("plain", 4)), factory), x)
    scalar = update(method.answer(members[0], prompts(Reader("scalar", 4)), factory), x)
    torch.testing.assert_close(scalar, plain * cosine, rtol=1e-5, atol=1e-6)


def test_it_takes_no_care_of_collisions() -> None:
    own = Announcement(
        0, "a", 1, Recipe(0, "orthogonal", 0, 2), (np.array([1]),), others={NEGOTIATED: (np.array([2]),)}
    )
    taken = {name: get_method(name).masks.of(own)[0].tolist() for name in ("single_cluster", "paper")}
    assert taken == {"single_cluster": [1], "paper": [2]}


def test_the_scale_is_that_of_the_adapter() -> None:
    method, members, factory = played("single_cluster")
    x = torch.randn(2, 6, generator=torch.Generator().manual_seed(2))
    one = update(method.answer(members[0], prompts(Reader("unrouted")), factory), x)
    factory.release()
    factory.adapter = AdapterConfig(rank=2, alpha=8.0)
    double = update(method.answer(members[0], prompts(Reader("unrouted")), factory), x)
    torch.testing.assert_close(double, 2 * one)
