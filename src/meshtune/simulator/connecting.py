"""How the devices of a run are connected: a graph of free links, or a radio network with negotiated masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.config.run_config import RunConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.network.run_network import RunNetwork, run_network
from meshtune.network.site import Site
from meshtune.node.negotiation.mask_agreement import negotiates
from meshtune.simulator.negotiating import negotiate
from meshtune.topology.graphs import neighbours
from meshtune.topology.linked import Graph


def connect(
    config: RunConfig,
    site: Site | None,
    own: Sequence[Announcement],
    layers: Sequence[LayerSpec],
    factory: ExpertFactory,
) -> tuple[Graph, RunNetwork | None]:
    """Return who hears whom in a run and, if it has a radio, the radio network.

    If some method uses negotiated masks, the groups negotiate them here.

    Args:
        config: the run's settings.
        site: channel, radio and positions; None for free links.
        own: every device's announcement, by id.
        layers: the adapted layers of the model.
        factory: builds experts.
    """
    if site is None:
        return neighbours(config.graph.kind, len(own), config.graph.neighbours, config.seed), None
    methods = [get_method(name) for name in config.methods]
    network = run_network(site, methods, own, layers, factory)
    if negotiates(config, methods):
        agreement = negotiate(own, network.formed.inner, sizes(layers, factory.adapter.rank))
        network = replace(network, agreement=agreement)
    return network.formed.graph, network
