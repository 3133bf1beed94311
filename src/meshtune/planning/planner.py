"""A run's plan: clusters, links, power, time, energy and bytes, without weights, data or training.

The order is that of the method's section 7: densities, payload, clusters on mean gains, then the cost of an exchange
for every device. What a run draws anew each round (fading, losses) enters as probabilities.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.sites import sizes
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.methods.base import Method
from meshtune.methods.registry import get_method
from meshtune.model.skeleton import Skeleton, skeleton
from meshtune.network.density_limits import DensityLimit, budget_note, budgets, densities_of, form, sharing
from meshtune.network.geometry import Geometry, carrier, check_pairs, clustering, geometry_of, median_gain
from meshtune.network.layer_densities import Planned, from_run, uniform
from meshtune.network.site import Site, site_of
from meshtune.network.virtual_clock import ends
from meshtune.node.announcements import recipes
from meshtune.node.negotiation.mask_agreement import check_negotiated
from meshtune.planning.assembly import clusters_of, devices_of, links_of, methods_of
from meshtune.planning.model_sizes import MethodSizes, method_sizes
from meshtune.planning.plan_notes import notes_of
from meshtune.planning.plan_record import Limit, Plan
from meshtune.planning.planned_network import planned_network
from meshtune.planning.round_costs import costs_of, tokens_of
from meshtune.runs.events import PhaseStarted, Progress
from meshtune.runs.observer import Observer, Silent
from meshtune.topology.graphs import components, falls_apart
from meshtune.wireless.compute import compute_limit, link_limit
from meshtune.wireless.config import RadioConfig


def plan(config: RunConfig, run: Path | None = None, observer: Observer | None = None, why: int | None = None) -> Plan:
    """Return the plan of a run.

    Args:
        config: the run's settings; task data are not read.
        run: the folder of a run whose masks give the densities; None for equal densities.
        observer: receives progress events.
        why: a device to explain in full, however many there are.

    Raises:
        UserError: the model's shape is not available, a setting is impossible, or ``run`` does not fit.
    """
    watcher = observer or Silent()
    devices = len(config.device_tasks)
    if why is not None and not 0 <= why < devices:
        raise UserError(f"there is no device {why}: the plan has devices 0 to {devices - 1}")
    method = _payload_method(config)
    radio = config.radio or RadioConfig()
    site = site_of(config, radio)
    where = geometry_of(site)
    if config.clusters.kind == "agnes":
        check_pairs(where)  # before anything slow with many devices
    watcher(PhaseStarted("the model's shape", 1))
    shape = skeleton(config.model, config.adapter.per_layer)
    watcher(Progress("the model's shape", 1, 1))
    recipes(config, shape.layers)
    check_negotiated(config, [get_method(name) for name in config.methods])
    planned, adapter, largest = _densities(config, site, shape, method, run)
    found = {name: method_sizes(shape, name, adapter, config.exchange, config.router) for name in config.methods}
    size = found[method.name]
    settings = clustering(config.clusters, method.masks.selects)
    network = planned_network(config, where, 8.0 * size.update, planned.use, settings, watcher)
    limits = _limits(config, where, shape, method, size, median_gain(where, network.bounds), largest)
    costs = costs_of(config, network, shape, size, method)
    graph = costs.graph(network)
    parts = sorted(map(len, components(graph)), reverse=True)
    rounds = config.train.rounds
    slowest = float(costs.compute_seconds.max())
    together = config.round_seconds or ends(slowest, network.slots, radio.gamma)
    computing = rounds * float(costs.compute_energy.sum())
    sending = rounds * network.within.budget.sender_energy.sum() + costs.exchanges * costs.between_energy.sum()
    return Plan(
        model=config.model.name,
        weights=shape.parameters,
        layers=len(shape.layers),
        rank=adapter.rank,
        positions=sum(sizes(shape.layers, method.masks.columns(adapter))),
        values=size.parameters,
        density=planned.density,
        payload_method=method.name,
        payload=size.update,
        channel=radio.channel,
        spectrum=radio.spectrum,
        cast=radio.cast,
        p_max=radio.p_max,
        gamma=radio.gamma,
        planned_gamma=radio.planned_gamma,
        s_max=network.clusters.s_max,
        rate=planned.rate,
        rounds=rounds,
        exchanges=costs.exchanges,
        tokens=tokens_of(config),
        round_seconds=together,
        run_seconds=rounds * together,
        run_energy=float(computing + sending),
        run_compute_energy=computing,
        parts=tuple(parts),
        limits=limits,
        methods=methods_of(found, size, costs, network),
        clusters=clusters_of(network),
        devices=devices_of(config, network, costs, found, why, watcher),
        links=links_of(network, costs),
        notes=notes_of(config, network, costs, planned, limits, together, falls_apart(graph)),
    )


def _densities(
    config: RunConfig, site: Site, shape: Skeleton, method: Method, run: Path | None
) -> tuple[Planned, AdapterConfig, DensityLimit | None]:
    """Return the densities, the adapter with the largest one, and its limit if densities were planned."""
    if run is not None:
        planned = from_run(config, shape.layers, len(config.device_tasks), method, run)
        return planned, config.adapter.model_copy(update={"density": planned.density}), None
    found = budgets(config, site, shape.layers) if config.adapter.density == "planned" else None
    each = densities_of(config, found)
    adapter = config.adapter.model_copy(update={"density": max(each)})
    if not method.masks.selects:
        return uniform(config, shape.layers, each, masked=False), adapter, None
    planned = uniform(config, shape.layers, each)
    if found is None:
        return planned, adapter, None
    largest = max(found.values(), key=lambda budget: budget.values)
    notes = [budget_note(found)]
    if min(each) < max(each):
        notes.append("what is sent is planned for those who train most, and clusters are formed for their updates")
    return replace(planned, notes=(*notes, *planned.notes)), adapter, largest


def _payload_method(config: RunConfig) -> Method:
    """Return the method whose update the links are planned for.

    Raises:
        UserError: no method exchanges updates.
    """
    methods = [get_method(name) for name in config.methods]
    if not any(method.sharing.sends for method in methods):
        raise UserError(
            f"methods=[{', '.join(config.methods)}] send nothing, so there is no exchange to plan: add one that does, "
            "like proposed"
        )
    return carrier(methods)


def _limits(
    config: RunConfig,
    where: Geometry,
    shape: Skeleton,
    method: Method,
    size: MethodSizes,
    gain: float | None,
    planned: DensityLimit | None,
) -> tuple[Limit, ...]:
    """Return the bounds; the link bound is for ``gain``, the median of all in range, or for a planned limit's gain.

    They count all that a device trains: a common part, which is dense, and a share of the positions of B beside it.
    """
    positions = sum(sizes(shape.layers, method.masks.columns(config.adapter)))
    fixed = method.kind.chosen(shape.layers, config.adapter)
    common = fixed[1]
    samples = config.train.steps * config.train.batch

    def limit(name: str, values: float, sentence: str) -> Limit:
        if math.isinf(values):
            return Limit(name, None, None, True, sentence)
        return Limit(name, values, max(0.0, values - common) / positions, size.parameters <= values, sentence)

    compute = config.compute
    told = (
        f"compute.c_max={compute.c_max:g} cycles a round at compute.epsilon={compute.epsilon:g} a value and step"
        if compute.c_max is not None and compute.epsilon is not None
        else "compute.c_max and compute.epsilon are not set"
    )
    found = [limit("compute", compute_limit(compute, samples, config.train.batch), told)]
    whose = "" if planned is None or planned.device is None else f" of device {planned.device}"
    gain = gain if planned is None else planned.gain
    if gain is not None:
        u = sharing(where)
        receivers = "a broadcast at" if where.config.cast == "broadcast" else f"{u} neighbours (radio.u_plan) of"
        told = f"{receivers} the median gain in range{whose}, {10 * math.log10(gain):.1f} dB"
        try:
            values = link_limit(where.radio, gain, u, *form(config.exchange, size.parameters - common, fixed))
            found.append(limit("link", common + values, told))
        except UserError as error:
            found.append(limit("link", 0.0, str(error)))
    return tuple(found)
