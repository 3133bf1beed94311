"""The paper's collision rates: average over devices against their number, in one cluster and in clusters (eq. 19).

Expected rates at equal densities; nothing is trained, and no weights are read. A seed is one draw of places. Links
carry an update of ``proposed``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paper_scales import Request

from meshtune.adapter.sites import LayerSpec
from meshtune.config.federation_config import DevicesConfig
from meshtune.config.run_config import RunConfig
from meshtune.model.skeleton import skeleton
from meshtune.network.geometry import geometry_of, link_bounds
from meshtune.network.layer_densities import uniform
from meshtune.network.site import site_of
from meshtune.planning.model_sizes import method_sizes
from meshtune.topology.agnes import form
from meshtune.topology.clusters import single
from meshtune.wireless.config import RadioConfig


def collisions(request: Request) -> dict[str, Any]:
    """Return the rates for every number of devices and seed, as shares of B's positions."""
    config = request.config("adapter.budget=uniform", "clusters.rate=expected")
    shape = skeleton(config.model)
    bits = 8 * method_sizes(shape, "proposed", config.adapter, config.exchange).update
    found = []
    for count in request.counts:
        for seed in request.seeds:
            drawn = config.model_copy(update={"devices": DevicesConfig(count=count), "seed": seed})
            together, apart = average_rates(drawn, shape.layers, bits)
            found.append({"devices": count, "seed": seed, "one_cluster": together, "clusters": apart})
    return {"density": config.adapter.share, "s_max": config.clusters.s_max, "rows": found}


def average_rates(config: RunConfig, layers: Sequence[LayerSpec], bits: float) -> tuple[float, float]:
    """Return the collision rate of all devices as one cluster, and the mean over devices of their own cluster's.

    Args:
        config: devices, places and radio (the default one if it has none).
        layers: the adapted layers.
        bits: size of an update.
    """
    devices = len(config.device_tasks)
    radio = config.radio or RadioConfig()
    use = uniform(config, layers, [config.adapter.share] * devices).use
    air = link_bounds(geometry_of(site_of(config, radio)), bits, config.clusters.most)
    formed = form(air, use, config.clusters.s_max)
    own = sum(rate * len(members) for members, rate in zip(formed.clusters, formed.rates, strict=True))
    return round(single(air, use).rates[0], 6), round(own / devices, 6)
