"""Plans, rounds and routers of devices at constant density, reduced to numbers that have a formula.

What benchmarks/scaling.py prints: plans are `meshtune plan`'s own, rounds are flown over its network by the engine with
small experts, and routers are fitted to random prompts.
"""

from __future__ import annotations

import math
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scaling_forms as forms
from record import clock

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from flying import Counted, World, shake_hands, world
from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.projection import Recipe, coherence, projection
from meshtune.adapter.route import Bank
from meshtune.adapter.sites import narrowest, sizes
from meshtune.config.config_file import validate
from meshtune.config.learning_config import ModelConfig
from meshtune.config.run_config import RunConfig
from meshtune.model.skeleton import skeleton
from meshtune.network.virtual_clock import SLACK
from meshtune.planning.plan_record import Plan
from meshtune.planning.planner import plan
from meshtune.routing.routers import make_router
from meshtune.routing.statistics import Statistics, summarise
from meshtune.seeds import stream
from meshtune.topology.graphs import components
from meshtune.wireless.places import in_disc

REACH, IN_RANGE = 100.0, 10
"""Metres, and devices in range of each on average, away from the edge."""


@dataclass(frozen=True)
class Pair:
    """A number of the plan's or a run's, and its formula's."""

    found: float
    formula: float

    def __str__(self) -> str:
        shown = f"{self.found:,}" if isinstance(self.found, int) else short(self.found)
        return f"{shown} ({self.found / self.formula:.3f})" if self.formula else shown


@dataclass(frozen=True)
class Planned:
    """One plan, reduced to what docs/scaling.md tables.

    Attributes:
        members: m_c, devices of every cluster.
        pairs: what has a formula, by the names of :data:`LABELS`; bytes are means over devices.
        rate: collision rate of the largest cluster.
        busiest: bytes of the device that sends most in an exchange between clusters.
        gates: share of devices with a link between clusters.
        hops: links on the longest way between two devices.
        alone: share of devices outside the largest part of the graph.
        round: T_round in seconds; ``exchange``: seconds that an exchange between clusters takes besides, at least.
        seconds: of the processor, that the plan took.
    """

    members: tuple[int, ...]
    pairs: Mapping[str, Pair]
    rate: Pair
    busiest: int
    gates: float
    hops: int
    alone: float
    round: float
    exchange: float
    seconds: float

    @property
    def devices(self) -> int:
        """M."""
        return sum(self.members)

    @property
    def mates(self) -> float:
        """m~."""
        return forms.mates(self.members)


def configure(model: str, rank: int, devices: int, groups: int = 8, **clusters: Any) -> RunConfig:
    """Return the configuration of ``devices`` at constant density, in ``groups`` task groups."""
    return validate(
        {
            "model": {"name": model},
            "tasks": [{"task": "boolq", "key": f"task {number:05d}"} for number in range(min(groups, devices))],
            "devices": {"count": devices},
            "adapter": {"rank": rank, "density": 0.1, "budget": "uniform"},
            "train": {"rounds": 4, "steps": 20, "batch": 4, "max_tokens": 256},
            "methods": ["bank"],
            "radio": {"range": REACH},
            "places": {"radius": REACH * math.sqrt(devices / IN_RANGE)},
            "clusters": {"rate": "expected", **clusters},
        },
        "benchmarks/scaling.py",
    )


def piece_of(config: RunConfig) -> forms.Piece:
    """Return what the formulas need of a model, a rank and a density."""
    shape, rank = skeleton(config.model), config.adapter.rank
    return forms.Piece(
        positions=sum(sizes(shape.layers, rank)),
        density=config.adapter.density,
        width=shape.width,
        sketch=min(config.router.sketch, shape.width),
        pair=rank * sum(layer.inputs + layer.outputs for layer in shape.layers),
        weights=shape.parameters,
        narrowest=narrowest(shape.layers).inputs,
        rank=rank,
    )


def planned(config: RunConfig) -> Planned:
    """Plan a run and set the formulas beside."""
    started = time.process_time()
    found = plan(config)
    seconds = time.process_time() - started
    return reduced(found, config, seconds)


def reduced(found: Plan, config: RunConfig, seconds: float) -> Planned:
    """Return what is shown of a plan that took ``seconds``."""
    piece, members = piece_of(config), [len(cluster.members) for cluster in found.clusters]
    devices, largest = sum(members), int(np.argmax(members))
    traffic = [device.bytes["bank"] for device in found.devices]
    run = sum(sum(one.run.values()) for one in traffic)
    within, between = (sum(getattr(one, name) for one in traffic) for name in ("round", "between"))
    links = [link for link in found.links if link.between]
    cluster = {device.device: device.cluster for device in found.devices}
    degree = Counter(cluster[link.receiver] for link in links)
    busiest = max((link.updates for link in links), default=0)
    passed = sum(link.updates for link in links if members[cluster[link.receiver]] > 1)
    on_air = (sum(link.updates for link in links) + passed) * found.gamma
    tokens = config.train.steps * config.train.batch * config.train.max_tokens
    compute = forms.cycles(piece, tokens, config.compute.flops_per_cycle) / config.compute.frequency
    pairs = {
        "within": Pair(within / devices, forms.within(piece, members)),
        "between": Pair(between / devices, forms.between(piece, members)),
        "once": Pair((run - found.rounds * within - found.exchanges * between) / devices, forms.once(piece, members)),
        "crossing": Pair(busiest, forms.crossing(members, _leaf(members, degree))),
        "airtime": Pair(on_air / devices, forms.airtime(members, found.gamma)),
        "computing": Pair(max(device.compute_seconds for device in found.devices), compute),
    }
    return Planned(
        members=tuple(members),
        pairs=pairs,
        rate=Pair(found.clusters[largest].rate, forms.collided(piece.density, members[largest])),
        busiest=max(one.between for one in traffic),
        gates=len({link.sender for link in links}) / devices,
        hops=hops_of(found),
        alone=1 - found.parts[0] / devices,
        round=found.round_seconds,
        exchange=(1 + SLACK) * found.gamma * busiest,
        seconds=seconds,
    )


def hops_of(found: Plan) -> int:
    """Return the links on the longest way between two devices of one part.

    Members of a cluster all hear each other and clusters form a forest: in such a graph the device farthest from any
    one is an end of a longest way.
    """
    near = [{*device.neighbours, *device.between} for device in found.devices]
    longest, seen = 0, [False] * len(near)
    for start in range(len(near)):
        if not seen[start]:
            order, _ = _walk(near, start)
            for device in order:
                seen[device] = True
            longest = max(longest, _walk(near, order[-1])[1])
    return longest


def _walk(near: Sequence[set[int]], start: int) -> tuple[list[int], int]:
    """Return the devices in reach of ``start``, nearest first, and the links to the last."""
    far, order = {start: 0}, [start]
    for device in order:
        for other in near[device]:
            if other not in far:
                far[other] = far[device] + 1
                order.append(other)
    return order, far[order[-1]]


def flown(devices: int, seed: int = 0) -> dict[str, Pair]:
    """Fly two rounds of ``devices`` with small experts, the second with an exchange between clusters.

    Returns:
        Copies of announcements and of updates that a device sends, windows of the exchange between clusters, and
        seconds a device is on the air in it; without fading and losses. And the share outside the graph's largest part.
    """
    radius = REACH * math.sqrt(devices / IN_RANGE)
    places = in_disc(radius, devices, seed).tolist()
    flying = world(
        "bank", [(x, y) for x, y in places], ("abcdefgh" * devices)[:devices],
        radio={"fading": "none", "range": REACH}, clusters={"s_max": 0.1, "rate": "expected", "inner_rounds": 2},
    )  # fmt: skip
    announced = copies(flying)
    flying.play()
    ledger = flying.state.ledger = Counted()
    flying.play()
    network, (_, first, second) = flying.network.formed, flying.state.clocks["bank"]
    members = [len(cluster) for cluster in network.clusters.clusters]
    index, ends = network.clusters.index, Counter[int]()
    for link in network.backbone.links:
        ends.update((index[link.low], index[link.high]))
    gamma, mates = network.where.config.gamma, forms.mates(members)
    sent = ledger.own.total() + ledger.passed.total()
    windows = (second.seconds - first.seconds) / ((1 + SLACK) * gamma)
    return {
        "announcements": Pair(announced / devices, devices - 1),
        "updates": Pair(sent / devices - (mates - 1), devices - mates),
        "windows": Pair(windows, forms.crossing(members, _leaf(members, ends))),
        "airtime": Pair((second.airtime - first.airtime) / devices, forms.airtime(members, gamma)),
        "outside the largest part": Pair(1 - max(map(len, components(network.graph))) / devices, 0),
    }


def _leaf(members: Sequence[int], ends: Mapping[int, int]) -> int:
    """Return the devices of the smallest cluster with a single link; ``ends`` are links by cluster."""
    return min([members[one] for one, count in ends.items() if count == 1], default=sum(members))


def copies(flying: World) -> int:
    """Return the announcements that leave all devices in a run's handshake; small experts have one message each."""
    ledger, own = Counted(), [member.own for member in flying.state.members["bank"]]
    shake_hands(own, flying.method, flying.network.formed.graph, ledger)
    return ledger.own.total() + ledger.passed.total()


def fitted(width: int, sources: int, groups: int, sketch: int = 16, seed: int = 0) -> tuple[float, float]:
    """Return the seconds and the peak of bytes that fitting the router takes, from ``sources`` of random prompts."""
    draw = stream(seed, "router", sources)
    said: dict[str, list[Statistics]] = {}
    few = [summarise(draw.standard_normal((2 * sketch, width)), sketch) for _ in range(min(sources, 20))]
    for source in range(sources):
        said.setdefault(f"{source % groups:05d}", []).append(few[source % len(few)])
    tracemalloc.start()
    seconds = clock(lambda: make_router("whitened", said))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, float(peak)


def stacked(model: str, rank: int, groups: int = 2) -> float:
    """Return the bytes that one group adds to the bank of a device that answers softly."""
    layers, draw = skeleton(ModelConfig(name=model)).layers, stream(0, "bank")
    room = sizes(layers, rank)
    masks = [np.sort(draw.choice(size, size // 10, replace=False)) for size in room]
    experts = [SparseExpert(layers, Projections(Recipe(0, "orthogonal", b, rank)), masks, 1.0) for b in range(groups)]
    return sum(tensor.nbytes for layer in layers for tensor in Bank(experts).stack(layer)) / groups


def apart(piece: forms.Piece, pairs: int = 10) -> Pair:
    """Return the coherence of gaussian projections at the narrowest layer, the mean of ``pairs``."""
    made = [
        projection(Recipe(0, "gaussian", block, piece.rank), "attn_in", piece.narrowest) for block in range(pairs + 1)
    ]
    found = [coherence(a, b) for a, b in pairwise(made)]
    return Pair(float(np.mean(found)), piece.coherence)


def short(value: float) -> str:
    """Return three digits, with SI's letter from a thousand on."""
    for letter, unit in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * unit:
            return f"{value / unit:.3g} {letter}"
    return f"{value:.3g}"
