"""Which linear layers are adapted, and which of them share one projection A.

Layers that read the same tensor (q, k, v; gate, up) share a *site*: one product A x serves them all, four per block
instead of seven (method section 2). A layer with an unknown name gets its own site, its full name. So any architecture
works, and the known ones are cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SITES = ("attn_in", "attn_out", "mlp_in", "mlp_out")

_SITE_OF = {
    "attn_in": ("q_proj", "k_proj", "v_proj", "qkv_proj", "c_attn", "query_key_value"),
    "attn_out": ("o_proj", "out_proj", "attn.c_proj", "attention.dense"),
    "mlp_in": ("gate_proj", "up_proj", "gate_up_proj", "c_fc", "fc1", "dense_h_to_4h"),
    "mlp_out": ("down_proj", "mlp.c_proj", "fc2", "dense_4h_to_h"),
}


@dataclass(frozen=True)
class LayerSpec:
    """One adapted linear layer: its place in the model and its shape.

    Attributes:
        index: position in the model's order of adapted layers.
        name: full module name, for example ``model.layers.3.self_attn.q_proj``.
        inputs: k, the number of input features.
        outputs: d, the number of output features.
        site: the key that selects its projection A: one of :data:`SITES` or the layer's own name.
        place: the key of the tensor it reads; layers with the same place read the same input.
    """

    index: int
    name: str
    inputs: int
    outputs: int
    site: str
    place: str


def site_of(name: str) -> str:
    """Return the site of the layer called ``name``, or ``name`` itself if it is unknown."""
    for site, endings in _SITE_OF.items():
        if any(name.endswith("." + ending) for ending in endings):
            return site
    return name


def describe(index: int, name: str, inputs: int, outputs: int, per_layer: bool) -> LayerSpec:
    """Return the specification of one layer; ``per_layer`` gives every layer its own projection."""
    site = site_of(name)
    # Within one module only: a block may hold a state space model whose out_proj reads something else.
    place = f"{name.rpartition('.')[0]}/{site}" if site in SITES else name
    return LayerSpec(index, name, inputs, outputs, name if per_layer else site, name if per_layer else place)


def sizes(layers: Sequence[LayerSpec], rank: int) -> list[int]:
    """Return d_l r for every layer: the number of positions of its expansion B."""
    return [layer.outputs * rank for layer in layers]


def places(layers: Sequence[LayerSpec]) -> dict[str, int]:
    """Return k of every place, in the order of the layers."""
    return {layer.place: layer.inputs for layer in layers}


def narrowest(layers: Sequence[LayerSpec]) -> LayerSpec:
    """Return the layer with the fewest inputs: it bounds the number of orthogonal blocks."""
    return min(layers, key=lambda layer: (layer.inputs, layer.index))
