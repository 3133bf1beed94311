"""A few devices with small experts over the air, without a base model: for tests of rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import LayerSpec, describe, sizes
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Masks
from meshtune.network.federation_state import FederationState
from meshtune.network.run_network import RunNetwork, run_network
from meshtune.network.site import open_site
from meshtune.network.virtual_clock import SLACK
from meshtune.node.updates import UpdateRules
from meshtune.simulator.introducing import introduce, nodes_of
from meshtune.simulator.radio_exchange import RadioExchange
from meshtune.simulator.resume import begin
from meshtune.simulator.rounds import exchange_round
from meshtune.wire.ledger import INVENTORY, Ledger
from meshtune.wireless.arrays import Floats
from meshtune.wireless.mobility import Mobility

LAYERS = [describe(i, f"model.layers.{i}.self_attn.q_proj", 64, 40, False) for i in range(2)]
RANK = 4


@dataclass
class Pace:
    """Devices that compute as long as they are told; stands in for the simulator's, which asks rows and processors."""

    config: RunConfig
    computing: Floats  # seconds, joules alike

    def seconds(self, method: Method, values: int) -> Floats:
        return np.tile(self.computing, (self.config.train.rounds, 1))

    energy = seconds

    def ends(self, method: Method, values: int, slots: int) -> float:
        assert self.config.radio is not None
        return self.config.round_seconds or float(self.computing.max()) + (slots + SLACK) * self.config.radio.gamma


class Counted(Ledger):
    """Counts, by sender, its own messages and those of others that it passes on, but for who holds what."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.passed = Counter[int](), Counter[int]()

    def record(self, method: str, round_: int, sender: int, receiver: int, split: Any, relayed: bool) -> None:
        super().record(method, round_, sender, receiver, split, relayed)
        if INVENTORY not in split:
            (self.passed if relayed else self.own)[sender] += 1


@dataclass
class World:
    """Devices, their network, and where they are in a run of one method."""

    config: RunConfig
    method: Method
    network: RunNetwork
    radio: RadioExchange
    state: FederationState
    factory: ExpertFactory

    def play(self) -> None:
        """A round in which values move by a known random step instead of being trained."""
        nodes = self.state.nodes[self.method.name]
        self.state.round += 1
        self.factory.release()
        rules = UpdateRules(self.method, self.factory, self.config.exchange, self.state.round, self.config.graph.relay)
        for node in nodes:
            member = node.member
            draw = np.random.default_rng([self.state.round, member.device])
            step = torch.from_numpy(draw.laplace(size=member.expert.count).astype("f4")) * 0.01
            member.expert = member.expert.with_values(member.expert.values + step)
        exchange_round(nodes, rules, self.radio, self.state)
        assert not any(node.refused for node in nodes)

    def versions(self, device: int) -> dict[int, int]:
        """Return which version of each device's update ``device`` holds."""
        held = self.state.members[self.method.name][device].held
        return {source: held[source].version for source in sorted(held)}


def world(
    name: str,
    positions: list[tuple[float, float]],
    groups: str = "",
    moves: Mobility | None = None,
    **settings: Any,
) -> World:
    """Return devices at ``positions``, of ``groups`` (one letter each), under the method called ``name``.

    ``moves`` says where they are at any time, instead of the settings.
    """
    groups = groups or "abcdefgh"[: len(positions)]
    settings.setdefault("radio", {"fading": "none"})
    settings.setdefault("train", {"rounds": 8})
    config = validate(
        {
            "tasks": [{"task": "boolq", "key": key} for key in sorted(set(groups))],
            "devices": {"count": len(positions)},
            "methods": [name],
            **{"places": {"positions": positions}, **settings},
        },
        "test",
    )
    method, factory = get_method(name), ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)
    own = []
    for device, group in enumerate(groups):
        draw = np.random.default_rng(device)
        masks = tuple(np.sort(draw.choice(size, 16, replace=False)) for size in sizes(LAYERS, RANK))
        recipe = Recipe(seed=3, kind="orthogonal", block=ord(group) - 97, rank=RANK)
        beside = tuple(np.sort(draw.choice(size, 8, replace=False)) for size in sizes(LAYERS, RANK // 2))
        own.append(Announcement(device, group, 10 * (device + 1), recipe, masks, others={"own": beside}))
    site = open_site(config)
    assert site is not None
    site = site if moves is None else replace(site, mobility=moves)
    network = run_network(site, [method], own, LAYERS, factory)
    state = begin([method], network.formed.graph, own, LAYERS, factory, network)
    pace: Any = Pace(config, np.full(len(positions), 2.0))
    return World(config, method, network, RadioExchange(network, pace), state, factory)


def shake_hands(
    own: Sequence[Announcement],
    method: Method,
    graph: Mapping[int, Sequence[int]],
    ledger: Ledger,
    hops: list[Any] | None = None,
    told: Mapping[int, Mapping[int, Masks]] | None = None,
    layers: Sequence[LayerSpec] = LAYERS,
) -> list[dict[int, Announcement]]:
    """Let devices introduce themselves under ``method``; return whom each knows. ``hops`` is added bytes by link."""
    factory = ExpertFactory(layers, AdapterConfig(rank=own[0].recipe.rank), seed=5)
    nodes = nodes_of(own, method, factory, {}, True, told)
    met, _ = introduce(nodes, graph, ledger)
    if hops is not None:
        hops += met
    return [node.member.known for node in nodes]
