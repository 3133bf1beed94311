"""Six devices under one method that trade over a graph, and move by known steps instead of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe, sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member
from meshtune.network.federation_state import FederationState
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.node.transport import MemoryTransport, Transport
from meshtune.node.updates import UpdateRules
from meshtune.simulator.free_links import FreeExchange
from meshtune.simulator.rounds import exchange_round
from meshtune.wire.ledger import Ledger
from meshtune.wire.payload import Message, decode

DEVICES = 6
LAYERS = [describe(i, f"model.layers.{i}.self_attn.q_proj", 24, 40, False) for i in range(2)]
GROUPS = ["a", "b", "a", "c", "d", "e"]
FORMS = ["float32", "bfloat16", "int8", "int4", "int2"]
FULL = {d: [e for e in range(DEVICES) if e != d] for d in range(DEVICES)}
RING = {d: sorted({(d - 1) % DEVICES, (d + 1) % DEVICES}) for d in range(DEVICES)}


def start(name: str) -> tuple[Method, FederationState, ExpertFactory]:
    method, factory = get_method(name), ExpertFactory(LAYERS, AdapterConfig(rank=4), seed=5)
    known = {}
    for device, group in enumerate(GROUPS):
        draw = np.random.default_rng(device)
        masks = tuple(np.sort(draw.choice(size, 60, replace=False)) for size in sizes(LAYERS, 4))
        own = tuple(np.sort(draw.choice(size, 30, replace=False)) for size in sizes(LAYERS, 2))
        recipe = Recipe(seed=3, kind="orthogonal", block=ord(group) - 97, rank=4)
        announced = Announcement(device, group, 10 * (device + 1), recipe, masks, others={"own": own})
        known[device] = method.announces(announced, factory)
    members = [Member(d, own, method.begin(own, known, factory), known=dict(known)) for d, own in known.items()]
    rules = UpdateRules(method, factory, ExchangeConfig(), 0)
    return method, FederationState({name: [Node(member, rules) for member in members]}, Ledger()), factory


def play(
    method: Method,
    state: FederationState,
    factory: ExpertFactory,
    graph: Mapping[int, Sequence[int]],
    form: str,
    train: bool = True,
    transport: Transport | None = None,
    damages: bool = False,
) -> None:
    """A round in which values move by a known random step instead of being trained."""
    nodes = state.nodes[method.name]
    state.round += 1
    factory.release()
    rules = UpdateRules(method, factory, ExchangeConfig(values=form, block=32), state.round)  # type: ignore[arg-type]
    for node in nodes:
        member = node.member
        draw = np.random.default_rng([state.round, member.device])
        step = torch.from_numpy(draw.laplace(size=member.expert.count).astype("f4")) * 0.01 * train
        values, turn = member.expert.values.clone(), member.expert.turn(state.round)
        values[turn] += step[turn]
        member.expert = member.expert.with_values(values)
        node.links = tuple(graph[member.device])
        node.introductions.near = {neighbour: frozenset(graph[neighbour]) for neighbour in node.links}
    exchange_round(nodes, rules, FreeExchange(transport), state)
    assert damages or not any(node.refused for node in nodes)


def random_graph(draw: np.random.Generator) -> dict[int, list[int]]:
    """A connected graph: a random tree and some links more."""
    links = {(int(draw.integers(0, d)), d) for d in range(1, DEVICES)}
    links |= {(min(a, b), max(a, b)) for a, b in draw.integers(0, DEVICES, (2, 2)).tolist() if a != b}
    return {d: sorted({b if a == d else a for a, b in links if d in (a, b)}) for d in range(DEVICES)}


class Recorder(MemoryTransport):
    """Keeps every envelope that it carries."""

    def __init__(self) -> None:
        self.sent: list[Envelope] = []

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        self.sent += envelopes
        return envelopes

    @property
    def messages(self) -> list[Message]:
        return [decode(one.data) for one in self.sent]


def steps(device: int, round_: int, count: int) -> torch.Tensor:
    """Return what :func:`play` adds to a device's values instead of training."""
    draw = np.random.default_rng([round_, device])
    return torch.from_numpy(draw.laplace(size=count).astype("f4")) * 0.01
