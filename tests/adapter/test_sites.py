"""Sites and places: which layers share a projection, and which read the same tensor."""

from __future__ import annotations

import pytest

from architectures import ARCHITECTURES, tiny
from meshtune.adapter.layer import Adapters
from meshtune.adapter.sites import describe, narrowest, places, site_of, sizes

BLOCK = "model.layers.3."


@pytest.mark.parametrize(
    ("names", "site"),
    [
        (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "attn.c_attn"), "attn_in"),
        (("self_attn.o_proj", "self_attn.out_proj", "attn.c_proj", "attention.dense"), "attn_out"),
        (("mlp.gate_proj", "mlp.up_proj", "mlp.c_fc", "fc1", "mlp.dense_h_to_4h"), "mlp_in"),
        (("mlp.down_proj", "mlp.c_proj", "fc2", "mlp.dense_4h_to_h"), "mlp_out"),
    ],
)
def test_names_that_are_known_have_one_of_four_sites(names: tuple[str, ...], site: str) -> None:
    assert {site_of(BLOCK + name) for name in names} == {site}


@pytest.mark.parametrize("name", ["mixer.dt_proj", "mlp.my_fc1", "dense", "c_proj", "self_attn.q_proj.inner"])
def test_a_layer_that_is_not_known_is_a_site_of_its_own(name: str) -> None:
    assert site_of(BLOCK + name) == BLOCK + name


def test_layers_of_one_module_and_site_read_one_tensor() -> None:
    query, key, other, state = (
        describe(i, BLOCK + name, 8, 5, False)
        for i, name in enumerate(("self_attn.q_proj", "self_attn.k_proj", "cross.q_proj", "self_attn.dt_proj"))
    )
    assert query.place == key.place != other.place
    assert query.site == other.site == "attn_in"
    assert state.place == state.site == state.name
    alone = describe(0, query.name, 8, 5, True)
    assert (alone.site, alone.place) == (query.name, query.name)


def test_numbers_of_layers() -> None:
    layers = [
        describe(0, "model.layers.0.self_attn.q_proj", 8, 5, False),
        describe(1, "model.layers.0.self_attn.k_proj", 8, 3, False),
        describe(2, "model.layers.0.mlp.down_proj", 6, 8, False),
        describe(3, "model.layers.1.mlp.down_proj", 6, 8, False),
    ]
    assert sizes(layers, 4) == [20, 12, 32, 32]
    assert list(places(layers).items()) == [
        ("model.layers.0.self_attn/attn_in", 8),
        ("model.layers.0.mlp/mlp_out", 6),
        ("model.layers.1.mlp/mlp_out", 6),
    ]
    assert narrowest(layers) is layers[2]
    assert narrowest(layers[::-1]) is layers[2]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sites_share_projections_as_the_method_says(architecture: str) -> None:
    """Four sites a block; layers that read the same tensor share a place."""
    layers = Adapters(tiny(architecture)).layers
    assert {layer.site for layer in layers} == {"attn_in", "attn_out", "mlp_in", "mlp_out"}
    assert len({layer.place for layer in layers}) == 8
    each = Adapters(tiny(architecture), per_layer=True).layers
    assert len({layer.site for layer in each}) == len(each)
