"""Plain communication graphs: full, ring, random. No radio here; links are free and go both ways."""

from __future__ import annotations

from typing import Any

from meshtune.errors import UserError
from meshtune.seeds import stream

KINDS = ("full", "ring", "random")


def neighbours(kind: str, devices: int, degree: int = 3, seed: int = 0) -> dict[int, tuple[int, ...]]:
    """Return the neighbours of every device, ids ascending.

    Args:
        kind: ``full``; ``ring`` (each with the one before and behind); ``random``: each draws ``degree``
            others, links go both ways, and a ring through a random order keeps the graph connected.
        devices: how many there are.
        degree: links each device draws in a random graph.
        seed: of the random graph.

    Raises:
        UserError: the kind is unknown or the degree is not below the number of devices.
    """
    if kind not in KINDS:
        raise UserError(f"there is no graph kind {kind}: choose from {', '.join(KINDS)}")
    import networkx as nx  # takes a fifth of a second, which help and errors need not wait for

    if kind == "full":
        graph = nx.complete_graph(devices)
    elif kind == "ring":
        graph = nx.cycle_graph(devices) if devices > 2 else nx.path_graph(devices)
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
