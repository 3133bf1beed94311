"""Runs mask negotiation before the handshake: all parts in parallel, hop by hop.

The host only carries the devices' messages (:mod:`meshtune.node.negotiation.mask_negotiation`) and knows no more than
the devices do. The result is measured afterwards with all masks at hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from meshtune.adapter.mask import collision_rate
from meshtune.methods.state import Announcement, Masks
from meshtune.node.envelope import Envelope
from meshtune.node.negotiation.mask_agreement import Agreement, Sent
from meshtune.node.negotiation.mask_negotiation import MaskNegotiation
from meshtune.node.negotiation.negotiation_schedule import NegotiationSchedule
from meshtune.topology.graphs import components
from meshtune.training.divergence import handshake_errors
from meshtune.wire.content_cache import ContentCache


@handshake_errors()
def negotiate(own: Sequence[Announcement], inner: Mapping[int, Sequence[int]], sizes: Sequence[int]) -> Agreement:
    """Let the groups of every cluster claim their positions.

    Args:
        own: every device's announcement, its scores included, by id.
        inner: neighbours within clusters.
        sizes: d r of every layer.
    """
    parts, cache = components(inner), ContentCache()
    masks: dict[int, Masks] = {}
    known: dict[int, Mapping[int, Masks]] = {}
    hops, between, measured, change = [], [], [], []
    for members in parts:
        schedule = NegotiationSchedule(
            {device: inner[device] for device in members}, {device: own[device].group for device in members}
        )
        devices = [negotiation_of(own[device], sizes, schedule, cache) for device in members]
        hops.append(carry(devices, schedule.hops))
        for one in devices:
            assert one.mask is not None
            masks[one.device], known[one.device] = one.mask, one.masks
        claims = [masks[turn.mates[0]] for turn in schedule.turns.values()]
        between.append(collision_rate(claims, sizes))
        measured.append(collision_rate([masks[device] for device in members], sizes))
        change.append(max(changed(own[device].masks, masks[device], sizes) for device in members))
    together = itertools.zip_longest(*hops, fillvalue=())
    return Agreement(
        parts,
        masks,
        known,
        tuple(tuple(itertools.chain.from_iterable(hop)) for hop in together),
        tuple(between),
        tuple(measured),
        tuple(change),
    )


def negotiation_of(
    own: Announcement, sizes: Sequence[int], schedule: NegotiationSchedule, cache: ContentCache | None = None
) -> MaskNegotiation:
    """Return the negotiating device with the announcement ``own``; ``sizes`` is d r of every layer."""
    assert own.scores is not None
    scores = np.split(own.scores, np.cumsum(sizes)[:-1])
    return MaskNegotiation(own.device, scores, [len(positions) for positions in own.masks], sizes, schedule, cache)


def carry(devices: Sequence[MaskNegotiation], hops: int) -> list[tuple[Sent, ...]]:
    """Let the devices of one part exchange messages for ``hops`` hops; return what crossed links in each."""
    at = {one.device: one for one in devices}
    crossed = []
    sent = [envelope for one in devices for envelope in one.start()]
    for _ in range(hops):
        crossed.append(tuple(Sent(e.sender, e.receiver, e.split, e.relayed) for e in sent))
        passed: list[Envelope] = []
        for envelope in sent:
            passed += at[envelope.receiver].receive(envelope.sender, envelope.data)
        sent = [*passed, *(envelope for one in devices for envelope in one.next_hop())]
    return crossed


def changed(own: Masks, agreed: Masks, sizes: Sequence[int]) -> float:
    """Return the largest difference between a layer's density in a device's own mask and in the agreed one."""
    before, after = (np.array([len(positions) for positions in mask]) for mask in (own, agreed))
    return float((np.abs(after - before) / np.array(sizes)).max())
