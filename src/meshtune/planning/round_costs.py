"""What a run costs the devices of a plan: time and joules of computing, copies and joules of exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meshtune.config.run_config import RunConfig
from meshtune.methods.base import Method
from meshtune.methods.registry import get_method
from meshtune.model.skeleton import Skeleton
from meshtune.network.radio_network import RadioNetwork
from meshtune.node.dissemination import spread
from meshtune.planning.model_sizes import MethodSizes
from meshtune.planning.one_cluster import ClusterExchange, exchange_by_hops
from meshtune.planning.relay_load import RelayLoad, relay_load
from meshtune.topology.backbone import Backbone
from meshtune.topology.linked import Linked
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.compute import compute_energy, compute_time, frequencies, round_cycles


@dataclass(frozen=True, eq=False)
class AnnouncementLoad:
    """Copies of announcements sent by each device before the first round: one per receiver.

    Attributes:
        own: (n,) copies of its own, to its neighbours.
        passed: (n,) copies of others'.
    """

    own: Ints
    passed: Ints


@dataclass(frozen=True, eq=False)
class Costs:
    """What a run costs the devices.

    Attributes:
        compute_seconds: (n,) per round; ``compute_energy``: (n,) joules per round.
        ways: updates that each device sends, by whether others' are relayed.
        told: announcements that each device sends.
        relay: whether relaying methods may relay (``graph.relay``).
        crossing: updates over each directed link between clusters.
        passed: what the method that links are planned for relays within a single cluster; None for several clusters.
        between_energy: (n,) joules of one exchange between clusters or, within a single cluster, hop by hop.
        rounds: of the run; ``exchanges``: how many of them end in such an exchange.
    """

    compute_seconds: Floats
    compute_energy: Floats
    ways: Mapping[bool, RelayLoad]
    told: AnnouncementLoad
    relay: bool
    crossing: Ints
    passed: ClusterExchange | None
    between_energy: Floats
    rounds: int
    exchanges: int

    def graph(self, network: RadioNetwork) -> dict[int, tuple[int, ...]]:
        """Return the devices that each device ever exchanges with, on mean gains."""
        found: list[set[int]] = [set() for _ in network.where.positions]
        later = self.passed.links if self.passed is not None else ()
        for device, other in (*network.within.pairs(), *network.between.pairs(), *later):
            found[device].add(other)
        return {device: tuple(sorted(near)) for device, near in enumerate(found)}


def tokens_of(config: RunConfig) -> int:
    """Return the maximum number of tokens that a device trains in a round."""
    return config.train.steps * config.train.batch * config.train.max_tokens


def costs_of(config: RunConfig, network: RadioNetwork, shape: Skeleton, size: MethodSizes, method: Method) -> Costs:
    """Return the costs of a run.

    Args:
        config: the run's settings.
        network: clusters and links.
        shape: the model's shape.
        size: sizes of the updates that links are planned for; ``method``: their method.
    """
    devices, train = len(network.where.positions), config.train
    tokens = np.full(devices, tokens_of(config))
    cycles = round_cycles(
        config.compute, shape.parameters, tokens, np.full(devices, size.parameters), train.steps * train.batch,
        train.batch,
    )  # fmt: skip
    speed = frequencies(config.compute, devices, config.seed)
    if config.clusters.kind == "single":
        relay = config.graph.relay
        found = _within(network, 8.0 * size.update, relay)
        ways = {others: one.load for others, one in found.items()}
        passed: ClusterExchange | None = found[method.sharing.relays and relay]
        crossing, spent = np.zeros(0, dtype=np.int64), found[method.sharing.relays and relay].energy
        sending = [one for one in map(get_method, config.methods) if one.sharing.sends]
        again = any(found[one.sharing.relays and relay].windows for one in sending)
    else:
        relay, passed = True, None
        ways, crossing, spent = _between(network, method)
        again = bool(len(crossing))
    return Costs(
        compute_seconds=compute_time(cycles, speed),
        compute_energy=compute_energy(cycles, speed, config.compute.kappa),
        ways=ways,
        told=announced(network.linked, network.backbone, config.clusters.kind == "single"),
        relay=relay,
        crossing=crossing,
        passed=passed,
        between_energy=spent,
        rounds=train.rounds,
        exchanges=train.rounds // config.clusters.inner_rounds if again else 0,
    )


def announced(linked: Linked, joined: Backbone, single: bool) -> AnnouncementLoad:
    """Return the announcements that each device sends so that a run's handshake reaches everyone.

    Args:
        linked: neighbours within clusters; ids are 0 to n - 1.
        joined: the links between clusters.
        single: whether there is one cluster of all devices, which need not be fully linked.
    """
    near = [len(others) for _, others in sorted(linked.heard.items())]
    if not single:  # clusters in a forest: unique paths, and too many devices to simulate
        way = relay_load(joined, near, relay=True, one_copy=False)
        return AnnouncementLoad(way.own + way.out, way.passed)
    passed = np.zeros(len(near), dtype=np.int64)
    for hop in spread(linked.heard, [(device,) for device in range(len(near))]):
        for sender, _, source in hop:
            passed[sender] += sender != source
    return AnnouncementLoad(np.array(near, dtype=np.int64), passed)


def _within(network: RadioNetwork, bits: float, relay: bool) -> dict[bool, ClusterExchange]:
    """Return what is relayed within a single cluster, without others' updates and, if ``relay``, with them."""
    where, graph, pairs = network.where, network.inner, network.within.pairs()
    return {others: exchange_by_hops(where, graph, pairs, bits, others) for others in {False, relay}}


def _between(network: RadioNetwork, method: Method) -> tuple[dict[bool, RelayLoad], Ints, Floats]:
    """Return what each device sends, without and with others' updates, what crosses each link, and joules (n,)."""
    where = network.where
    one_copy, devices = where.config.cast == "broadcast", len(where.positions)
    served = network.within.budget.u.tolist()
    ways = {relay: relay_load(network.backbone, served, relay, one_copy) for relay in (False, True)}
    way = ways[method.sharing.relays]
    # Over each link first one way, then the other: the order of the links in ``between``.
    crossing = way.crossing.T.reshape(-1)
    between = network.between.budget
    if one_copy:
        spent = between.sender_energy * (way.out + way.passed - way.arrivals * way.own)
    else:
        each = np.where(between.served, between.power * np.where(between.served, between.delay, 0.0), 0.0)
        spent = np.bincount(network.between.sender, each * crossing, devices).astype(np.float64)
    return ways, crossing, spent + network.within.budget.sender_energy * way.arrivals
