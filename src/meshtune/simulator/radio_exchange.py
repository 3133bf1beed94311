"""One round's exchange over the air: within clusters before the round ends, and periodically between clusters.

Within clusters there is one window. Every device sends its own update to its neighbours in the cluster. An update that
exceeds the power, is lost, or arrives after T_round is left out of this round's mix. Every
``clusters.inner_rounds``-th round, after T_round, updates are relayed between and within clusters, hop by hop, until
every device has everything that can reach it: neighbours tell each other what they hold, and each requests what it
lacks. A link carries one update per window, strongest links first. A window lasts Gamma plus the slack. Methods that do
not relay, and all methods with ``graph.relay=false``, use links only for the devices' own updates. Nobody sends to an
absent device. If devices move, a round may begin with reclustering.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from meshtune.methods.base import Method
from meshtune.network.inventory_cost import inventory_cost
from meshtune.network.run_network import RunNetwork
from meshtune.network.virtual_clock import SLACK, Pace, RoundCost, RoundCosts, VirtualClock, elapsed
from meshtune.node.dissemination import outages
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.simulator.faults import away, slowness
from meshtune.simulator.inboxes import Inboxes, Listener
from meshtune.simulator.radio_round import LinkOutcome, RadioRound
from meshtune.simulator.reclustering import Reclustered, network_of, reform
from meshtune.wire.ledger import Ledger
from meshtune.wireless.arrays import Bools


class RadioExchange:
    """Carries the rounds of a run over its network.

    Args:
        network: the radio network of the first round.
        pace: how long devices compute.
        listener: called with every envelope that arrives.

    Attributes:
        formed: the reclusterings so far.
    """

    def __init__(self, network: RunNetwork, pace: Pace, listener: Listener | None = None) -> None:
        self.network, self.pace, self.listener = network, pace, listener
        self.formed: list[Reclustered] = []
        self._config = network.site.config

    def exchange(self, method: Method, nodes: Sequence[Node], version: int, ledger: Ledger, clock: RoundCosts) -> None:
        """Let every node publish its values as ``version``, and deliver what the radio can carry.

        Args:
            method: decides whether anything is sent and relayed.
            nodes: one per device, by id; their round has begun.
            version: the number of rounds trained so far.
            ledger: counts the bytes sent.
            clock: this round's tick is appended to it.
        """
        config, site, n = self._config, self.network.site, len(nodes)
        again = reform(self.network, method, nodes, version, ledger, clock, self.listener)
        slow = slowness(config.faults, config.seed, n, version)
        values = nodes[0].member.expert.sent(version)
        computing = self.pace.seconds(method, values)[version - 1] * slow
        tick = RoundCost(computing=float(self.pace.energy(method, values)[version - 1].sum()))
        if not method.sharing.sends:  # nobody waits for anybody
            for node in nodes:
                node.publish()
            tick.seconds = float(computing.max())
            clock.append(tick)
            return
        network = network_of(self.network, clock, version).formed
        end = self.pace.ends(method, values, network.slots)
        gone = away(config.faults, config.seed, n, version)
        late = ~gone & (computing + site.radio.planned_gamma > end)
        tick.seconds, tick.away, tick.late = end, int(gone.sum()), int(late.sum())
        positions = site.mobility.positions(elapsed(clock))
        air = RadioRound(site, positions, method.name, version, ledger, tick, VirtualClock(clock, tick))
        inboxes = Inboxes(nodes, self.listener)
        inner = {device: tuple(d for d in near if not gone[d]) for device, near in network.inner.items()}
        inner = {device: () if gone[device] else near for device, near in inner.items()}
        for node in nodes:
            node.open(inner[node.device], own=True)
        _tell(nodes, air, inboxes, lambda node: node.news(hearsay=False))
        for node in nodes:
            node.publish()
        one_copy = site.radio.cast == "broadcast"
        sending = [one for node in nodes if not late[node.device] for one in node.own_updates(node.links, one_copy)]
        if sending:
            outcomes, _ = air.send(sending, computing, end)
            _arrive(inboxes, air, sending, outcomes)
            tick.outages += outcomes.count(LinkOutcome.OUTAGE)
        if version % config.clusters.inner_rounds == 0:
            graph = network.without(set(np.flatnonzero(gone).tolist()))
            self._pass_on(nodes, air, inboxes, graph, gone, late)
        tick.seconds += max(0.0, tick.inventory_seconds - SLACK * site.radio.gamma * air.windows)
        if again is not None:
            formed, hello = again
            self.formed.append(formed)
            tick.seconds, tick.sending = tick.seconds + hello.seconds, tick.sending + hello.sending
            tick.airtime += hello.airtime
            tick.inventory += hello.inventory
            tick.inventory_seconds += hello.inventory_seconds
        clock.append(tick)

    def _pass_on(
        self,
        nodes: Sequence[Node],
        air: RadioRound,
        inboxes: Inboxes,
        graph: Mapping[int, Sequence[int]],
        gone: Bools,
        late: Bools,
    ) -> None:
        """Relay what nodes hold until there are no more requests."""
        one_copy = air.site.radio.cast == "broadcast"
        there = [node for node in nodes if not gone[node.device]]
        for node in there:
            node.open(graph[node.device], own=not late[node.device])
        while _tell(nodes, air, inboxes, lambda node: node.news() if not gone[node.device] else []):
            pass
        while True:
            if not _tell(nodes, air, inboxes, lambda node: node.wants() if not gone[node.device] else []):
                return
            asked = [one for node in there for one in node.serve(one_copy)]
            if not asked:  # all requests were refused
                return
            asked.sort(key=lambda one: (one.receiver, one.source))
            outcomes, seconds = air.send(asked)
            air.tick.seconds += seconds
            _arrive(inboxes, air, asked, outcomes)
            for one, outcome in zip(asked, outcomes, strict=True):
                if outcome is LinkOutcome.LOST:
                    nodes[one.receiver].missed(one.sender, one.source)
            hops = [(one.sender, one.receiver, one.source) for one in asked]
            for sender, receiver in outages(
                hops, [outcome is not LinkOutcome.OUTAGE for outcome in outcomes], one_copy
            ):
                air.tick.outages += 1
                nodes[receiver].unlink(sender)
            _tell(nodes, air, inboxes, lambda node: node.news() if not gone[node.device] else [])


def _tell(nodes: Sequence[Node], air: RadioRound, inboxes: Inboxes, say: Callable[[Node], list[Envelope]]) -> bool:
    """Let all nodes send their control messages at the same time; return whether there were any."""
    said = [one for node in nodes for one in say(node)]
    for one in said:
        air.ledger.record(air.method, air.round, one.sender, one.receiver, one.split, relayed=False)
    inboxes.deliver(said, air.clock.now())
    seconds, joules = inventory_cost(air.site, air.positions, said)
    air.tick.inventory_seconds += seconds
    air.tick.inventory += joules
    return bool(said)


def _arrive(inboxes: Inboxes, air: RadioRound, sent: Sequence[Envelope], outcomes: Sequence[LinkOutcome]) -> None:
    pairs = zip(sent, outcomes, strict=True)
    inboxes.deliver([one for one, outcome in pairs if outcome is LinkOutcome.ARRIVED], air.clock.now())
