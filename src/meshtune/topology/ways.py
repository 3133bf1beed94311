"""Which way a device's update takes through a graph, so that every device is brought it once, by one neighbour.

For every source a tree of shortest ways, found breadth first; of equally short ones the way over the lowest ids. All
devices that know the graph find the same trees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def carriers(graph: Mapping[int, Sequence[int]]) -> dict[tuple[int, int], tuple[int, ...]]:
    """Return, for every directed link of ``graph`` (both ways), the sources whose updates take it, ids ascending.

    Args:
        graph: neighbours by device id, ids ascending.
    """
    found: dict[tuple[int, int], list[int]] = {
        (sender, receiver): [] for sender in sorted(graph) for receiver in graph[sender]
    }
    for source in sorted(graph):
        reached, edge = {source}, [source]
        while edge:
            further: list[int] = []
            for sender in sorted(edge):
                for receiver in graph[sender]:
                    if receiver not in reached:
                        reached.add(receiver)
                        further.append(receiver)
                        found[sender, receiver].append(source)
            edge = further
    return {link: tuple(sources) for link, sources in found.items()}
