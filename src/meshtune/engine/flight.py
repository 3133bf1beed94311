"""One round's exchange over the air: within clusters until the round ends, and now and then between clusters.

Within clusters there is one window: everybody sends its own update to its cluster, and what does not fit into the
power, is lost, or comes after T_round is left out of this round's mix. Every ``clusters.inner_rounds``-th round, after
T_round, what devices hold goes on between clusters and within them, hop by hop, until all have what can reach them:
each update takes one way to every device, and no link carries a version twice. There a device has one update on each
link in a window, strongest links first; a window lasts Gamma and the slack. Methods that do not relay use the links
between clusters for their own updates only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshtune.engine.air import Network
from meshtune.engine.clock import Clock, Pace, Tick, elapsed
from meshtune.engine.exchange import Carried, Post, publish
from meshtune.engine.faults import away, slowness
from meshtune.engine.window import Fate, Offer, Sky
from meshtune.exchange.ledger import Ledger
from meshtune.methods.base import Member, Method, Workshop
from meshtune.wireless.arrays import Bools


class Flight:
    """Carries the rounds of a run over its network.

    Args:
        network: who exchanges with whom.
        pace: how long devices compute.
    """

    def __init__(self, network: Network, pace: Pace) -> None:
        self.network, self.pace = network, pace
        self._config = network.site.config

    def exchange(
        self,
        method: Method,
        members: Sequence[Member],
        version: int,
        carried: Carried,
        ledger: Ledger,
        clock: Clock,
        workshop: Workshop,
    ) -> None:
        """Publish every member's values as ``version`` and deliver what the air lets through.

        Args:
            method: decides whether anything is sent and relayed.
            members: one per device, by id; what they hold is updated.
            version: the number of rounds trained so far.
            carried: what crossed each link so far; updated.
            ledger: counts what leaves a device.
            clock: gets this round's tick.
            workshop: builds the experts that devices start from.
        """
        config, site, n = self._config, self.network.site, len(members)
        post = Post(method, workshop, config.exchange)
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
        end = self.pace.ends(method, values, self.network.slots)
        gone = away(config.faults, config.seed, n, version)
        late = ~gone & (computing + site.radio.planned_gamma > end)
        tick.seconds, tick.away, tick.late = end, int(gone.sum()), int(late.sum())
        positions = site.mobility.positions(elapsed(clock))
        sky = Sky(site, positions, method.name, version, members, post, carried, ledger, tick)
        offers: list[Offer] = [
            (sender, receiver, published[sender])
            for sender, near in self.network.inner.items()
            for receiver in near
            if not (gone[sender] or late[sender] or gone[receiver])
        ]
        if offers:
            fates, _ = sky.send(offers, computing, end)
            tick.outages += fates.count(Fate.OUTAGE)
        if version % config.clusters.inner_rounds == 0:
            self._between(sky, method, gone, late)
        clock.append(tick)

    def _between(self, sky: Sky, method: Method, gone: Bools, late: Bools) -> None:
        """Carry on what devices hold until nothing more can be."""
        links = {
            (a, b): sources if method.relays else tuple(s for s in sources if s == a)
            for (a, b), sources in self.network.carriers.items()
            if not (gone[a] or gone[b])
        }
        broadcast = sky.site.radio.cast == "broadcast"
        given_up: set[tuple[int, int, int]] = set()
        while True:
            waiting = {
                (a, b): found
                for (a, b), sources in links.items()
                if (found := [s for s in sources if (a, b, s) not in given_up and self._wanted(sky, a, b, s, late)])
            }
            if not waiting:
                return
            first = {link: sources[0] for link, sources in waiting.items()}
            if broadcast:
                lowest: dict[int, int] = {}
                for (a, _), source in first.items():
                    lowest[a] = min(source, lowest.get(a, source))
                first = {(a, b): lowest[a] for (a, b), sources in waiting.items() if lowest[a] in sources}
            offers = [(a, b, sky.members[a].held[source]) for (a, b), source in first.items()]
            fates, seconds = sky.send(offers, np.zeros(len(sky.members)))
            sky.tick.seconds += seconds
            served = {a for (a, _, _), fate in zip(offers, fates, strict=True) if fate is not Fate.OUTAGE}
            for (a, b, update), fate in zip(offers, fates, strict=True):
                if fate is Fate.LOST:
                    given_up.add((a, b, update.source))
                elif fate is Fate.OUTAGE and (broadcast or a not in served):  # not even alone: later it may be
                    sky.tick.outages += 1
                    del links[a, b]

    @staticmethod
    def _wanted(sky: Sky, sender: int, receiver: int, source: int, late: Bools) -> bool:
        """Return whether ``sender`` holds a version of ``source``'s update that ``receiver`` is not known to hold."""
        if source == sender and late[sender]:  # still computing
            return False
        update = sky.members[sender].held.get(source)
        return update is not None and update.version > sky.known(sender, receiver, source)
