"""Assembles a plan's entries for every cluster, device, link and method from clusters and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from meshtune.config.run_config import RunConfig
from meshtune.methods.registry import get_method
from meshtune.network.mean_links import Flow
from meshtune.network.radio_network import RadioNetwork
from meshtune.planning.model_sizes import MethodSizes
from meshtune.planning.plan_record import ClusterPlan, DevicePlan, LinkPlan, MethodPlan, Refused, Traffic, finite
from meshtune.planning.round_costs import Costs
from meshtune.runs.events import PhaseStarted, Progress
from meshtune.runs.observer import Observer
from meshtune.wire.payload_sizes import update_bytes
from meshtune.wireless.arrays import Floats

EXPLAINED = 300
"""Maximum number of devices whose place in their cluster is explained, in order of id."""
MOST_REFUSED, MOST_ASKED = 3, 8
"""Maximum number of refused devices listed per device, and for the device asked about."""


def clusters_of(network: RadioNetwork) -> tuple[ClusterPlan, ...]:
    """Return the clusters; power and energy are those of served links."""
    budget, found = network.within.budget, []
    for number, (members, rate) in enumerate(zip(network.clusters.clusters, network.clusters.rates, strict=True)):
        at = list(members)
        power, energy = float(budget.sender_power[at].max()), float(budget.sender_energy[at].sum())
        found.append(ClusterPlan(number, members, rate, power, energy))
    return tuple(found)


def links_of(network: RadioNetwork, costs: Costs) -> tuple[LinkPlan, ...]:
    """Return all links, each direction separately: first those within clusters, then those between them."""
    found = []
    for flow, between, updates in (
        (network.within, False, np.ones(len(network.within.sender), dtype=np.int64)),
        (network.between, True, costs.crossing),
    ):
        budget = flow.budget
        for at in range(len(flow.sender)):
            gain = float(flow.gain[at])
            found.append(
                LinkPlan(
                    sender=int(flow.sender[at]),
                    receiver=int(flow.receiver[at]),
                    between=between,
                    metres=float(flow.metres[at]),
                    gain_db=10 * math.log10(gain) if gain > 0 else None,
                    served=bool(budget.served[at]),
                    power=float(budget.power[at]),
                    rate=float(budget.rate[at]),
                    capacity=float(flow.capacity[at]),
                    delay=finite(float(budget.delay[at])),
                    outage=finite(float(flow.outage[at])),
                    updates=int(updates[at]),
                )
            )
    return tuple(found)


def devices_of(
    config: RunConfig,
    network: RadioNetwork,
    costs: Costs,
    found: Mapping[str, MethodSizes],
    why: int | None,
    observer: Observer,
) -> tuple[DevicePlan, ...]:
    """Return every device; see :func:`meshtune.planning.planner.plan` for the arguments."""
    within, between = network.within.budget, network.between.budget
    served, left = network.within.served(True), network.within.served(False)
    away = network.between.served(True)
    slowest, outage = _worst(network.within, within.delay), _worst(network.within, network.within.outage)
    traffic = {name: _traffic(size, costs) for name, size in found.items()}
    devices = []
    total = len(network.where.positions)
    observer(PhaseStarted("what each device sends", total))
    for device, task in enumerate(config.device_tasks):
        explained = device < EXPLAINED or device == why
        reasons = network.why(device, MOST_ASKED if device == why else MOST_REFUSED) if explained else None
        refused = () if reasons is None else tuple(Refused(r.device, r.kind, r.sentence) for r in reasons.refused)
        x, y = network.where.positions[device].tolist()
        power = float(within.sender_power[device])
        devices.append(
            DevicePlan(
                device=device,
                task=task.key,
                x=x,
                y=y,
                cluster=network.clusters.index[device],
                neighbours=served.get(device, ()),
                unserved=left.get(device, ()),
                power=power,
                headroom=network.where.radio.p_max - power,
                delay=slowest.get(device),
                energy=float(within.sender_energy[device]),
                between=away.get(device, ()),
                between_power=float(between.sender_power[device]),
                between_energy=float(costs.between_energy[device]),
                outage=outage.get(device),
                compute_seconds=float(costs.compute_seconds[device]),
                compute_energy=float(costs.compute_energy[device]),
                alone=network.alone.get(device),
                reason=None if reasons is None else reasons.reason,
                refused=refused,
                bytes={name: each[device] for name, each in traffic.items()},
            )
        )
        if not device % 1000 or device == why:
            observer(Progress("what each device sends", device + 1, total))
    observer(Progress("what each device sends", total, total))
    return tuple(devices)


def methods_of(
    found: Mapping[str, MethodSizes], planned: MethodSizes, costs: Costs, network: RadioNetwork
) -> tuple[MethodPlan, ...]:
    """Return what each method sends; ``planned`` holds the sizes that links were planned for."""
    on_air = bool(network.within.budget.served.any() or network.between.budget.served.any())
    plans = []
    for name, size in found.items():
        run: dict[str, int] = {}
        for one in _traffic(size, costs):
            for kind, count in one.run.items():
                run[kind] = run.get(kind, 0) + count
        seconds = network.where.radio.gamma * size.update / planned.update if size.update and on_air else None
        plans.append(MethodPlan(name, size.parameters, size.update, seconds, size.mask, size.router, size.control, run))
    return tuple(plans)


def _traffic(size: MethodSizes, costs: Costs) -> list[Traffic]:
    """Return the bytes that every device sends under one method; announcements are relayed under every method."""
    method = get_method(size.method)
    way, told = costs.ways[method.sharing.relays and costs.relay], costs.told
    # The overhead around the values hardly depends on their form.
    header = update_bytes(size.parameters, "bfloat16") - 2 * size.parameters if size.update else 0
    values = size.update - header
    found = []
    for own, out, passed, said, others in zip(
        way.own.tolist(), way.out.tolist(), way.passed.tolist(), told.own.tolist(), told.passed.tolist(), strict=True
    ):
        updates = costs.rounds * own + costs.exchanges * out
        run = {
            "values": updates * values,
            "masks": said * size.mask,
            "router": said * size.router,
            "control": updates * header + said * size.control,
            "relayed": costs.exchanges * passed * size.update + others * size.once,
        }
        found.append(Traffic(own * size.update, (out + passed) * size.update, run))
    return found


def _worst(flow: Flow, values: Floats) -> dict[int, float]:
    """Return the largest finite number among every sender's links."""
    found: dict[int, float] = {}
    for sender, value in zip(flow.sender.tolist(), values.tolist(), strict=True):
        if math.isfinite(value):
            found[sender] = max(value, found.get(sender, value))
    return found
