"""Spectral entropy of all linear layers of a large model: seconds and memory, against forming W C and its SVD.

    python benchmarks/bench_entropy.py
    python benchmarks/bench_entropy.py --model qwen2.5-1.5b --runs 3

Weights and inputs are random, of the model's shapes, and made layer by layer: what an entropy takes does not depend on
them. Layers that read the same input are one piece of work, and as many pieces run at a time as there are threads, as
in a run. The seconds are those of the whole less a thread's share of those spent on making weights; both are told.

The rival is torch.linalg.svdvals of W C, C = H H^T / n (k x k), in float32, which is to its favour: ours is in float64.
It is measured on three layers of the first block only (q, k and gate), because it takes minutes even so; there both
have one thread. What it would take for all layers is extrapolated: each measured layer stands for all of its shape, and
down, whose C is the largest by far, for a gate, so that it is a lower bound.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import torch
from record import Row, at_least, at_most, busy, report
from torch import Tensor

from meshtune.adapter.entropy import spectral_entropies, spectral_entropy
from meshtune.adapter.sites import LayerSpec
from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.model.cores import on_cores
from meshtune.model.skeleton import Skeleton, skeleton
from meshtune.training.process_memory import peak_memory

Result = TypeVar("Result")

RIVALS = ("q_proj", "k_proj", "gate_proj")
SAME = {"v_proj": "k_proj", "o_proj": "q_proj", "up_proj": "gate_proj", "down_proj": "gate_proj"}


def normal(rows: int, columns: int) -> Tensor:
    """Return normal values (rows, columns), fp32, scaled so that products keep their size."""
    return torch.empty(rows, columns).normal_(std=columns**-0.5)


def timed(work: Callable[..., Result], *args: object) -> tuple[float, Result]:
    """Return the seconds that ``work(*args)`` takes, and what it returns."""
    started = time.perf_counter()
    result = work(*args)
    return time.perf_counter() - started, result


def whole(shape: Skeleton, tokens: int) -> float:
    """Return the seconds that the entropies of all layers take."""

    def piece(layers: Sequence[LayerSpec]) -> tuple[list[float], float]:
        spent: list[float] = []

        def made(rows: int, columns: int) -> Tensor:
            seconds, values = timed(normal, rows, columns)
            spent.append(seconds)
            return values

        inputs = made(layers[0].inputs, tokens)
        return spectral_entropies((made(layer.outputs, layer.inputs) for layer in layers), inputs), sum(spent)

    work = [list(group) for _, group in groupby(shape.layers, key=lambda layer: layer.place)]
    before = busy()
    elapsed, found = timed(lambda: list(on_cores(piece, work)))
    machine, mine = (now - then for now, then in zip(busy(), before, strict=True))
    making = sum(spent for _, spent in found) / torch.get_num_threads()
    values = [value for each, _ in found for value in each]
    print(
        f"{len(values)} layers: {elapsed - making:.1f} s, and {making:.1f} s to make their weights; {mine:.0f} s of "
        f"processor time in all; peak memory {(peak_memory() or 0) / 2**20:.0f} MiB; entropies {min(values):.3f} to "
        f"{max(values):.3f} nats; others kept {max(0.0, machine - mine) / elapsed:.2f} cores busy",
        flush=True,
    )
    return elapsed - making


def rival(weight: Tensor, inputs: Tensor) -> float:
    """Return the entropy (nats) of W C by its definition."""
    sigma = torch.linalg.svdvals(weight @ (inputs @ inputs.T / inputs.shape[1])).double()
    p = sigma / sigma.sum()
    return float(-(p[p > 0] * p[p > 0].log()).sum())


def three(shape: Skeleton, tokens: int) -> float:
    """Return how many times longer the rival takes on three layers, one thread each; print what that says of all."""
    torch.set_num_threads(1)
    kinds = Counter(layer.name.rpartition(".")[2] for layer in shape.layers)
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    for kind in RIVALS:
        layer = next(layer for layer in shape.layers if layer.name.endswith(kind))
        weight, inputs = normal(layer.outputs, layer.inputs), normal(layer.inputs, tokens)
        ours[kind], exact = timed(spectral_entropy, weight, inputs)
        theirs[kind], value = timed(rival, weight, inputs)
        print(
            f"{kind} ({layer.outputs} x {layer.inputs}): ours {ours[kind]:.3f} s, W C, svdvals {theirs[kind]:.1f} s; "
            f"entropies {exact:.5f} and {value:.5f}",
            flush=True,
        )
    foretold = sum(theirs[SAME.get(kind, kind)] * count for kind, count in kinds.items())
    print(f"W C and svdvals on all {len(shape.layers)} layers, extrapolated: at least {foretold:.0f} s on one core")
    return sum(theirs.values()) / sum(ours.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-7b", help="a model of the Llama kind, as model.name; no weights")
    parser.add_argument("--tokens", type=int, default=64, help="columns of H")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="of torch, for both")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds aimed at")
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shape = skeleton(ModelConfig(name=args.model))
    seconds = [whole(shape, args.tokens) for _ in range(args.runs)]  # first: the rival's memory would hide ours
    ratios = [three(shape, args.tokens) for _ in range(args.runs)]
    rows: list[Row] = [
        at_most(f"seconds, spectral entropy of {len(shape.layers)} layers of {args.model}", seconds, args.limit),
        at_least("spectral entropy on three layers: W C and svdvals / ours", ratios, 10),
    ]
    report(rows, args.json)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
