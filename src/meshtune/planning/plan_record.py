"""The content of a plan: plain frozen facts that map directly to JSON.

SI units: metres, watts, seconds, joules, bytes. What does not exist or has no bound is None, never infinite.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

FORMAT, VERSION = "meshtune-plan", 1


@dataclass(frozen=True)
class Limit:
    """One bound on how much a device may train.

    Attributes:
        name: ``compute`` (eq. 7, 11) or ``link`` (method section 7).
        values: how many values it allows; None for no bound.
        density: the corresponding share of B's positions, which may exceed 1; None for no bound.
        kept: whether the planned density is within it.
        sentence: where the number comes from.
    """

    name: str
    values: float | None
    density: float | None
    kept: bool
    sentence: str


@dataclass(frozen=True)
class MethodPlan:
    """What one method trains and sends on the planned graph.

    Attributes:
        method: its name.
        parameters: trained scalars per device.
        update: bytes of one update with its header; 0 if nothing is exchanged.
        seconds: an update's airtime at the planned rates; None if nothing is sent.
        mask: bytes that a device sends once, one copy; ``router`` and ``control`` likewise.
        run: expected bytes of the whole run over all devices, by kind.
    """

    method: str
    parameters: int
    update: int
    seconds: float | None
    mask: int
    router: int
    control: int
    run: dict[str, int]


@dataclass(frozen=True)
class Traffic:
    """Expected bytes sent by one device under one method.

    Attributes:
        round: in an exchange within its cluster.
        between: added by an exchange between clusters or, within a single cluster, hop by hop.
        run: in the whole run, by kind.
    """

    round: int
    between: int
    run: dict[str, int]


@dataclass(frozen=True)
class Refused:
    """A near device of another cluster, and the bound that keeps them apart.

    Attributes:
        device: its id.
        kind: ``range``, ``size``, ``power``, ``collision`` or ``given``.
        sentence: an explanation with figures.
    """

    device: int
    kind: str
    sentence: str


@dataclass(frozen=True)
class DevicePlan:
    """One device.

    Attributes:
        device: its id.
        task: its task key.
        x: in metres; ``y`` likewise.
        cluster: number of its cluster.
        neighbours: devices linked to it in its cluster that it serves.
        unserved: devices linked to it in its cluster that it cannot serve.
        power: of an exchange within the cluster, over all links; ``headroom``: what remains of p_max.
        delay: of the slowest of these links; None if there are none.
        energy: of one such exchange.
        between: its neighbours in other clusters; ``between_power``: over all of these links; ``between_energy``: of
            one exchange between clusters or, within a single cluster, hop by hop, relaying included.
        outage: the highest outage probability among its links within the cluster, under Rayleigh fading; None if there
            are none, or for recorded gains.
        compute_seconds: of a round; ``compute_energy`` likewise.
        alone: why it cannot link to any device; None if it can.
        reason: why it is in its cluster; None if not explained.
        refused: its nearest devices elsewhere, nearest first.
        bytes: traffic by method.
    """

    device: int
    task: str
    x: float
    y: float
    cluster: int
    neighbours: tuple[int, ...]
    unserved: tuple[int, ...]
    power: float
    headroom: float
    delay: float | None
    energy: float
    between: tuple[int, ...]
    between_power: float
    between_energy: float
    outage: float | None
    compute_seconds: float
    compute_energy: float
    alone: str | None
    reason: str | None
    refused: tuple[Refused, ...]
    bytes: dict[str, Traffic]


@dataclass(frozen=True)
class ClusterPlan:
    """One cluster.

    Attributes:
        cluster: its number.
        members: ids, ascending.
        rate: expected collision rate.
        power: watts of the member that needs the most.
        energy: joules of all members for one exchange.
    """

    cluster: int
    members: tuple[int, ...]
    rate: float
    power: float
    energy: float


@dataclass(frozen=True)
class LinkPlan:
    """One direction of one link.

    Attributes:
        sender: id; ``receiver`` likewise.
        between: whether it joins two clusters.
        metres: its length.
        gain_db: mean gain; None if it is 0.
        served: whether the payload fits on the mean gain.
        power: W; 0 if not served.
        rate: bit/s; 0 if not served.
        capacity: bit/s that the link would carry in its share of the band at an even share of p_max.
        delay: seconds; None if not served.
        outage: probability; None for recorded gains.
        updates: how many cross it in one exchange; within a cluster the sender's own.
    """

    sender: int
    receiver: int
    between: bool
    metres: float
    gain_db: float | None
    served: bool
    power: float
    rate: float
    capacity: float
    delay: float | None
    outage: float | None
    updates: int


@dataclass(frozen=True)
class Plan:
    """A whole plan.

    Attributes:
        model: the name given by the user; ``weights``, ``layers`` and ``rank`` are those of the model and the adapter.
        positions: of B, over all layers; ``density``: the share of them that is trained; ``values``: how many values
            that are, with those of a common part.
        payload_method: the method whose update links are planned for; ``payload``: its bytes.
        channel: name; ``spectrum`` and ``cast`` likewise.
        p_max: W; ``gamma`` and ``planned_gamma``: Gamma, and the duration that powers are planned for.
        s_max: the highest collision rate allowed; ``rate``: how rates were computed.
        rounds: of the run; ``exchanges``: how many of them end in an exchange between clusters or, within a single
            cluster, hop by hop.
        tokens: maximum per device and round.
        round_seconds: T_round; ``run_seconds``: of all rounds.
        run_energy: joules of all devices and rounds; ``run_compute_energy``: the part for computing.
        parts: sizes of the parts that the graph falls into, largest first.
        notes: what the reader should know, one sentence each.
    """

    model: str
    weights: int
    layers: int
    rank: int
    positions: int
    values: int
    density: float
    payload_method: str
    payload: int
    channel: str
    spectrum: str
    cast: str
    p_max: float
    gamma: float
    planned_gamma: float
    s_max: float
    rate: str
    rounds: int
    exchanges: int
    tokens: int
    round_seconds: float
    run_seconds: float
    run_energy: float
    run_compute_energy: float
    parts: tuple[int, ...]
    limits: tuple[Limit, ...]
    methods: tuple[MethodPlan, ...]
    clusters: tuple[ClusterPlan, ...]
    devices: tuple[DevicePlan, ...]
    links: tuple[LinkPlan, ...]
    notes: tuple[str, ...]

    def to_json(self) -> str:
        """Return the plan as JSON, starting with its format and version."""
        tree: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False)


def finite(value: float) -> float | None:
    """Return ``value`` as a plain float; None if it is not finite."""
    return float(value) if math.isfinite(value) else None
