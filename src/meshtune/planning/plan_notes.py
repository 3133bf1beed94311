"""Notes for the reader of a plan besides its numbers: assumptions, what does not fit, what is left out."""

from __future__ import annotations

import numpy as np

from meshtune.adapter.mask_claims import capped_counts
from meshtune.config.run_config import RunConfig
from meshtune.data.unlearnt import unlearnt_note
from meshtune.methods.registry import get_method
from meshtune.network.layer_densities import Planned
from meshtune.network.radio_network import RadioNetwork
from meshtune.node.negotiation.mask_agreement import IDLE, negotiates
from meshtune.planning.plan_record import Limit
from meshtune.planning.round_costs import Costs
from meshtune.topology.phrases import figure


def notes_of(
    config: RunConfig,
    network: RadioNetwork,
    costs: Costs,
    planned: Planned,
    limits: tuple[Limit, ...],
    together: float,
    apart: str | None,
) -> tuple[str, ...]:
    """Return the notes of a plan, most important first.

    Args:
        config: the run's settings.
        network: clusters and links.
        costs: the costs of every device.
        planned: densities.
        limits: bounds on how much may be trained.
        together: T_round in seconds.
        apart: the parts that the graph falls into, if it does.
    """
    where, train = network.where, config.train
    radio = where.config
    notes = (
        [] if config.radio is not None else ["the configuration has no radio: planning uses the defaults of radio.*"]
    )
    notes += planned.notes
    unlearnt = unlearnt_note(config)
    notes += [] if unlearnt is None else [unlearnt]
    if config.clusters.masks == "negotiated":
        notes.append(_negotiated(config, network, planned))
    for limit in limits:
        if not limit.kept and limit.values:
            otherwise = "expect fewer neighbours" if limit.name == "link" else "train fewer rows a round"
            notes.append(
                f"density {planned.density:.3g} is beyond the {limit.name} limit of {limit.density:.3g}, "
                f"{limit.values:,.0f} values ({limit.sentence}): lower adapter.density, or {otherwise}"
            )
        elif not limit.kept:
            notes.append(limit.sentence)
    if apart is not None:
        notes.append(apart)
    lone = list(network.alone.values())
    if lone:
        others = f" ({len(lone) - 1} more are alone)" if len(lone) > 1 else ""
        notes.append(f"{lone[0]}{others}")
    unserved = int((~network.within.budget.served).sum())
    if unserved:
        notes.append(
            f"{unserved} of {len(network.within.sender)} links within clusters do not carry the payload on their mean "
            "gain"
        )
    if config.compute.epsilon is None:
        notes.append(
            f"computing is an upper bound: {train.steps} steps of {train.batch} rows (train.steps, train.batch), each "
            f"row taken to be {train.max_tokens} tokens long (train.max_tokens)"
        )
    late = np.flatnonzero(costs.compute_seconds + radio.gamma > together * (1 + 1e-12))
    if late.size:
        notes.append(
            f"{late.size} of {len(where.positions)} devices would miss the end of the round, round_seconds="
            f"{together:g}: device {late[0]} computes {costs.compute_seconds[late[0]]:.3g} s and sends up to "
            f"{radio.gamma:g} s"
        )
    turns = network.slots
    if turns > 1:
        notes.append(f"devices share one band and send in {turns} turns, {turns * radio.gamma:g} s an exchange")
    if costs.crossing.size and costs.exchanges:
        busiest = int(costs.crossing.max())
        notes.append(
            f"in an exchange between clusters up to {busiest} updates cross one link, "
            f"{busiest * where.radio.gamma:.3g} s one after another; T_round is {together:,.5g} s"
        )
    if costs.passed is not None and costs.passed.windows and costs.exchanges:
        inner = config.clusters.inner_rounds
        when = "every round" if inner == 1 else f"every {inner} rounds"
        notes.append(
            f"updates from devices out of range are relayed hop by hop {when}, in {costs.passed.windows} windows, "
            f"{costs.passed.seconds:.3g} s; T_round is {together:,.5g} s"
        )
    loss = radio.loss
    if loss.probability:
        notes.append(
            f"packets are sent {loss.transmissions:.3g} times on average (radio.loss): bytes and energies here are of "
            f"one time, and powers leave {100 * loss.planned_margin:.3g}% of Gamma for it"
        )
    if radio.cast == "broadcast":
        notes.append("clusters were formed on the sum of what each receiver needs, which overestimates a broadcast")
    if radio.spectrum == "shared":
        notes.append("clusters were formed without interference; power, rate and the links served take it into account")
    if config.places.mobility != "static":
        notes.append(
            "devices move (places.mobility): this is the plan of where they start, a run forms clusters anew every "
            f"{config.clusters.reformed} rounds"
        )
    return tuple(notes)


def _negotiated(config: RunConfig, network: RadioNetwork, planned: Planned) -> str:
    """Return how negotiation changes collisions and, through its cap, densities."""
    methods = [get_method(name) for name in config.methods]
    if not negotiates(config, methods):
        return IDLE
    names = ", ".join(method.name for method in methods if method.masks.negotiable)
    tasks, cut = config.device_tasks, {}
    most, change, fewer = 1, 0.0, 0
    for members in network.clusters.clusters:
        groups = len({tasks[device].key for device in members})
        most = max(most, groups)
        for device in members:
            counts = planned.counts[device]
            key = (groups, counts.tobytes())
            if key not in cut:
                cut[key] = np.array(capped_counts(counts.tolist(), planned.sizes.tolist(), groups))
            change = max(change, float((np.abs(cut[key] - counts) / planned.sizes).max()))
            fewer = max(fewer, int(counts.sum() - cut[key].sum()))
    told = f"clusters.masks=negotiated: under {names} the masks of different groups of a cluster collide nowhere"
    if most > 1:
        told += f"; with up to {most} groups in a cluster a device may train 1/{most} of a layer there, "
        if fewer:
            told += f"so that one trains up to {fewer:,} values fewer"
        elif change:
            told += f"which changes a layer's density by up to {figure(change)} and no total"
        else:
            told += "and none wants more, so densities stay"
    return f"{told}; the collision rates here are those before, and other methods'"
