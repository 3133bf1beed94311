"""What devices may not say as clusters form: refused, and nothing of it is kept."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import PayloadError
from meshtune.topology.gossip import peers
from meshtune.topology.messages import ClusterMessage, FormedCluster, Hello, Proposal, Reports
from meshtune.topology.peer import Peer
from meshtune.topology.power import NEVER
from radio_worlds import World

ROW = World(
    (1, 2, 3, 9), ((0, 0), (3, 0), (5, 0), (30, 0)), (64,) * 4, ((0.1,),) * 4, (1000,), 0.5, 10, 3, 1
)  # 9 is out of range
NAN = float("nan")


def opened() -> Peer:
    """Device 1, which has heard who 2 and 3 are and whom they hear."""
    first, *others = peers(ROW.air, ROW.use, 0.5)
    first.start()
    for other in others[:2]:
        for message in other.start():
            first.receive(message)
    return first


def state(peer: Peer) -> Any:
    kept = {key: value for key, value in vars(peer).items() if key not in ("terms", "hellos", "sets")}
    return copy.deepcopy(kept), sorted(peer.hellos), {head: each.merges for head, each in peer.sets.items()}


def hello(position: Any = (3.0, 0.0), power: Any = 64.0, announced: Any = None) -> Hello:
    return Hello(position, power, ROW.use.announced[1] if announced is None else announced)


LIES = [
    (1, hello(), "which it does not hear"),
    (9, hello(), "which it does not hear"),
    (True, hello(), "which it does not hear"),
    ("2", hello(), "which it does not hear"),
    (2, None, "not a message of cluster formation"),
    (2, "x" * 9999, "not a message of cluster formation"),
    (2, hello((NAN, 0.0)), "expected a finite number"),
    (2, hello((3.0,)), "expected 2 numbers"),
    (2, hello(("3", 0.0)), "expected a finite number"),
    (2, hello(power=0.0), "states a power limit of 0 W"),
    (2, hello(power=1e9), "states a power limit of 1e[+]09 W"),
    (2, hello(power=NAN), "expected a finite number"),
    (2, hello(announced=np.zeros(2, dtype=np.uint16)), "must announce its mask as 1 whole numbers"),
    (2, hello(announced=np.zeros(1)), "must announce its mask"),
    (2, hello(announced=[1]), "must announce its mask"),
    (2, hello(announced=np.full(1, 1 << 20, dtype=np.uint32)), "more than a whole layer"),
    (2, hello((4.0, 0.0)), "contradicts its earlier description"),
    (2, Reports({1: 1}), "contradicts its earlier report"),
    (2, Reports({2: 1}), "a link to itself"),
    (2, Reports({1: 0}), "is 0"),
    (2, Reports({1: NEVER + 1}), "the cost of a link"),
    (2, Reports({1: 1.5}), r"is 1\.5"),  # type: ignore[dict-item]
    (2, Reports({-1: 1}), "is -1"),
    (2, Reports(dict.fromkeys(range(3, 70_000), 1)), "at most 65535"),
    (2, Reports([1]), "at most"),  # type: ignore[arg-type]
    (2, Proposal(0, 1), "is 0: expected a whole number from 1 to 3"),
    (2, Proposal(1, 1 << 62), "is 4611686018427387904"),
    (2, Proposal(1.0, 1), r"is 1\.0"),  # type: ignore[arg-type]
    (2, FormedCluster(()), "an invalid cluster"),
    (2, FormedCluster(((1, 2), (1, 3), (1, 4))), "more than 3 devices"),
    (2, FormedCluster(((2, 1),)), "an impossible merger"),
    (2, FormedCluster(((2, 2),)), "an impossible merger"),
    (2, FormedCluster(((1, 2), (2, 3))), "an impossible merger"),
    (2, FormedCluster(((1, 2), (1, 2))), "an impossible merger"),
    (2, FormedCluster(((1, 3),)), "not its own"),
    (2, FormedCluster(((2, 3, 4),)), "expected two devices"),  # type: ignore[arg-type]
    (2, FormedCluster(((2, "3"),)), "is '3'"),  # type: ignore[arg-type]
    (2, FormedCluster(((2, 1 << 70),)), "a device in a cluster"),
    (2, FormedCluster([(2, 3)]), "an invalid cluster"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("sender", "body", "part"), LIES)
def test_what_cannot_be_is_refused_and_nothing_of_it_kept(sender: Any, body: Any, part: str) -> None:
    first = opened()
    before = state(first)
    with pytest.raises(PayloadError, match=part) as caught:
        first.receive(ClusterMessage(sender, (1,), 0, body))
    assert len(str(caught.value)) < 300
    assert state(first) == before


ids = st.sampled_from([1, 2, 3, 9]) | st.integers(-2, 1 << 64)
bodies = st.one_of(
    st.builds(
        Hello,
        st.tuples(st.floats(), st.floats()) | st.none() | st.just((3.0, 0.0)),
        st.floats() | st.integers() | st.just(64.0),
        st.sampled_from([ROW.use.announced[0], np.zeros(1), np.zeros(3, dtype=np.uint16), None]),
    ),
    st.builds(Reports, st.dictionaries(ids, st.integers(-1, NEVER + 1), max_size=4)),
    st.builds(Proposal, st.integers(-1, 5), st.integers(-1, 5)),
    st.builds(FormedCluster, st.lists(st.tuples(ids, ids), max_size=4).map(tuple)),
    st.none() | st.text(max_size=5),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.builds(ClusterMessage, ids, st.just((1,)), st.integers(-1, 1), bodies), max_size=12), st.randoms())
def test_anything_said_raises_nothing_else(said: list[ClusterMessage], draw: Any) -> None:
    """Among the true messages of all devices; whoever is refused leaves the device as it was."""
    devices = peers(ROW.air, ROW.use, 0.5)
    first = devices[0]
    under_way = [message for peer in devices for message in peer.start() if 1 in message.to] + said
    draw.shuffle(under_way)
    for message in under_way:
        before = state(first)
        try:
            first.receive(message)
        except PayloadError:
            assert state(first) == before
