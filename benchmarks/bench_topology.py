"""How clustering grows with the number of devices, against the plain O(K^3) greedy and scipy's average linkage.

    python benchmarks/bench_topology.py

Devices lie at random at a constant density, about ten others in range of each; each announces the densities of 196
layers, 0.1 in the middle. Radio as in the paper: d^-2, 20 MHz, 10 mW, 0.5 s. Every size runs in a process of its own,
whose peak memory is shown, Python and the densities included. Seconds are the processor's, for machines that have other
work too; wall seconds are beside them. The exponent is that of a straight line through all sizes, log against log.

The plain greedy (tests/greedy.py) computes every pair of clusters from its members and must end in the same clusters.
Average linkage merges by another criterion, has no bounds, and is compared in time only, matrix of distances included.
Decentralised, the same clusters again, messages and bytes a device are counted. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import at_least, at_most, busy, exponent, report

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from greedy import greedy
from meshtune.seeds import stream
from meshtune.topology.agnes import form
from meshtune.topology.bounds import LinkBounds
from meshtune.topology.collision import DENSITY, STEP, expected
from meshtune.topology.gossip import gossip

LAYERS = [16 * width for width in (576, 192, 192, 576, 1536, 1536, 576)] * 28
REACH, IN_RANGE, POWER, BITS, BAND, DELAY, NOISE = 100.0, 10, 0.01, 3e7, 2e7, 0.5, 10**-20.4


def factor(u: int) -> float:
    """W per unit of loss with u neighbours (Lemma 1)."""
    exponent = BITS * u / (BAND * DELAY)
    return NOISE * BAND / u * (2.0**exponent - 1) if exponent < 1000 else math.inf


def world(devices: int, seed: int) -> tuple[LinkBounds, NDArray[np.float64]]:
    """Return devices in a square and their densities (devices, 196)."""
    draw = stream(seed, "bench", devices)
    where = draw.uniform(0, REACH * math.sqrt(devices * math.pi / IN_RANGE), (devices, 2))

    def inverse_gain(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        return ((where[a] - where[b]) ** 2).sum(1)

    densities = np.clip(0.1 * draw.lognormal(0, 0.3, (devices, len(LAYERS))), 0, 1)
    return LinkBounds(np.arange(devices), where, REACH, inverse_gain, POWER, factor), densities


def timed(work: Callable[[], object]) -> tuple[object, float, float, float]:
    """Return what ``work`` returns, its processor and wall seconds, and the cores that others kept busy meanwhile."""
    before, wall, cpu = busy(), time.perf_counter(), time.process_time()
    found = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    machine, mine = (now - then for now, then in zip(busy(), before, strict=True))
    return found, cpu, wall, max(0.0, machine - mine) / wall


def one(devices: int, s_max: float, seed: int) -> dict[str, float]:
    """Cluster ``devices`` in this process."""
    form(*_ready(20, seed), s_max)  # imports, and the first call of everything
    air, use = _ready(devices, seed)
    clusters, cpu, wall, others = timed(lambda: form(air, use, s_max))
    return {
        "cpu": cpu,
        "wall": wall,
        "others": others,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "pairs": air.links.low.size,
        "clusters": len(clusters.clusters),
        "largest": max(map(len, clusters.clusters)),
    }


def _ready(devices: int, seed: int) -> tuple:
    air, densities = world(devices, seed)
    return air, expected(densities, LAYERS)


def plain(air: LinkBounds, densities: NDArray[np.float64], s_max: float) -> tuple[tuple[int, ...], ...]:
    """Cluster as the definition says, every set computed from its members, in floats."""
    exact, weights = np.rint(densities * DENSITY) / DENSITY, np.array(LAYERS) / sum(LAYERS)
    squares = ((air.positions[:, None] - air.positions[None, :]) ** 2).sum(2)

    def key(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, float, int, int] | None:
        union = list(a + b)
        square = squares[np.ix_(union, union)]
        if square.max() > REACH**2:
            return None
        watts = factor(len(union) - 1) * square.sum(1)
        s = exact[union]
        once = sum(s[j] * np.delete(1 - s, j, 0).prod(0) for j in range(len(s)))
        rate = float((1 - (1 - s).prod(0) - once) @ weights)
        if watts.max() > POWER or rate > s_max:
            return None
        return int(rate * STEP), float(watts.sum()), min(a[0], b[0]), max(a[0], b[0])

    return greedy(range(len(densities)), key)


def average_linkage(densities: NDArray[np.float64]) -> object:
    """Scipy's average linkage on the pairs' expected collision rates."""
    from scipy.cluster.hierarchy import linkage

    rates = densities * (np.array(LAYERS) / sum(LAYERS)) @ densities.T
    return linkage(rates[np.triu_indices(len(rates), 1)], "average")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000, 100_000], help="devices")
    parser.add_argument("--plain", type=int, nargs="*", default=[100, 200, 300], help="devices of the plain greedy")
    parser.add_argument("--gossip", type=int, nargs="*", default=[100, 1000], help="devices, decentralised")
    parser.add_argument("--s-max", type=float, default=0.1, help="highest collision rate; 1 lets power decide")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(one(args.one, args.s_max, args.seed)))
        return
    rows = []

    print("| devices | pairs in range | clusters | largest | seconds | wall | peak GiB | others' cores |", flush=True)
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    found = {}
    for devices in args.sizes:
        call = [sys.executable, __file__, "--one", str(devices), "--s-max", str(args.s_max), "--seed", str(args.seed)]
        got = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
        found[devices] = got
        print(
            f"| {devices:,} | {got['pairs']:,} | {got['clusters']:,} | {got['largest']} | {got['cpu']:.3g} | "
            f"{got['wall']:.3g} | {got['peak']:.2f} | {got['others']:.1f} |",
            flush=True,
        )
    if len(found) > 1:
        grows = exponent(list(found), [got["cpu"] for got in found.values()])
        print(f"\nseconds grow as devices^{grows:.2f}\n")
        rows.append(at_most(f"exponent in devices, {min(found):,} to {max(found):,}", [grows], 1.2))
    if 100_000 in found:
        rows.append(at_most("100,000 devices: wall seconds / 60", [found[100_000]["wall"] / 60], 1))
        rows.append(at_most("100,000 devices: peak memory / 4 GiB", [found[100_000]["peak"] / 4], 1))

    form(*_ready(20, args.seed), args.s_max)
    for devices in args.plain:
        air, densities = world(devices, args.seed)
        slow, slow_cpu, *_ = timed(lambda a=air, d=densities: plain(a, d, args.s_max))
        quick, cpu, *_ = timed(lambda n=devices: form(*_ready(n, args.seed), args.s_max))
        if quick.clusters != slow:
            raise SystemExit(f"{devices} devices: the plain greedy ends in other clusters")
        print(f"{devices} devices: plain greedy {slow_cpu:.2f} s, ours {cpu:.3f} s, the same clusters", flush=True)
        rows.append(at_least(f"{devices} devices: plain O(K^3) greedy / ours", [slow_cpu / cpu], 10))

    air, densities = world(1000, args.seed)
    _, linked, *_ = timed(lambda: average_linkage(densities))
    _, cpu, *_ = timed(lambda: form(*_ready(1000, args.seed), args.s_max))
    print(f"1000 devices: scipy's average linkage {linked:.3f} s, ours {cpu:.3f} s", flush=True)

    for devices in args.gossip:
        air, use = _ready(devices, args.seed)
        (clusters, traffic), cpu, *_ = timed(lambda a=air, u=use: gossip(a, u, args.s_max, args.seed))
        if clusters != form(air, use, args.s_max):
            raise SystemExit(f"{devices} devices: gossip ends in other clusters")
        print(
            f"{devices} devices by gossip: the same clusters, a device says {traffic.messages / devices:.1f} messages, "
            f"{traffic.bytes / devices:.0f} bytes in all, and hears {traffic.copies / devices:.0f} ({cpu:.1f} s)",
            flush=True,
        )
    if rows:
        report(rows, args.json)


if __name__ == "__main__":
    main()
