"""How much the updates of devices agree: their cosines over layers, from their factors, and what an average changes.

The update of a device is dW = (alpha/r) B A in every layer. Two updates have the inner product <B1 A1, B2 A2> =
tr(B1^T B2 A2 A1^T), which needs no matrix of a layer's size. Over several layers inner products add up, as if the
layers were one long vector. What a device changed since a start is a difference of two updates, which has the same form
with the factors side by side: B1 A1 - B0 A0 = [B1, -B0] [A1; A0].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.adapter.sites import LayerSpec

Array = NDArray[np.float64]
Factors = tuple[Tensor, Tensor]
"""B (d, m), scale included, and A (m, k) of one layer, float64."""


def kind_of(name: str) -> str:
    """Return the kind of the layer called ``name``: q, k, v, o, gate, up, down; of other names the last part."""
    return name.rpartition(".")[2].removesuffix("_proj")


def block_of(name: str) -> int:
    """Return the number of the block that the layer called ``name`` is in: the first number in it, or 0."""
    found = re.search(r"\.(\d+)\.", name)
    return int(found[1]) if found else 0


def third_of(name: str, blocks: int) -> str:
    """Return the third of the model's ``blocks`` that a layer is in: first, middle or last."""
    return ("first", "middle", "last")[min(2, 3 * block_of(name) // blocks)]


def factors(expert: Expert, layer: LayerSpec, start: Expert | None = None) -> Factors:
    """Return the factors of dW of ``layer``; with ``start``, of its difference from the update of ``start``."""
    a, b = (part.double().cpu() for part in expert.pair(layer))
    b = expert.scale * b
    if start is None:
        return b, a
    before_a, before_b = (part.double().cpu() for part in start.pair(layer))
    return torch.cat([b, -start.scale * before_b], dim=1), torch.cat([a, before_a])


def inner_products(pairs: Sequence[Factors]) -> Array:
    """Return the inner products (N, N) of the N matrices B A, all (d, k), given their factors of one m."""
    width, count = pairs[0][1].shape[0], len(pairs)
    b, a = torch.cat([b for b, _ in pairs], dim=1), torch.cat([a for _, a in pairs])
    found = ((b.T @ b) * (a @ a.T)).view(count, width, count, width).sum(dim=(1, 3))
    return np.asarray(found.numpy(), dtype=np.float64)


def grams(experts: Sequence[Expert], starts: Sequence[Expert] | None = None) -> dict[str, Array]:
    """Return the inner products (N, N) of N experts' updates by layer name; with ``starts``, of their changes."""
    before = [None] * len(experts) if starts is None else starts
    return {
        layer.name: inner_products([factors(e, layer, s) for e, s in zip(experts, before, strict=True)])
        for layer in experts[0].layers
    }


def cosine(gram: Array) -> Array:
    """Return the cosines (N, N) of inner products; nan where an update is zero."""
    length = np.sqrt(np.diag(gram))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(gram / np.outer(length, length), dtype=np.float64)


def cosines(by_layer: Mapping[str, Array], part: Callable[[str], str]) -> dict[str, Array]:
    """Return the cosines (N, N) over the layers of each part of the model, in the order in which they first appear.

    Args:
        by_layer: the inner products by layer name.
        part: names the part that a layer belongs to.
    """
    total: dict[str, Array] = {}
    for name, gram in by_layer.items():
        total[part(name)] = total.get(part(name), np.zeros_like(gram)) + gram
    return {key: cosine(gram) for key, gram in total.items()}


def swapped(own: Expert, other: Expert, chosen: Callable[[LayerSpec], bool]) -> Expert:
    """Return ``own`` with the values of ``other``, an expert of the same form, in the ``chosen`` layers."""
    values, at = own.values.clone(), 0
    for layer, count in zip(own.layers, layer_counts(own), strict=True):
        if chosen(layer):
            values[at : at + count] = other.values[at : at + count]
        at += count
    return own.with_values(values)


def layer_counts(expert: Expert) -> list[int]:
    """Return how many of an expert's values belong to each layer, in order."""
    counts: list[int] | None = getattr(expert, "counts", None)
    if counts is None:  # a core of every layer
        return [expert.count // len(expert.layers)] * len(expert.layers)
    each = len(counts) // len(expert.layers)  # a LoRA layer has those of A, then those of B
    return [sum(counts[i : i + each]) for i in range(0, len(counts), each)]
