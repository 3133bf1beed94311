"""What is said of a network before its first round, word by word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flying import world
from meshtune.network.network_notes import network_notes
from meshtune.node.negotiation.mask_agreement import IDLE, Agreement

PAIRS = [(0.0, 0.0), (10.0, 0.0), (210.0, 0.0), (220.0, 0.0)]
TWO: dict[str, Any] = {"s_max": 1.0, "most": 2}


def notes(places: list[tuple[float, float]] = PAIRS, name: str = "bank", **settings: Any) -> list[str]:
    return network_notes(world(name, places, **settings).network)


def test_clusters_and_links_are_counted() -> None:
    assert notes(clusters={**TWO, "inner_rounds": 2}) == ["2 clusters over the air, of 2 devices; 1 link between them"]
    assert notes(clusters={"s_max": 1.0}) == ["1 cluster over the air, of 4 devices; 0 links between them"]


def test_rounds_that_end_without_an_exchange_are_told() -> None:
    told = notes(clusters={**TWO, "inner_rounds": 3})
    assert told[1:] == [
        "clusters exchange every 3 rounds, and the updates of the last 2 of 8 rounds stay within clusters: make "
        "train.rounds a multiple of clusters.inner_rounds to end with an exchange"
    ]
    ring = {"clusters": {"kind": "single", "inner_rounds": 3}, "graph": {"kind": "ring"}}
    assert notes(**ring)[1:] == [
        "updates from devices out of range are relayed every 3 rounds; those of the last 2 of 8 rounds reach only "
        "direct neighbours: make train.rounds a multiple of clusters.inner_rounds to end with an exchange"
    ]
    still = {"clusters": {"kind": "single", "inner_rounds": 3}, "graph": {"kind": "ring", "relay": False}}
    assert notes(**still)[1:] == []


def test_parts_that_are_cut_off_and_devices_alone_are_told() -> None:
    far = [(0.0, 0.0), (10.0, 0.0), (5000.0, 0.0), (5010.0, 0.0), (9000.0, 0.0)]
    radio = {"fading": "none", "range": 100.0}
    told = notes(far, radio=radio, clusters={"s_max": 1.0, "inner_rounds": 1})
    assert told == [
        "3 clusters over the air, of 1 to 2 devices; 0 links between them",
        "the graph is disconnected into 3 parts of 2, 2, 1 devices, 1 of them a device alone: each trains separately; "
        "raise range, power or airtime to connect them",
        "device 4 is alone: no other device is within 100 m, the nearest, 3, is 3990 m away; it trains by itself",
    ]


def test_pairs_of_a_graph_that_are_out_of_reach_are_counted() -> None:
    row = [(float(10 * at), 0.0) for at in range(5)]
    told = notes(row, radio={"range": 25.0}, clusters={"kind": "single", "inner_rounds": 1}, graph={"kind": "ring"})
    assert told[1] == "1 of the 5 pairs that graph.kind=ring links are out of reach, for range or power"


def test_masks_that_collide_more_than_allowed_are_told_with_what_was_expected() -> None:
    network = world("bank", PAIRS, clusters={**TWO, "inner_rounds": 2}).network
    rates = network.formed.clusters.rates
    tight = replace(network, measured=(0.25, 1.0), formed=replace(
        network.formed, clusters=replace(network.formed.clusters, s_max=0.3)
    ))  # fmt: skip
    assert network_notes(tight)[1:] == [
        "the masks of cluster 2 and 3 collide in 1 of all positions, above the 0.3 allowed: expected were "
        f"{rates[1]:.3g}"
    ]


def test_what_was_negotiated_or_could_not_be_is_told() -> None:
    negotiated = {**TWO, "inner_rounds": 2, "masks": "negotiated"}
    assert notes(clusters=negotiated)[1:] == [IDLE]
    network = world("paper", PAIRS, clusters=negotiated).network
    agreed = Agreement(((0, 1), (2, 3)), {}, {}, (), (0.0, 0.0), (0.0, 0.0), (0.125, 0.03125))
    told = network_notes(replace(network, agreement=agreed))
    assert told[1] == (
        "masks were negotiated: those of different groups of a cluster collide nowhere, and a layer's density changed "
        "by 0.125 at most"
    )
    loud = network_notes(replace(network, agreement=agreed, measured=(2.0, 0.0)))
    assert loud[2].startswith("the own masks of cluster 0 and 1 collide in 2 of all positions")
    assert len(loud) == len(told) + 1
