"""Aggregated expansions after many projections: the paper's composition (eq. 24) and its routing (eq. 26).

y = W0 x + (alpha/r) sum_c Bbar_c sum_{j in c} z_j, where z_j is A_j x refined by device j's task code. Unlike a bank of
experts in parallel this has cross terms B_i A_j, i != j, which orthogonal projections do not remove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from meshtune.adapter.expert import Projections
from meshtune.adapter.route import Bank, Route, dealt
from meshtune.adapter.sites import LayerSpec, sizes

Reading = Literal["scalar", "diag", "outer", "plain"]
"""Eq. 26 multiplies r x k by k x 1. With h the unit task code, z is A x cos(h, x), A diag(h) x, A h h^T x, or A x."""
READINGS: tuple[str, ...] = get_args(Reading)


@dataclass(frozen=True)
class Source:
    """A device's projections A_j and, by place, its task code h0 (k,): the mean layer input of its own prompts."""

    projections: Projections
    codes: Mapping[str, Tensor]


class Shared(Bank):
    """Every cluster's aggregated expansion after its members' projections.

    Args:
        layers: the adapted layers.
        sources: the members, in the order of the gates.
        expansions: Bbar_c of every cluster, all layers concatenated, dense, fp32 (clusters, sum of d r); or
            (sum of d r,) for a single one.
        scale: alpha / r.
        reading: how eq. 26 is read.
        top_k: how many coordinates of all z_j together each token keeps, by magnitude; None for all.
        gated: whether the answer's gates (rows, members) weight the z_j; otherwise they are ignored.
        cluster: per member, the index of its expansion; empty for the first one everywhere.
    """

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        sources: Sequence[Source],
        expansions: Tensor,
        scale: float,
        reading: str = "plain",
        top_k: int | None = None,
        gated: bool = False,
        cluster: Sequence[int] = (),
    ) -> None:
        super().__init__([])
        self.scale, self.gated = scale, gated
        self._sources, self._reading, self._top_k = sources, reading, top_k
        self._expansions = expansions.view(-1, expansions.shape[-1])
        self.rank = sources[0].projections.recipe.rank
        self._parts = torch.split(self._expansions, sizes(layers, self.rank), dim=1)
        of = cluster or [0] * len(sources)
        self._members = [[j for j, c in enumerate(of) if c == number] for number in range(len(self._expansions))]
        self._made: dict[str, tuple[Tensor, Tensor | None]] = {}

    def route(self, gates: Tensor) -> Route:
        return _Route(self, gates)

    @cached_property
    def digest(self) -> str:
        """Banks with equal digests answer equally under equal gates."""
        state = hashlib.blake2b(self._expansions.cpu().numpy().tobytes(), digest_size=16)
        state.update(repr((self._reading, self._top_k, self.gated, self.scale, self._members)).encode())
        for source in self._sources:
            state.update(repr(source.projections.recipe).encode())
            if self._reading != "plain":
                for place in sorted(source.codes):
                    state.update(source.codes[place].float().cpu().numpy().tobytes())
        return state.hexdigest()

    def refined(self, layer: LayerSpec, x: Tensor) -> Tensor:
        """Return z (..., members, r) of x (..., k): eq. 26 in this bank's reading, before the top-k."""
        a, codes = self._matrices(layer)
        a = a.to(x.dtype)
        shape = (*x.shape[:-1], len(self._sources), self.rank)
        if codes is None:
            return (x @ a.T).view(shape)
        codes = codes.to(x.dtype)
        if self._reading == "diag":
            turned = a * codes.repeat_interleave(self.rank, dim=0)
            return (x @ turned.T).view(shape)
        along = (x @ codes.T)[..., None]  # (..., members, 1): h . x
        if self._reading == "outer":
            told: Tensor = torch.einsum("mrk,mk->mr", a.view(len(codes), self.rank, -1), codes)
            return along * told
        cosine: Tensor = along / x.norm(dim=-1)[..., None, None].clamp_min(torch.finfo(x.dtype).tiny)
        return cosine * (x @ a.T).view(shape)

    def chosen(self, z: Tensor) -> Tensor:
        """Return z (..., members, r) with all but each token's top-k entries 0; ties may keep more."""
        flat = z.flatten(-2)
        if self._top_k is None or self._top_k >= flat.shape[-1]:
            return z
        edge = flat.abs().topk(self._top_k, dim=-1).values[..., -1:]
        return torch.where(flat.abs() >= edge, flat, torch.zeros((), dtype=z.dtype, device=z.device)).view_as(z)

    def mixed(self, layer: LayerSpec, z: Tensor) -> Tensor:
        """Return sum_c Bbar_c sum_{j in c} z_j (..., d) of z (..., members, r): eq. 24 without its scale."""
        total: Tensor | None = None
        for expansion, members in zip(self._parts[layer.index], self._members, strict=True):
            own = z if len(members) == z.shape[-2] else z[..., members, :]
            part: Tensor = own.sum(dim=-2) @ expansion.view(layer.outputs, self.rank).to(z.dtype).T
            total = part if total is None else total + part
        assert total is not None
        return total

    def _matrices(self, layer: LayerSpec) -> tuple[Tensor, Tensor | None]:
        """Return A of all members (members r, k), and their unit task codes (members, k) if the reading uses any."""
        if layer.place not in self._made:
            a = torch.cat([source.projections.of(layer) for source in self._sources])
            codes = None
            if self._reading != "plain":
                codes = torch.stack([source.codes[layer.place].to(a.device, torch.float32) for source in self._sources])
                codes = codes / codes.norm(dim=-1, keepdim=True)
            self._made[layer.place] = a, codes
        return self._made[layer.place]


class _Route:
    """Applies the shared expansion to the A_j x that the task codes let through, for every row of a pass."""

    def __init__(self, bank: Shared, gates: Tensor) -> None:
        self._bank, self._gates = bank, gates

    def apply(self, layer: LayerSpec, x: Tensor, y: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        counts = dealt(len(self._gates), x, lengths)
        z = self._bank.refined(layer, x)
        if self._bank.gated:
            each = torch.tensor(counts, device=x.device)
            z = z * self._gates.to(x.dtype).repeat_interleave(each, dim=0).view(*x.shape[:-1], -1, 1)
        return y + self._bank.scale * self._bank.mixed(layer, self._bank.chosen(z))

    def row(self, number: int) -> Route:
        return _Route(self._bank, self._gates[number : number + 1])


def aggregate(
    updates: Sequence[Tensor], positions: Sequence[Tensor], weights: Sequence[float], size: int, masked: bool
) -> Tensor:
    """Return Bbar (size,), fp32: the weighted mean of sparse expansions (eq. 9, 10; normalised once, not twice).

    Args:
        updates: values (nnz,) of every device.
        positions: their positions in the concatenation of all layers' B (nnz,).
        weights: w_j, not normalised.
        size: the number of positions.
        masked: divide each position by the weights of the devices whose mask uses it, instead of by all weights.
    """
    total = torch.zeros(size)
    weight = torch.zeros(size) if masked else torch.full((size,), float(sum(weights)))
    for values, places, share in zip(updates, positions, weights, strict=True):
        total.index_add_(0, places.cpu(), share * values.detach().float().cpu())
        if masked:
            weight.index_add_(0, places.cpu(), torch.full((len(places),), share))
    return total / weight.clamp_min(torch.finfo(torch.float32).tiny)
