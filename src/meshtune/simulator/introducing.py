"""Nodes learn of each other: all at the same time, hop by hop, until there are no more requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch

from meshtune.adapter.expert import Expert
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Announcement, Masks, Member
from meshtune.node.envelope import Envelope
from meshtune.node.introductions import as_told
from meshtune.node.node import Node
from meshtune.node.updates import UpdateRules
from meshtune.simulator.inboxes import Inboxes, Listener
from meshtune.wire.ledger import Ledger

Hop = Mapping[tuple[int, int], int]
"""Bytes of announcements per link (sender, receiver)."""


def nodes_of(
    said: Sequence[Announcement],
    method: Method,
    factory: ExpertFactory,
    clusters: Mapping[int, int],
    reliable: bool,
    masks: Mapping[int, Mapping[int, Masks]] | None = None,
) -> list[Node]:
    """Return a node for every device; each knows only itself.

    Args:
        said: the devices' announcements.
        method: the method they run.
        factory: builds their experts.
        clusters: the cluster of every device, if a radio network formed clusters.
        reliable: whether links always deliver.
        masks: per device, the masks it already has, by device.
    """
    rules = UpdateRules(method, factory, ExchangeConfig(), 0)
    layers, adapter = factory.layers, factory.adapter
    nodes = []
    for own in said:
        known = as_told(own, rules) if method.sharing.sends else own
        nothing = Expert(layers, adapter.rank, adapter.scale, torch.zeros(0))  # until it begins
        member = Member(own.device, own, nothing, known={own.device: known}, clusters=clusters, timely=not reliable)
        nodes.append(Node(member, rules, reliable, (masks or {}).get(own.device)))
    return nodes


def introduce(
    nodes: Sequence[Node],
    graph: Mapping[int, Sequence[int]],
    ledger: Ledger,
    listener: Listener | None = None,
    now: float = 0.0,
) -> tuple[list[Hop], list[Sequence[Envelope]]]:
    """Deliver all announcements to the nodes that lack them.

    Args:
        nodes: the nodes of one method; the devices they know are updated.
        graph: neighbours by device id.
        ledger: counts the bytes sent, in the nodes' current round.
        listener: called with every envelope that arrives.
        now: seconds on the clock of the method.

    Returns:
        The bytes of announcements per link, hop by hop; and the control messages about who knows whom, grouped by the
        time at which they were sent.
    """
    at, arrival = {node.device: node for node in nodes}, Inboxes(nodes, listener)
    control: list[Sequence[Envelope]] = []

    def carry(say: Callable[[Node], list[Envelope]]) -> list[Envelope]:
        said = [one for node in nodes for one in say(node)]
        for one in said:
            rules = at[one.sender].rules
            ledger.record(rules.method.name, rules.round, one.sender, one.receiver, one.split, one.relayed)
        arrival.require(said, now)
        return said

    for node in nodes:
        node.meet(graph[node.device])
    control.append(carry(Node.announcement_news))
    hops: list[Hop] = []
    while asked := carry(Node.announcement_requests):
        hop = Counter[tuple[int, int]]()
        for one in carry(Node.requested_announcements):
            hop[one.sender, one.receiver] += len(one.data)
        hops.append(hop)
        control += [asked, carry(Node.announcement_news)]
    for node in nodes:
        node.rules.cache.release()
    return hops, control
