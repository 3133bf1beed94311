"""How the devices of a run find each other: a graph of free links, or a network over the air and agreed masks."""

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
    """Return who hears whom in a run, and the network over the air where it has a radio.

    Groups negotiate their masks there, if some method takes them.

    Args:
        config: the run's settings.
        site: where; None where links are free.
        own: what every device found out, by id.
        layers: of the model.
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
