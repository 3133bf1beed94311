"""Copies that leave devices between clusters: played update by update, and by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.planning.relay_load import relay_load
from meshtune.topology.agnes import form
from meshtune.topology.backbone import Backbone, backbone
from plans import GAMMA, chain, total
from radio_worlds import World, worlds


def test_between_clusters_every_update_reaches_every_device_once() -> None:
    found = chain()
    assert [cluster.members for cluster in found.clusters] == [(0, 1), (2, 3), (4, 5)]
    between = {(link.sender, link.receiver): link.updates for link in found.links if link.between}
    # Over 1-2 go the two of its left, and back the four of its right; 3-4 likewise.
    assert between == {(1, 2): 2, (3, 4): 4, (2, 1): 4, (4, 3): 2}
    update = found.payload
    traffic = [device.bytes["bank"] for device in found.devices]
    # Device 1 passes device 0's update on to 2, and the four that come from there to 0; itself it sends to 2.
    assert traffic[1].between == update * (1 + 1 + 4)
    assert traffic[2].between == update * (1 + 3 + 2)
    assert traffic[0].between == 0
    received = sum(one.between for one in traffic) / update
    assert received == 6 * 4  # each of six updates at the four devices outside its cluster
    assert found.exchanges == 2
    once = found.methods[0].mask + found.methods[0].router + found.methods[0].control
    assert traffic[1].run["relayed"] == 2 * 5 * update + 5 * once
    assert found.devices[1].bytes["lora"].between == found.methods[1].update
    one = found.devices[1]
    power = total(1, 60**2)
    assert one.between == (2,)
    assert one.between_power == pytest.approx(power, rel=1e-9, abs=0)
    assert one.between_energy == pytest.approx(GAMMA * (2 * power + 4 * total(1, 10**2)), rel=1e-9, abs=0)
    assert any("up to 4 updates cross one link, 2 s one after another" in note for note in found.notes)


def joined(world: World) -> Backbone:
    numbered = replace(world, ids=tuple(range(len(world.ids))))
    return backbone(form(numbered.air, numbered.use, numbered.s_max))


@settings(max_examples=150, deadline=None)
@given(worlds(), st.booleans(), st.data())
def test_copies_are_those_of_updates_played_one_by_one(world: World, one_copy: bool, data: st.DataObject) -> None:
    found = joined(world)
    clusters, links = found.clusters, found.links
    mates = [len(clusters.clusters[clusters.index[device]]) - 1 for device in range(len(world.ids))]
    served = [data.draw(st.integers(0, most)) for most in mates]
    inner = [min(count, 1) if one_copy else count for count in served]
    out, passed, arrivals = ([0] * len(served) for _ in range(3))
    crossing = [[0, 0] for _ in links]

    def enter(source: int, cluster: int, by: int | None) -> None:
        """Let the update of ``source`` go on from a cluster that it has reached over the link numbered ``by``."""
        for device in clusters.clusters[cluster]:
            onward = [at for at, link in enumerate(links) if device in (link.low, link.high) and at != by]
            count = min(len(onward), 1) if one_copy else len(onward)
            (out if device == source else passed)[device] += count
            for at in onward:
                low, high = links[at].low, links[at].high
                crossing[at][device == high] += 1
                end = high if device == low else low
                passed[end] += inner[end]
                arrivals[end] += bool(inner[end])
                enter(source, clusters.index[end], at)

    for source in range(len(served)):
        enter(source, clusters.index[source], None)
    load = relay_load(found, served, relay=True, one_copy=one_copy)
    assert load.own.tolist() == inner
    assert load.out.tolist() == out
    assert load.passed.tolist() == passed
    assert load.arrivals.tolist() == arrivals
    assert load.crossing.tolist() == crossing
    alone = relay_load(found, served, relay=False, one_copy=one_copy)
    assert (alone.own.tolist(), alone.out.tolist()) == (inner, out)
    assert alone.passed.sum() == alone.arrivals.sum() == 0
    assert alone.crossing.tolist() == [[1, 1]] * len(links)


def test_a_row_of_three_clusters_by_hand() -> None:
    """0-1, 2-3 and 4-5, 1 and 2 linked, and 2 and 5."""
    row = World((0, 1, 2, 3, 4, 5), ((0, 0), (1, 0), (4, 0), (4, 1), (8, 1), (8, 0)), (1024,) * 6, ((0.0,),) * 6,
                (8,), 1.0, 4, 2, 1)  # fmt: skip
    found = joined(row)
    assert found.clusters.clusters == ((0, 1), (2, 3), (4, 5))
    ends = [(link.low, link.high) for link in found.links]
    assert ends == [(1, 2), (2, 5)]
    several, one = (relay_load(found, [1] * 6, True, one_copy) for one_copy in (False, True))
    assert several.crossing.tolist() == one.crossing.tolist() == [[2, 4], [4, 2]]
    assert several.arrivals.tolist() == one.arrivals.tolist() == [0, 4, 4, 0, 0, 4]
    assert (several.out.tolist(), one.out.tolist()) == ([0, 1, 2, 0, 0, 1], [0, 1, 1, 0, 0, 1])
    # Device 1 passes on 0's update and to 0 the four that come; 2 sends 3 + 3 over its links, or all five at once.
    assert several.passed.tolist() == [0, 1 + 4, 6 + 4, 0, 0, 1 + 4]
    assert one.passed.tolist() == [0, 1 + 4, 5 + 4, 0, 0, 1 + 4]
