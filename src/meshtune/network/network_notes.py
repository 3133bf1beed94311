"""Notes for the user on a run's network, before its first round."""

from __future__ import annotations

from meshtune.network.run_network import RunNetwork
from meshtune.node.negotiation.mask_agreement import IDLE
from meshtune.topology.graphs import components, falls_apart
from meshtune.topology.phrases import figure, listed, sized


def network_notes(network: RunNetwork) -> list[str]:
    """Return the notes, one sentence each: clusters, devices out of reach, rounds without exchange, masks."""
    formed = network.formed
    clusters, links = formed.clusters.clusters, len(formed.backbone.links)
    found = [
        f"{len(clusters)} {'cluster' if len(clusters) == 1 else 'clusters'} over the air, of {sized(clusters)}; "
        f"{links} {'link' if links == 1 else 'links'} between them"
    ]
    return [*found, *_out_of_reach(network), *_last_rounds(network), *_masks(network)]


def _out_of_reach(network: RunNetwork) -> list[str]:
    formed = network.formed
    linked, apart = formed.linked, falls_apart(formed.graph)
    found = [] if apart is None else [apart]
    if linked.missing and linked.rule is not None:
        found.append(
            f"{linked.missing} of the {linked.pairs} pairs that {linked.rule} links are out of reach, for range "
            "or power"
        )
    lone = [part[0] for part in components(formed.graph) if len(part) == 1]
    return found + [f"{formed.alone.get(device) or network.why[device].reason}; it trains by itself" for device in lone]


def _last_rounds(network: RunNetwork) -> list[str]:
    """Return a note on the rounds after the last exchange."""
    config, formed = network.site.config, network.formed
    rounds, inner = config.train.rounds, config.clusters.inner_rounds
    left = rounds % inner
    remedy = "make train.rounds a multiple of clusters.inner_rounds to end with an exchange"
    if formed.backbone.links and left:
        return [
            f"clusters exchange every {inner} rounds, and the updates of the last {left} of {rounds} rounds stay "
            f"within clusters: {remedy}"
        ]
    if formed.linked.rule is not None and left and config.graph.relay:
        return [
            f"updates from devices out of range are relayed every {inner} rounds; those of the last {left} of "
            f"{rounds} rounds reach only direct neighbours: {remedy}"
        ]
    return []


def _masks(network: RunNetwork) -> list[str]:
    """Return notes on negotiated masks, and on clusters whose masks collide more than is allowed."""
    clusters, agreement, found = network.formed.clusters, network.agreement, []
    if agreement is not None:
        found.append(
            f"masks were negotiated: those of different groups of a cluster collide nowhere, and a layer's density "
            f"changed by {figure(max(agreement.change))} at most"
        )
    elif network.site.config.clusters.masks == "negotiated":
        found.append(IDLE)
    whose = "own masks" if agreement is not None else "masks"
    found += [
        f"the {whose} of cluster {listed(cluster)} collide in {figure(real)} of all positions, above the "
        f"{clusters.s_max:g} allowed: expected were {figure(rate)}"
        for cluster, real, rate in zip(clusters.clusters, network.measured, clusters.rates, strict=True)
        if real > clusters.s_max
    ]
    return found
