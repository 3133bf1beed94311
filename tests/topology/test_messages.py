"""What messages of clustering weigh, by hand and as their fields packed."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshtune.topology.gossip import peers, settle
from meshtune.topology.messages import ClusterMessage, FormedCluster, Hello, Proposal, Reports
from radio_worlds import World

PAIR = World((1, 2), ((0, 0), (3, 0)), (64, 64), ((0.1,), (0.1,)), (1000,), 0.5, 10, None, 1)


def test_two_devices_say_what_is_counted() -> None:
    """Each: who it is (17 + 24 + 2 bytes), whom it hears (17 + 16), a proposal (17 + 12), the cluster (17 + 16)."""
    devices = peers(PAIR.air, PAIR.use, 0.5)
    traffic = settle(devices, lambda n: 0)
    assert traffic.messages == traffic.copies == 2 * 4
    assert traffic.bytes == 2 * (43 + 33 + 29 + 33)
    assert [peer.members for peer in devices] == [(1, 2), (1, 2)]
    assert [peer.leads for peer in devices] == [True, False]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=9), st.integers(0, 9), st.integers(1, 5))
def test_bytes_are_those_of_the_fields_packed(counts: list[int], links: int, merges: int) -> None:
    wide = np.array(counts, dtype=np.uint16)
    packed = {
        Hello((1.0, 2.0), 0.5, wide): ("ddd" + "H" * len(counts)),
        Hello((1.0, 2.0), 0.5, wide.astype(np.uint8)): ("ddd" + "B" * len(counts)),
        Proposal(3, 4): "QHH",
        FormedCluster(tuple((0, at + 1) for at in range(merges))): "QQ" * merges,
    }
    for body, fields in packed.items():
        assert body.nbytes == struct.calcsize("=" + fields)
        assert ClusterMessage(1, (2, 3, 4), 7, body).nbytes == struct.calcsize("=QIBI" + fields)  # sent once
    reports = Reports(dict.fromkeys(range(links), 5))
    assert ClusterMessage(1, (2,), 7, reports).nbytes == struct.calcsize("=QIBI" + "QQ" * links)


def test_a_cluster_names_each_member_once() -> None:
    assert FormedCluster(((7, 9), (2, 7))).members == (2, 7, 9)
    assert FormedCluster(()).members == ()
