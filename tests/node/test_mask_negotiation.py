"""One device that negotiates: the rule by brute force, whatever the order of what arrives; what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from meshtune.adapter.mask import collision_rate, join, top_positions
from meshtune.adapter.mask_claims import capped_counts
from meshtune.errors import PayloadError
from meshtune.node.envelope import Envelope
from meshtune.node.negotiation.mask_negotiation import MaskNegotiation
from meshtune.node.negotiation.negotiation_schedule import NegotiationSchedule
from meshtune.wire.content_cache import ContentCache
from meshtune.wire.payload import Message, decode, encode
from meshtune.wire.positions import encode_positions

Positions = list[list[int]]


@dataclass(frozen=True)
class Part:
    """Devices of some groups that hear of each other; few different scores, so that there are ties."""

    graph: dict[int, tuple[int, ...]]
    sizes: list[int]
    groups: dict[int, str]
    scores: dict[int, list[Any]]
    counts: dict[int, list[int]]

    def devices(self, shared: bool = False) -> dict[int, MaskNegotiation]:
        """Every device by itself, or all of one process."""
        schedule, cache = NegotiationSchedule(self.graph, self.groups), ContentCache() if shared else None
        return {
            device: MaskNegotiation(device, self.scores[device], self.counts[device], self.sizes, schedule, cache)
            for device in self.graph
        }

    @property
    def hops(self) -> int:
        return NegotiationSchedule(self.graph, self.groups).hops


@st.composite
def parts(draw: st.DrawFn, groups: str = "abc") -> Part:
    ids = draw(st.lists(st.integers(0, 20), min_size=1, max_size=6, unique=True))
    near: dict[int, set[int]] = {device: set() for device in ids}
    edges = [(ids[at], ids[draw(st.integers(0, at - 1))]) for at in range(1, len(ids))]
    for a, b in edges + draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=6)):
        if a != b:
            near[a].add(b)
            near[b].add(a)
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    levels = st.integers(0, 4)
    return Part(
        {device: tuple(sorted(near[device])) for device in sorted(ids)},
        sizes,
        {device: draw(st.sampled_from(groups)) for device in ids},
        {d: [np.array(draw(st.lists(levels, min_size=n, max_size=n)), dtype="f4") for n in sizes] for d in ids},
        {d: [draw(st.integers(0, n)) for n in sizes] for d in ids},
    )


def talk(
    devices: dict[int, MaskNegotiation], hops: int, order: Callable[[list[Envelope]], object] = lambda _: None
) -> list[list[Envelope]]:
    """Deliver what is sent, hop by hop; return it. ``order`` may shuffle a hop."""
    found, sent = [], [one for device in devices.values() for one in device.start()]
    for _ in range(hops):
        found.append(sent)
        order(sent := list(sent))
        passed = [more for one in sent for more in devices[one.receiver].receive(one.sender, one.data)]
        sent = [*passed, *(one for device in devices.values() for one in device.next_hop())]
    assert sent == []
    return found


def plain(mask: Sequence[Any] | None) -> Positions:
    assert mask is not None
    return [positions.tolist() for positions in mask]


def brute_force(part: Part) -> dict[str, Positions]:
    """Position by position: a group's devices list what is free, best first; the group takes what most of them list."""
    keys = sorted(set(part.groups.values()))
    taken: list[set[int]] = [set() for _ in part.sizes]
    found: dict[str, Positions] = {}
    for key in keys:
        mates = sorted(device for device, group in part.groups.items() if group == key)
        wants = {d: capped_counts(part.counts[d], part.sizes, len(keys)) for d in mates}
        found[key] = []
        for layer, size in enumerate(part.sizes):
            free = [p for p in range(size) if p not in taken[layer]]
            lists = {
                d: sorted(free, key=lambda p, d=d: (-part.scores[d][layer][p], p))[: wants[d][layer]] for d in mates
            }
            first = lists[mates[0]]
            votes = {p: sum(p in lists[d] for d in mates) for p in free}
            best = sorted(free, key=lambda p: (-votes[p], p not in first, p))[: len(first)]
            found[key].append(sorted(best))
            taken[layer] |= set(best)
    return found


@given(parts(), st.booleans())
def test_all_end_with_the_claims_of_the_rule(part: Part, shared: bool) -> None:
    devices, due = part.devices(shared), brute_force(part)
    talk(devices, part.hops)
    for device, one in devices.items():
        assert plain(one.mask) == due[part.groups[device]]
        assert {mate: plain(mask) for mate, mask in one.masks.items()} == {d: due[g] for d, g in part.groups.items()}


@given(parts(), st.randoms())
def test_the_order_in_which_a_hop_arrives_does_not_matter(part: Part, random: Random) -> None:
    plainly, shuffled = part.devices(), part.devices()
    first, second = talk(plainly, part.hops), talk(shuffled, part.hops, random.shuffle)
    assert {d: plain(one.mask) for d, one in plainly.items()} == {d: plain(one.mask) for d, one in shuffled.items()}

    def sent(hops: list[list[Envelope]]) -> list[list[tuple[int, int, int, bytes]]]:
        return [sorted((e.sender, e.receiver, e.source, e.data) for e in hop) for hop in hops]

    assert sent(first) == sent(second)


@given(parts())
def test_each_is_sent_each_message_once_by_its_neighbours(part: Part) -> None:
    sent = [one for hop in talk(part.devices(), part.hops) for one in hop]
    assert all(one.receiver in part.graph[one.sender] for one in sent)
    arrivals = [(one.receiver, one.source, decode(one.data).kind) for one in sent]
    assert len(arrivals) == len(set(arrivals))
    assert all(one.split["masks"] + one.split["control"] == len(one.data) for one in sent)


@given(parts())
def test_groups_never_collide_and_keep_to_their_part(part: Part) -> None:
    devices = part.devices()
    talk(devices, part.hops)
    keys = set(part.groups.values())
    claims = {part.groups[device]: one.mask for device, one in devices.items()}
    assert collision_rate([mask for mask in claims.values() if mask is not None], part.sizes) == 0
    for key in keys:
        lowest = min(device for device, group in part.groups.items() if group == key)
        claim = plain(claims[key])
        assert all(len(p) <= size // len(keys) for p, size in zip(claim, part.sizes, strict=True))
        room = sum(size // len(keys) for size in part.sizes)
        assert sum(map(len, claim)) == min(sum(part.counts[lowest]), room)


@given(parts("a"))
def test_a_device_by_itself_keeps_its_own_mask(part: Part) -> None:
    device = min(part.graph)
    alone = Part({device: ()}, part.sizes, {device: "a"}, part.scores, part.counts)
    (one,) = alone.devices().values()
    assert one.start() == []
    own = [top_positions(s, n) for s, n in zip(part.scores[device], part.counts[device], strict=True)]
    assert plain(one.mask) == plain(own)


def by_hand() -> Part:
    """One layer of six, a path. "a" wants 5 and 4; both of "b" want 4 best, then differ; "c" has what is left."""
    scores = {
        0: [np.array([0.0, 1, 2, 3, 8, 9])],  # a
        1: [np.array([6.0, 5, 0, 0, 9, 1])],  # b: without 4 and 5 it is 0 and 1
        2: [np.array([0.0, 7, 6, 0, 9, 1])],  # b: 1 and 2
        3: [np.array([9.0, 9, 9, 0, 9, 9])],  # c
    }
    path = {0: (1,), 1: (0, 2), 2: (1, 3), 3: (2,)}
    return Part(path, [6], {0: "a", 1: "b", 2: "b", 3: "c"}, scores, {device: [2] for device in scores})


def test_turns_by_hand() -> None:
    part = by_hand()
    devices = part.devices()
    hops = [[(e.sender, e.receiver, e.source, decode(e.data).kind) for e in hop] for hop in talk(devices, part.hops)]
    assert [plain(devices[d].mask) for d in range(4)] == [[[4, 5]], [[0, 1]], [[0, 1]], [[2, 3]]]  # 1 has two votes
    assert hops == [
        [(0, 1, 0, "claim")],
        [(1, 2, 0, "claim")],
        [(2, 3, 0, "claim")],
        [(1, 2, 1, "proposal"), (2, 1, 2, "proposal")],
        [(1, 0, 1, "claim"), (1, 2, 1, "claim")],
        [(2, 3, 1, "claim")],  # by 2, which has voted the same
        [(3, 2, 3, "claim")],
        [(2, 1, 3, "claim")],
        [(1, 0, 3, "claim")],
    ]


def test_who_lacks_a_claim_waits_for_it() -> None:
    """A message that comes some hops too late is what its receiver waits for."""
    part = by_hand()
    devices = part.devices()
    (claim,) = devices[0].start()
    for device in (1, 2, 3):
        assert devices[device].start() == []
    assert all(devices[1].next_hop() == [] for _ in range(5))
    (passed,) = devices[1].receive(0, claim.data)
    assert (passed.sender, passed.receiver, passed.source) == (1, 2, 0)
    assert [decode(one.data).kind for one in devices[1].next_hop()] == ["proposal"]


def coded(positions: list[int], size: int = 6) -> dict[str, torch.Tensor]:
    data = encode_positions(join([np.array(positions, dtype=np.int64)], [size]), size)
    return {"mask": torch.frombuffer(bytearray(data), dtype=torch.uint8)}


def claim(sender: int, source: int, positions: list[int], group: object = "a", **changes: Any) -> Message:
    meta = {} if group is None else {"group": group}
    return replace(Message("claim", sender, 0, source, meta, coded(positions)), **changes)


def proposal(sender: int, source: int, positions: list[int]) -> Message:
    return Message("proposal", sender, 0, source, {}, coded(positions))


REFUSED: dict[str, tuple[int, Message, str]] = {
    "another sender": (0, claim(2, 0, [4, 5]), "names device 2 as its sender"),
    "a stranger": (7, claim(7, 7, [4, 5]), "names device 7"),
    "itself": (0, claim(0, 1, [4, 5], "b"), "names it as its source"),
    "another kind": (0, claim(0, 0, [4, 5], kind="update"), "of kind 'update'"),
    "a later round": (0, claim(0, 0, [4, 5], round=1), "of round 1"),
    "no group": (0, claim(0, 0, [4, 5], None), "lacks its group"),
    "another group": (0, claim(0, 0, [4, 5], "c"), "a claim for group 'c'"),
    "not the lowest": (2, claim(2, 2, [4, 5], "b"), "for which device 1 claims"),
    "another way": (2, claim(2, 0, [4, 5]), "which is not on its route"),
    "nobody to tell": (0, proposal(0, 0, [4, 5]), "which is not on its route"),
    "too many": (0, claim(0, 0, [3, 4, 5]), "more than 1/3 of a layer"),
    "another model": (0, claim(0, 0, [4, 5], tensors=coded([4, 5], 9)), "9 positions came, expected 6"),
    "no mask": (0, claim(0, 0, [], tensors={}), "came without mask"),
    "more": (0, claim(0, 0, [], tensors={**coded([4]), "more": torch.zeros(1)}), "a tensor 'more'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_and_changes_nothing(name: str) -> None:
    sender, message, words = REFUSED[name]
    part = by_hand()
    devices = part.devices()
    for one in devices.values():
        sent = one.start()
        if one.device == 0:
            (right,) = sent
    with pytest.raises(PayloadError, match=words):
        devices[1].receive(sender, encode(message))
    assert devices[1].masks == {}
    assert goes_on(devices, right) == [[[4, 5]], [[0, 1]], [[0, 1]], [[2, 3]]]


def goes_on(devices: dict[int, MaskNegotiation], right: Envelope) -> list[Positions]:
    """Deliver the right message of the first hop, then all others; return the masks of all."""
    sent = devices[1].receive(0, right.data)
    for _ in range(9):
        sent = [*sent, *(one for device in devices.values() for one in device.next_hop())]
        sent = [more for one in sent for more in devices[one.receiver].receive(one.sender, one.data)]
    return [plain(devices[device].mask) for device in range(4)]


@given(st.data())
def test_a_damaged_message_is_refused_and_changes_nothing(data: st.DataObject) -> None:
    devices = by_hand().devices()
    (right,) = [sent for one in devices.values() for sent in one.start()]
    damaged = bytearray(right.data)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    for broken in (bytes(damaged), right.data[:at]):
        with pytest.raises(PayloadError):
            devices[1].receive(0, broken)
    assert devices[1].masks == {}
    assert goes_on(devices, right) == [[[4, 5]], [[0, 1]], [[0, 1]], [[2, 3]]]


def test_a_message_that_comes_twice_is_passed_on_once_and_another_is_refused() -> None:
    devices = by_hand().devices()
    (right,) = devices[0].start()
    assert len(devices[1].receive(0, right.data)) == 1
    assert devices[1].receive(0, right.data) == []
    with pytest.raises(PayloadError, match="two claims that differ"):
        devices[1].receive(0, encode(claim(0, 0, [3, 4])))
    assert plain(devices[1].masks[0]) == [[4, 5]]


def test_claims_are_held_against_others_and_against_the_vote() -> None:
    part = by_hand()
    devices = part.devices()
    sent = [one for device in devices.values() for one in device.start()]
    for _ in range(4):  # "a" has claimed, the proposals of "b" are on their way
        sent = [more for one in sent for more in devices[one.receiver].receive(one.sender, one.data)]
        sent += [one for device in devices.values() for one in device.next_hop()]
    assert [decode(one.data).kind for one in sent] == ["claim", "claim"]  # of 1, to 0 and 2
    with pytest.raises(PayloadError, match="another group has claimed"):
        devices[0].receive(1, encode(claim(1, 1, [0, 4], "b")))
    with pytest.raises(PayloadError, match="a claim that does not match its group's proposals"):
        devices[2].receive(1, encode(claim(1, 1, [2, 3], "b")))
    assert [more.receiver for one in sent for more in devices[one.receiver].receive(one.sender, one.data)] == [3]
