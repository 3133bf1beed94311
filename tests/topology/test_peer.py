"""One device of decentralised clustering: what it heeds, what it drops, and what it says in reply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshtune.errors import PayloadError
from meshtune.topology.gossip import peers
from meshtune.topology.messages import ClusterMessage, FormedCluster, Hello, Proposal, Reports
from meshtune.topology.peer import Peer
from meshtune.topology.power import FULL
from radio_worlds import World

PAIR = World((1, 2), ((0, 0), (3, 0)), (64, 64), ((0.1,), (0.1,)), (1000,), 0.5, 10, None, 1)
APART = World((1, 2, 3), ((0, 0), (-8, 0), (8, 0)), (1024,) * 3, ((0.1,),) * 3, (1000,), 0.5, 10, None, 1)


def heard(world: World) -> Peer:
    """Device 1, which has heard who all others are and whom they hear."""
    first, *others = peers(world.air, world.use, 0.5)
    first.start()
    for other in others:
        for message in other.start():
            first.receive(message)
    return first


def test_messages_of_an_earlier_epoch_are_dropped() -> None:
    first, second = peers(PAIR.air, PAIR.use, 0.5, epoch=7)
    assert {message.epoch for message in first.start()} == {7}
    for message in second.start():
        old = ClusterMessage(message.sender, message.to, 6, message.body)
        assert first.receive(old) == []
    assert set(first.hellos) == {1}
    assert first.receive(ClusterMessage(2, (1,), 6, Proposal(1, 1))) == []
    assert first.receive(ClusterMessage(2, (1,), 6, FormedCluster(((1, 2),)))) == []
    assert first.members == (1,)


def test_two_devices_answer_each_other_word_by_word() -> None:
    first, second = peers(PAIR.air, PAIR.use, 0.5)
    said = first.start()
    assert [message.to for message in said] == [(2,), (2,)]
    hello, reports = (message.body for message in said)
    assert isinstance(hello, Hello)
    assert isinstance(reports, Reports)
    assert (hello.position, hello.power, reports.ticks) == ((0.0, 0.0), 64.0, {2: 9 * FULL // 64})
    answers = [first.receive(message) for message in second.start()]
    assert answers == [[], [ClusterMessage(1, (2,), 0, Proposal(1, 1))]]
    assert first.receive(ClusterMessage(2, (1,), 0, Proposal(2, 1))) == []  # of another state
    merged = ClusterMessage(1, (2,), 0, FormedCluster(((1, 2),)))
    assert first.receive(ClusterMessage(2, (1,), 0, Proposal(1, 1))) == [merged]
    assert (first.members, first.merges, first.leads) == ((1, 2), ((1, 2),), True)
    for message in said:
        second.receive(message)
    second.receive(merged)
    assert (second.members, second.leads) == ((1, 2), False)
    assert second.receive(merged) == []


@pytest.mark.parametrize("forbidden", [{"most": 1}, {"limits": (64, 8)}, {"densities": ((1.0,), (1.0,))}])
def test_whom_a_bound_forbids_is_not_proposed_to(forbidden: dict[str, Any]) -> None:
    allowed, bound = (heard(world) for world in (PAIR, replace(PAIR, **forbidden)))
    proposals = (peer.receive(ClusterMessage(2, (1,), 0, Proposal(1, 1))) for peer in (allowed, bound))
    assert [bool(said) for said in proposals] == [True, False]
    assert (allowed.members, bound.members) == ((1, 2), (1,))


def test_the_worse_of_both_ends_reports_counts() -> None:
    """Device 1 hears 2 well, 2 hears 1 at a cost that device 1, the weaker, cannot pay."""
    weak = replace(PAIR, limits=(16, 64))
    first, _ = peers(weak.air, weak.use, 0.5)
    hello = Hello((3.0, 0.0), 64.0, PAIR.use.announced[1])
    said = [*first.start(), *first.receive(ClusterMessage(2, (1,), 0, hello))]
    said += first.receive(
        ClusterMessage(2, (1,), 0, Reports({1: FULL // 3}))
    )  # 16 W are a quarter of what the strongest has
    assert not any(isinstance(message.body, Proposal) for message in said)


def test_an_old_proposal_that_arrives_late_takes_back_no_new_one() -> None:
    """Device 1 is nearest to 3, which joins 2; both of 2's proposals to 1 come before word of that, in wrong order."""
    three = World((1, 2, 3), ((0, 0), (5, 0), (1, 0)), (1024,) * 3, ((0.1,),) * 3, (1000,), 0.5, 10, None, 1)
    first, *others = peers(three.air, three.use, 0.5)
    said = first.start()
    for other in others:
        for message in other.start():
            said += first.receive(message)
    assert [message.to for message in said if isinstance(message.body, Proposal)] == [(3,)]
    for body in (Proposal(2, 1), Proposal(1, 1)):
        assert first.receive(ClusterMessage(2, (1,), 0, body)) == []
    joined = first.receive(ClusterMessage(2, (1, 3), 0, FormedCluster(((2, 3),))))
    assert [message.body for message in joined] == [Proposal(1, 2), FormedCluster(((2, 3), (1, 2)))]
    assert first.members == (1, 2, 3)


def test_what_is_said_twice_in_the_same_words_is_heard() -> None:
    """A layer below may send again what it believes lost."""
    first, second, _ = peers(APART.air, APART.use, 0.5)
    first.start()
    for message in second.start():
        for _ in range(2):
            assert first.receive(message) == []


def test_a_cluster_that_cuts_the_own_apart_is_refused() -> None:
    row = World((1, 2, 3), ((0, 0), (3, 0), (5, 0)), (64,) * 3, ((0.1,),) * 3, (1000,), 0.5, 10, None, 1)
    first = heard(row)
    first.receive(ClusterMessage(2, (1,), 0, Proposal(1, 1)))
    first.receive(ClusterMessage(2, (1,), 0, FormedCluster(((1, 2),))))
    assert first.members == (1, 2)
    with pytest.raises(PayloadError, match="splits the cluster of device 1"):
        first.receive(ClusterMessage(3, (1,), 0, FormedCluster(((1, 3),))))
    assert first.members == (1, 2)


def test_a_lie_that_came_early_does_not_stop_the_truth() -> None:
    """Clusters are heeded once everyone in range has said who it is; what was wrong with one shows only then."""
    first, *others = peers(APART.air, APART.use, 0.5)
    first.start()
    assert first.receive(ClusterMessage(2, (1,), 0, FormedCluster(((2, 3),)))) == []
    for other in others:
        for message in other.start():
            first.receive(message)
    assert set(first.sets) == {1, 2, 3}


def test_a_cluster_of_devices_that_do_not_hear_each_other_is_refused() -> None:
    """1 hears 2 and 3, 8 m to its left and right; they are 16 m apart, and the range is 10 m."""
    first = heard(APART)
    with pytest.raises(PayloadError, match="a cluster of 2 and 3, which do not hear each other"):
        first.receive(ClusterMessage(2, (1,), 0, FormedCluster(((2, 3),))))
