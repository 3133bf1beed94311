"""Plain communication graphs and their connected parts. No radio here; links are free and bidirectional."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from meshtune.errors import UserError
from meshtune.seeds import stream

KINDS = ("full", "ring", "random", "exponential", "geometric")


def neighbours(
    kind: str,
    devices: int,
    degree: int = 3,
    seed: int = 0,
    positions: ArrayLike | None = None,
    radius: float | None = None,
) -> dict[int, tuple[int, ...]]:
    """Return the neighbours of every device, ids ascending.

    Args:
        kind: ``full``; ``ring`` (each with the previous and the next); ``random``: each draws ``degree`` others, links
            are bidirectional, and a ring in random order keeps the graph connected; ``exponential``: each with those
            1, 2, 4, 8 ... places on around the ring; ``geometric``: each with those within ``radius``, which may leave
            the graph disconnected.
        devices: their number.
        degree: links that each device draws in a random graph.
        seed: of the random graph.
        positions: (devices, 2) in metres, of a geometric graph.
        radius: in metres, of a geometric graph.

    Raises:
        UserError: the kind is unknown, the degree is not below the number of devices, or a geometric graph has no
            radius above 0 or not one finite position for every device.
    """
    if kind not in KINDS:
        raise UserError(f"there is no graph kind {kind}: choose from {', '.join(KINDS)}")
    import networkx as nx  # takes a fifth of a second: do not delay help and errors

    if kind == "full":
        graph = nx.complete_graph(devices)
    elif kind == "ring":
        graph = nx.cycle_graph(devices) if devices > 2 else nx.path_graph(devices)
    elif kind == "exponential":
        steps = [1 << power for power in range((devices - 1).bit_length())]
        graph = nx.circulant_graph(devices, steps)
    elif kind == "geometric":
        graph = _geometric(nx, devices, positions, radius)
    else:
        graph = _random(nx, devices, degree, seed)
    return {device: tuple(sorted(graph.neighbors(device))) for device in range(devices)}


def _random(nx: Any, devices: int, degree: int, seed: int) -> Any:
    if degree >= devices:
        raise UserError(
            f"graph.neighbours={degree} needs more than {degree} devices, there are {devices}: "
            "lower it or use graph.kind=full"
        )
    draw = stream(seed, "graph")
    graph = nx.empty_graph(devices)
    order = draw.permutation(devices).tolist()
    if devices > 1:
        graph.add_edges_from(zip(order, order[1:] + order[:1], strict=True))
    for device in range(devices):
        others = [d for d in range(devices) if d != device]
        for other in draw.choice(others, size=degree, replace=False).tolist():
            graph.add_edge(device, other)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


def _geometric(nx: Any, devices: int, positions: ArrayLike | None, radius: float | None) -> Any:
    import numpy as np

    if radius is None or not (math.isfinite(radius) and radius > 0):
        raise UserError(f"a geometric graph of radius {radius} has no links: give a radius above 0 in metres")
    where = np.asarray(positions if positions is not None else np.empty((0, 2)), dtype=np.float64)
    if where.shape != (devices, 2) or not np.isfinite(where).all():
        raise UserError(
            f"positions have the shape {where.shape}, there are {devices} devices: give each a row x, y in metres, all "
            "finite"
        )
    graph = nx.empty_graph(devices)
    apart = np.hypot(*(where[:, None] - where[None, :]).transpose(2, 0, 1))
    graph.add_edges_from(np.argwhere(np.triu(apart <= radius, 1)).tolist())
    return graph


def components(graph: Mapping[int, Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Return the connected components of a graph, ids ascending, ordered by their lowest id."""
    import networkx as nx

    whole = nx.Graph()
    whole.add_nodes_from(graph)
    whole.add_edges_from((device, other) for device, others in graph.items() for other in others)
    return tuple(sorted(tuple(sorted(part)) for part in nx.connected_components(whole)))


def falls_apart(graph: Mapping[int, Sequence[int]]) -> str | None:
    """Return one sentence on the parts of a graph that is not connected; None for a connected one."""
    parts = components(graph)
    if len(parts) < 2:
        return None
    sizes = sorted(map(len, parts), reverse=True)
    single = sizes.count(1)
    told = ", ".join(map(str, sizes[:6])) + (", ..." if len(sizes) > 6 else "")
    return (
        f"the graph is disconnected into {len(parts)} parts of {told} devices"
        + (f", {single} of them {'a device' if single == 1 else 'devices'} alone" if single else "")
        + ": each trains separately; raise range, power or airtime to connect them"
    )
