"""Planned densities: how many values a device may train, limited by its compute and by what a link carries.

Q is the lower of c_max batch / (epsilon N) (eq. 7, 11) and what one link of the median mean gain in range carries
within Gamma, at p_max and u_plan neighbours (method sections 4 and 7). It is at most all positions of B. Each device
has its own median. What a method sends besides B's values, the largest changes of a common expert, takes its part of
the link first. Devices of a group share a mask and so one density: the lowest of the group, so that no mate has more to
send than its link carries. All devices of a group count, whether in reach of each other or not, because moving
devices may meet. Densities are fixed at the start, for the positions at that time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.methods.registry import get_method
from meshtune.network.geometry import Geometry, carrier, geometry_of, median_gains
from meshtune.network.site import Site
from meshtune.wire.payload_sizes import PLAIN, update_bytes
from meshtune.wireless.compute import compute_limit, link_limit
from meshtune.wireless.link import payload_limit

BOUNDS = {
    "link": "what a link carries (radio.u_plan)",
    "compute": "compute.c_max",
    "positions": "the positions that B has",
}
"""What can bound the number of values of a device, in words."""


@dataclass(frozen=True)
class DensityLimit:
    """How much the devices of a group may train.

    Attributes:
        values: Q; ``density``: its share of B's positions.
        bound: the tightest of :data:`BOUNDS`.
        device: the device with the group's lowest median gain in range; None if no device is in range of another.
        gain: that gain, linear.
    """

    values: int
    density: float
    bound: str
    device: int | None
    gain: float | None

    def facts(self) -> dict[str, Any]:
        """Return the record of it for the results."""
        return asdict(self)


def budgets(config: RunConfig, site: Site, layers: Sequence[LayerSpec]) -> dict[str, DensityLimit]:
    """Return the limit of every task group, by key.

    Raises:
        UserError: a device could not train a single value.
    """
    method, batch = carrier([get_method(name) for name in config.methods]), config.train.batch
    where, positions = geometry_of(site), sum(sizes(layers, method.masks.columns(config.adapter)))
    fixed = method.kind.chosen(layers, config.adapter)
    computed = compute_limit(config.compute, config.train.steps * batch, batch) - fixed[1]
    if computed < 1:
        raise UserError(
            f"adapter.density=planned leaves {method.name} nothing to train: compute.c_max allows fewer values than "
            f"the {fixed[1]:,} of the common expert: lower adapter.common or adapter.rank"
        )
    groups: dict[str, list[int]] = {}
    for device, task in enumerate(config.device_tasks):
        groups.setdefault(task.key, []).append(device)
    gains, found = median_gains(where), {}
    for group, devices in sorted(groups.items()):
        reached = [device for device in devices if not math.isnan(gains[device])]
        weakest = min(reached, key=lambda device: float(gains[device]), default=None)
        gain = None if weakest is None else float(gains[weakest])
        limits = {"positions": positions, "compute": computed}
        if gain is not None:
            try:
                limits["link"] = carried(where, gain, config.exchange, positions, fixed)
            except UserError as error:
                raise UserError(f"adapter.density=planned leaves device {weakest} nothing to train: {error}") from error
        bound = min(limits, key=lambda name: limits[name])  # of equal ones the first
        values = math.floor(limits[bound])
        found[group] = DensityLimit(values, values / positions, bound, weakest, gain)
    return found


def carried(
    where: Geometry, gain: float, exchange: ExchangeConfig, positions: int, fixed: tuple[int, int] = (0, 0)
) -> int:
    """Return how many values, at most ``positions``, one link of this gain carries within Gamma.

    ``fixed`` is of how many further values the positions are sent, and among how many they are.

    Raises:
        UserError: it carries no value at all.
    """
    u = sharing(where)
    most = math.floor(link_limit(where.radio, gain, u, *form(exchange, positions, fixed)))
    if most >= positions:
        return positions
    # The header and the coded bits per value were so far those of a full update.
    more = math.floor(link_limit(where.radio, gain, u, *form(exchange, most, fixed)))
    exact = exchange.values in PLAIN
    if exact and 8 * update_bytes(more + fixed[0], exchange.values, chosen=fixed) > payload_limit(where.radio, gain, u):
        return most
    return min(more, positions)


def sharing(where: Geometry) -> int:
    """Return the number of shares the band is planned for: u_plan, or 1 for a broadcast."""
    return 1 if where.config.cast == "broadcast" else where.config.u_plan


def form(exchange: ExchangeConfig, count: int, fixed: tuple[int, int] = (0, 0)) -> tuple[float, float]:
    """Return the bits per value and the overhead bits, in an update of ``count`` values and the ``fixed`` ones."""
    bits = 8.0 * update_bytes(count + fixed[0], exchange.values, exchange.block, chosen=fixed)
    if exchange.values in PLAIN:
        plain = {"BF16": 16.0, "F32": 32.0}[PLAIN[exchange.values]]
        return plain, bits - plain * count
    alone = 8.0 * update_bytes(count, exchange.values, exchange.block)
    return alone / count, bits - alone


def densities_of(config: RunConfig, planned: Mapping[str, DensityLimit] | None) -> tuple[float, ...]:
    """Return the density of every device: the one ``planned`` for its group, or the configured one."""
    if planned is None:
        return (config.adapter.share,) * len(config.device_tasks)
    return tuple(planned[task.key].density for task in config.device_tasks)


def budget_note(planned: Mapping[str, DensityLimit]) -> str:
    """Return a one-sentence note on the planned densities."""
    values = sorted({budget.values for budget in planned.values()})
    shares = list(dict.fromkeys(f"{budget.density:.3g}" for budget in sorted(planned.values(), key=lambda b: b.values)))
    span = f"{values[0]:,} values" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,} values"
    part = shares[0] if len(shares) == 1 else f"{shares[0]} to {shares[-1]}"
    bounds = {bound: [key for key, budget in planned.items() if budget.bound == bound] for bound in BOUNDS}
    named = [(BOUNDS[bound], keys) for bound, keys in bounds.items() if keys]
    if len(named) == 1:
        why = named[0][0]
    else:
        why = ", and by ".join(f"{words} ({', '.join(keys)})" for words, keys in named)
    return f"adapter.density=planned: a device trains {span}, {part} of B, bounded by {why}"
