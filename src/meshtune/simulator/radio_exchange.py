"""One round's exchange over the air: within clusters until the round ends, and now and then between clusters.

Within clusters there is one window: everybody sends its own update to its neighbours there, and what does not fit into
the power, is lost, or comes after T_round is left out of this round's mix. Every ``clusters.inner_rounds``-th round,
after T_round, what devices hold goes on between clusters and within them, hop by hop, until all have what can reach
them (:mod:`meshtune.node.dissemination`). A link carries one update a window, the strongest links first; a window lasts
Gamma and the slack. Methods that do not relay, and all with ``graph.relay=false``, use links for their own updates
only. Nobody sends to who is away. Where devices move, a round may begin with clusters formed anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshtune.methods.base import Method
from meshtune.methods.experts import Workshop
from meshtune.methods.state import Member
from meshtune.network.radio_network import Network
from meshtune.network.virtual_clock import Clock, Pace, Tick, elapsed
from meshtune.node.dissemination import Hop, outages, window
from meshtune.node.updates import Post, publish
from meshtune.simulator.faults import away, slowness
from meshtune.simulator.radio_round import Fate, Offer, Sky
from meshtune.simulator.reclustering import Formed, network_of, reform
from meshtune.topology.graphs import components
from meshtune.wire.ledger import Ledger
from meshtune.wireless.arrays import Bools


class Flight:
    """Carries the rounds of a run over its network.

    Args:
        network: who exchanges with whom in the first round.
        pace: how long devices compute.

    Attributes:
        formed: the clusters that were formed anew so far.
    """

    def __init__(self, network: Network, pace: Pace) -> None:
        self.network, self.pace = network, pace
        self.formed: list[Formed] = []
        self._config = network.site.config

    def exchange(
        self,
        method: Method,
        members: Sequence[Member],
        version: int,
        ledger: Ledger,
        clock: Clock,
        workshop: Workshop,
    ) -> None:
        """Publish every member's values as ``version`` and deliver what the air lets through.

        Args:
            method: decides whether anything is sent and relayed.
            members: one per device, by id; what they hold is updated.
            version: the number of rounds trained so far.
            ledger: counts what leaves a device.
            clock: gets this round's tick.
            workshop: builds the experts that devices start from.
        """
        config, site, n = self._config, self.network.site, len(members)
        again = reform(self.network, method, members, version, ledger, clock, workshop)
        post = Post(method, workshop, config.exchange, version, config.graph.relay)
        published = {member.device: publish(member, version, post) for member in members}
        for member in members:
            member.held[member.device] = published[member.device]
        values = members[0].expert.count
        slow = slowness(config.faults, config.seed, n, version)
        computing = self.pace.seconds(method, values)[version - 1] * slow
        tick = Tick(computing=float(self.pace.energy(method, values)[version - 1].sum()))
        if not method.exchanges:  # nobody waits for anybody
            tick.seconds = float(computing.max())
            clock.append(tick)
            return
        network = network_of(self.network, clock, version)
        end = self.pace.ends(method, values, network.slots)
        gone = away(config.faults, config.seed, n, version)
        late = ~gone & (computing + site.radio.planned_gamma > end)
        tick.seconds, tick.away, tick.late = end, int(gone.sum()), int(late.sum())
        positions = site.mobility.positions(elapsed(clock))
        sky = Sky(site, positions, method.name, version, members, post, ledger, tick)
        offers: list[Offer] = [
            (sender, receiver, published[sender])
            for sender, near in network.inner.items()
            for receiver in near
            if not (gone[sender] or late[sender] or gone[receiver])
        ]
        if offers:
            fates, _ = sky.send(offers, computing, end)
            tick.outages += fates.count(Fate.OUTAGE)
        if version % config.clusters.inner_rounds == 0:
            self._between(network, sky, method, gone, late)
        if again is not None:
            formed, hello = again
            self.formed.append(formed)
            tick.seconds, tick.sending = tick.seconds + hello.seconds, tick.sending + hello.sending
            tick.airtime += hello.airtime
        clock.append(tick)

    def _between(self, network: Network, sky: Sky, method: Method, gone: Bools, late: Bools) -> None:
        """Carry on what devices hold until nothing more can be."""
        graph = network.without(set(np.flatnonzero(gone).tolist()))
        links = {(a, b) for a, near in graph.items() for b in near}
        held = _newest(sky, components(graph), late)
        one_copy = sky.site.radio.cast == "broadcast"
        relays = method.relays and self._config.graph.relay
        given_up: set[Hop] = set()

        def lacking(receiver: int, senders: Sequence[int]) -> list[int]:
            return [s for s, version in held[receiver].items() if sky.version(receiver, s) < version]

        def brings(sender: int, receiver: int, source: int) -> bool:
            direct = source == sender and not late[sender]
            passes = relays and source != sender and sky.version(sender, source) == held[receiver][source]
            return (direct or passes) and (sender, receiver, source) not in given_up

        while hops := window(graph, links, lacking, brings, one_copy):
            offers: list[Offer] = [(a, b, sky.members[a].held[source]) for a, b, source in hops]
            fates, seconds = sky.send(offers, np.zeros(len(sky.members)))
            sky.tick.seconds += seconds
            given_up |= {hop for hop, fate in zip(hops, fates, strict=True) if fate is Fate.LOST}
            for link in outages(hops, [fate is not Fate.OUTAGE for fate in fates], one_copy):
                sky.tick.outages += 1
                links.discard(link)


def _newest(sky: Sky, parts: Sequence[Sequence[int]], late: Bools) -> dict[int, dict[int, int]]:
    """Return, for every device, the newest version of each other's update that its part of the graph can give it.

    Who is late is still computing its own.
    """
    found = {}
    for part in parts:
        newest: dict[int, int] = {}
        for device in part:
            for source in sorted(sky.members[device].held):
                if source != device or not late[device]:
                    newest[source] = max(newest.get(source, 0), sky.version(device, source))
        ordered = dict(sorted(newest.items()))
        for device in part:
            found[device] = {source: version for source, version in ordered.items() if source != device}
    return found
