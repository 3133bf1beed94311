"""The maps of a plan and of a run, drawn by :mod:`meshtune.report.map`."""

from __future__ import annotations

from meshtune.planning.plan_record import LinkPlan, Plan
from meshtune.report.map import Map, many
from meshtune.report.picture import plain
from meshtune.report.plan_tables import percent
from meshtune.report.result_tables import bytes_text
from meshtune.report.results_file import Results


def of_plan(plan: Plan) -> Map:
    """Return the map of a plan."""
    pairs: dict[tuple[int, int], LinkPlan] = {}
    for link in plan.links:  # a pair is a link even if only one end is served
        ends = (min(link.sender, link.receiver), max(link.sender, link.receiver))
        if not link.between and (link.served or ends not in pairs):
            pairs[ends] = link
    largest = max(cluster.rate for cluster in plan.clusters)
    return Map(
        title=f"{plain(plan.model, 60)}, rank {plan.rank}: {_grouped(len(plan.devices), len(plan.clusters))}"
        f"\nan update of {bytes_text(plan.payload)} within {plan.gamma:g} s; collision rates up to {largest:.3g}",
        positions=[(device.x, device.y) for device in plan.devices],
        tasks=(),
        clusters=[cluster.members for cluster in plan.clusters],
        within=[(*ends, link.capacity) for ends, link in pairs.items() if link.served],
        failing=[ends for ends, link in pairs.items() if not link.served],
        between=[(link.sender, link.receiver) for link in plan.links if link.between and link.sender < link.receiver],
        refused=[(device.device, one.device, one.kind) for device in plan.devices for one in device.refused[:1]],
    )


def of_run(results: Results) -> Map | None:
    """Return the map of a run in its first round; None if its links were free."""
    network = results.header.network
    if network is None:
        return None
    task = {device: name for name, devices in results.header.groups.items() for device in devices}
    devices = range(len(network.positions))
    rate = max(network.collision_measured)
    most = percent(rate) if rate else "0%"
    moving = results.header.config.get("places", {}).get("mobility", "static") != "static"
    return Map(
        title=f"{_grouped(len(devices), len(network.clusters))} over the air{', at the start' if moving else ''}"
        f"\nan update of {bytes_text(network.payload_bytes)}; masks collide in up to {most} of positions",
        positions=network.positions,
        tasks=[task.get(device, "") for device in devices],
        clusters=network.clusters,
        within=network.within,
        failing=(),
        between=network.links,
        refused=network.refused,
    )


def _grouped(devices: int, clusters: int) -> str:
    return f"{many(devices, 'device')} in {many(clusters, 'cluster')}"
