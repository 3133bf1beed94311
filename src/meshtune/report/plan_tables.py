"""The tables of a plan: summary, bounds, clusters, devices, links between clusters, methods, reasons."""

from __future__ import annotations

from meshtune.planning.plan_record import DevicePlan, Limit, Plan
from meshtune.report.format import BYTE_KINDS
from meshtune.report.result_tables import Table, bytes_text, joules_text, seconds_text
from meshtune.topology.phrases import figure, listed, watts

SHOWN = 30
"""The most clusters, devices or links that a table shows; if there are more, the first ones."""


def tables(plan: Plan, why: int | None = None) -> list[Table]:
    """Return the tables of ``plan``; with ``why``, only the reasons of that device."""
    if why is not None:
        return [why_table(plan.devices[why])]
    made = [summary_table(plan), limits_table(plan), clusters_table(plan), devices_table(plan)]
    if any(link.between for link in plan.links):
        made.append(between_table(plan))
    return [*made, methods_table(plan), refused_table(plan), notes_table(plan)]


def summary_table(plan: Plan) -> Table:
    """Return the planned settings, and the totals over all devices."""
    sizes = [len(cluster.members) for cluster in plan.clusters]
    energy = plan.run_energy - plan.run_compute_energy
    hop_by_hop = bool(plan.exchanges) and not any(link.between for link in plan.links)
    table = Table("The plan", ["what", "planned"], labels=2)
    table.rows = [
        ["model", f"{plan.model}: {plan.weights:,} weights, {plan.layers} layers, rank {plan.rank}"],
        ["a device trains", f"{plan.values:,} values, {plan.density:.3g} of B"],
        ["an update", f"{bytes_text(plan.payload)} ({plan.payload_method})"],
        [
            "radio",
            f"channel {plan.channel}, {plan.spectrum}, {plan.cast}, at most {watts(plan.p_max)}, "
            f"Gamma {plan.gamma:g} s"
            + ("" if plan.planned_gamma == plan.gamma else f", planned with {plan.planned_gamma:.3g} s"),
        ],
        [
            "clusters",
            f"{len(sizes):,} of {_span(sizes)}, {len(plan.devices):,} in all; collision rate up to "
            f"{figure(max(cluster.rate for cluster in plan.clusters))} of at most {plan.s_max:g} ({plan.rate})",
        ],
        ["parts", "all devices are connected" if len(plan.parts) == 1 else f"{len(plan.parts)} parts"],
        [
            "rounds",
            f"{plan.rounds} of {_seconds(plan.round_seconds)}, {_seconds(plan.run_seconds)} in all, "
            f"{plan.exchanges} with an exchange {'hop by hop' if hop_by_hop else 'between clusters'}",
        ],
        [
            "energy, all devices",
            f"{_joules(plan.run_energy)}, {_joules(energy) if energy else 'nothing'} of it for sending",
        ],
    ]
    return table


def limits_table(plan: Plan) -> Table:
    """Return what the budgets allow beside what is planned."""
    table = Table("How much a device may train", ["budget", "values", "density", "kept", "from"])
    table.rows = [["planned", f"{plan.values:,}", f"{plan.density:.3g}", "", "adapter.density, or the run's masks"]]
    table.rows += [_limit_row(limit) for limit in plan.limits]
    return table


def _limit_row(limit: Limit) -> list[str]:
    if limit.values is None or limit.density is None:
        return [limit.name, "no bound", "-", "yes", limit.sentence]
    return [
        limit.name,
        f"{limit.values:,.0f}",
        f"{limit.density:.3g}",
        "yes" if limit.kept else "no",
        limit.sentence,
    ]


def clusters_table(plan: Plan) -> Table:
    """Return every cluster."""
    table = Table(
        "Clusters",
        ["cluster", "devices", "size", "collision rate", "highest power", "energy of an exchange"],
        labels=2,
        note=_more(len(plan.clusters), "clusters").strip(),
    )
    for cluster in plan.clusters[:SHOWN]:
        table.rows.append(
            [
                str(cluster.cluster),
                listed(cluster.members, 16),
                str(len(cluster.members)),
                figure(cluster.rate),
                watts(cluster.power) if cluster.power else "-",
                _joules(cluster.energy),
            ]
        )
    return table


def devices_table(plan: Plan) -> Table:
    """Return the cost of an exchange and of a round for every device."""
    name = plan.payload_method
    table = Table(
        "Devices",
        [
            "device", "task", "cluster", "neighbours", "power", "headroom", "air time", "energy", "outage",
            "energy between", "computes", "with", f"sends a round ({name})", f"in the run ({name})",
        ],
        labels=2,
        note="Power, air time, energy and outage (of the worst link) are of one exchange within the cluster; energy "
        "between is of one between clusters, with what is relayed; computing is of one round."
        + _more(len(plan.devices), "devices"),
    )  # fmt: skip
    for device in plan.devices[:SHOWN]:
        sent = device.bytes[name]
        table.rows.append(
            [
                str(device.device),
                device.task,
                str(device.cluster),
                f"{len(device.neighbours)}" + (f" of {_wanted(device)}" if device.unserved else ""),
                _watts(device.power),
                _watts(device.headroom),
                "-" if device.delay is None else f"{device.delay:.3g} s",
                _joules(device.energy),
                percent(device.outage),
                _joules(device.between_energy),
                _seconds(device.compute_seconds),
                _joules(device.compute_energy),
                _bytes(sent.round),
                _bytes(sum(sent.run.values())),
            ]
        )
    return table


def between_table(plan: Plan) -> Table:
    """Return the links between clusters, each direction separately."""
    links = [link for link in plan.links if link.between]
    table = Table(
        "Links between clusters",
        ["from", "to", "length", "power", "rate", "outage", "updates", "air time"],
        note="Updates cross one after another; outage is of one." + _more(len(links), "links"),
    )
    for link in links[:SHOWN]:
        table.rows.append(
            [
                str(link.sender),
                str(link.receiver),
                f"{link.metres:.0f} m",
                _watts(link.power),
                f"{link.rate / 1e6:.1f} Mbit/s",
                percent(link.outage),
                str(link.updates),
                "-" if link.delay is None else f"{link.updates * link.delay:.3g} s",
            ]
        )
    return table


def methods_table(plan: Plan) -> Table:
    """Return what each method trains, sends once, and sends in the whole run over all devices."""
    table = Table(
        "Methods on these links, all devices together",
        ["method", "trained", "one update", "takes", "whole run", *BYTE_KINDS],
        note="Takes: an update's time on the air at the planned rates. Expected bytes, without repetitions.",
    )
    for method in plan.methods:
        table.rows.append(
            [
                method.method,
                f"{method.parameters:,}",
                _bytes(method.update),
                "-" if method.seconds is None else f"{method.seconds:.3g} s",
                _bytes(sum(method.run.values())),
                *(_bytes(method.run[kind]) for kind in BYTE_KINDS),
            ]
        )
    return table


def refused_table(plan: Plan) -> Table:
    """Return each device's nearest refused neighbour, or that the device is alone and why."""
    table = Table("Why devices are not in one cluster", ["device", "why"], labels=2)
    for device in [device for device in plan.devices if device.reason is not None][:SHOWN]:
        single = [device.reason] if device.reason and not device.neighbours and not device.unserved else []
        told = device.alone or "; ".join([*single, *(one.sentence for one in device.refused[:1])])
        if told:
            table.rows.append([str(device.device), told])
    table.note = "The nearest device elsewhere; meshtune plan FILE.yaml --why DEVICE explains more."
    table.note += _more(len(plan.devices), "devices")
    return table


def why_table(device: DevicePlan) -> Table:
    """Return why ``device`` is in its cluster, and why others are not."""
    table = Table(f"Device {device.device}", ["bound", "why"], labels=2)
    table.rows = [["here", device.reason or ""], *([one.kind, one.sentence] for one in device.refused)]
    return table


def notes_table(plan: Plan) -> Table:
    """Return the assumptions, and what does not fit."""
    return Table("Notes", ["", "what"], [["-", note] for note in plan.notes], labels=2)


def percent(share: float | None) -> str:
    """Return a probability in percent."""
    if share is None:
        return "-"
    if share == 0:
        return "0"
    return f"{100 * share:.2g}%" if share < 0.995 else f"{100 * share:.0f}%"


def _wanted(device: DevicePlan) -> int:
    return len(device.neighbours) + len(device.unserved)


def _watts(value: float) -> str:
    return watts(value) if value else "-"


def _bytes(count: int) -> str:
    return bytes_text(count) if count else "-"


def _seconds(value: float) -> str:
    return seconds_text(value) if value < 7200 else f"{value / 3600:.1f} h"


def _joules(value: float) -> str:
    return joules_text(value) if value else "-"


def _span(sizes: list[int]) -> str:
    low, high = min(sizes), max(sizes)
    return (str(low) if low == high else f"{low} to {high}") + (" device" if high == 1 else " devices")


def _more(many: int, what: str) -> str:
    return f" The first {SHOWN} of {many:,} {what}." if many > SHOWN else ""
