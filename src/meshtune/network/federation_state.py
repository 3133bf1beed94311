"""The state of a run that changes from round to round, over all devices and methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from meshtune.config.run_config import RunConfig
from meshtune.methods.base import Method
from meshtune.methods.state import Member
from meshtune.network.virtual_clock import RoundCosts
from meshtune.node.node import Node
from meshtune.wire.ledger import Ledger

JobKey = tuple[tuple[int, ...], str, tuple[str, ...], tuple[float, ...]]
"""Nodes with equal keys train identically: whose rows, the expert's digest, the optimiser history, the rates."""


@dataclass
class FederationState:
    """Everything that changes from round to round, and nothing else.

    Attributes:
        nodes: per method, one node per device.
        ledger: bytes so far.
        round: rounds done.
        seconds: training seconds by kind of adapter, and exchange seconds.
        clocks: per method, its virtual clock if there is a radio.
    """

    nodes: dict[str, list[Node]]
    ledger: Ledger
    round: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    clocks: dict[str, RoundCosts] = field(default_factory=dict)

    @property
    def members(self) -> dict[str, list[Member]]:
        """Per method, the members of its nodes."""
        return {method: [node.member for node in nodes] for method, nodes in self.nodes.items()}


def distinct_jobs(
    config: RunConfig, methods: Sequence[Method], state: FederationState, devices: int
) -> dict[str, dict[JobKey, list[tuple[str, Node]]]]:
    """Return the distinct jobs of the next round by kind of adapter, each with the (method, node) pairs sharing it."""
    found: dict[str, dict[JobKey, list[tuple[str, Node]]]] = {}
    for method in methods:
        lr = tuple(config.train.peak(kind, method.name) for kind in method.kind.rates)
        for node in state.nodes[method.name]:
            member = node.member
            who = tuple(method.rows(member.device, devices))
            key = (who, member.expert.digest, member.history, lr)
            found.setdefault(method.kind.name, {}).setdefault(key, []).append((method.name, node))
    return found
