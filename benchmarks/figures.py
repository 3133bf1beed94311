"""The paper's figures that need no training, as PNG.

    python benchmarks/figures.py --only entropy --model $MESHTUNE_MODELS/smollm2 --tasks boolq gsm8k

``entropy``: spectral entropy and density of every layer for two tasks or more, on a real model with the tasks' own
prompts, worked out as a run does before its first round. Half a minute for two tasks on two cores.

    python benchmarks/figures.py --only collisions --rank 32

``collisions``: the average collision rate against the number of devices, and what clusters make of it: devices are put
into the default disc ``--draws`` times, and their links carry updates of ``--shape``. Seconds, and no model is needed.

A figure is a function in ``FIGURES``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from meshtune.adapter.layer_budget import layer_counts
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.config.federation_config import DevicesConfig, TaskConfig
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import deal
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.loading import load
from meshtune.model.skeleton import skeleton
from meshtune.network.geometry import geometry_of, link_bounds
from meshtune.network.layer_densities import uniform
from meshtune.network.site import site_of
from meshtune.planning.model_sizes import method_sizes
from meshtune.topology.agnes import form
from meshtune.topology.clusters import single
from meshtune.training.calibration import entropies, layer_inputs
from meshtune.wireless.config import RadioConfig

COLOURS = ("#1f6f8b", "#d1495b", "#e6a532", "#5b8c5a", "#7a5195")
STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Spectrum:
    """What one task's prompts say of the layers.

    Attributes:
        entropies: per adapted layer, nats (layers,).
        densities: share of its B that the layer may train (layers,).
    """

    entropies: np.ndarray
    densities: np.ndarray


def spectra(base: Base, config: RunConfig) -> dict[str, Spectrum]:
    """Return every device's spectrum, from its own prompts (eq. 20 to 22), by its task where it is the only one."""
    adapter, room = config.adapter, sizes(base.adapters.layers, config.adapter.rank)
    found = {}
    for data in deal(config, base.tokenizer):
        prompts = data.prompts(max(config.router.prompts, adapter.entropy_tokens // 4))
        values = entropies(base, layer_inputs(base, prompts, adapter.entropy_tokens))
        counts = layer_counts(values, room, adapter.density, "entropy", adapter.temperature)
        name = data.group if config.devices.per_task == 1 else f"{data.group}, device {data.device}"
        found[name] = Spectrum(np.asarray(values), np.asarray(counts) / np.asarray(room))
        print(f"{name}: entropies {min(values):.2f} to {max(values):.2f} nats", flush=True)
    return found


def correlations(one: Spectrum, other: Spectrum, kinds: Iterable[Sequence[int]]) -> tuple[float, float]:
    """Return Pearson's correlation of two tasks' densities over the layers, as they are and less their kind's mean.

    ``kinds`` are the layers of each kind. A q and a down projection differ so much that whole densities agree for that
    alone; the second number is of what tells the blocks apart.
    """
    rest = np.stack([one.densities, other.densities])
    whole = np.corrcoef(rest)[0, 1]
    for layers in kinds:
        rest[:, layers] -= rest[:, layers].mean(axis=1, keepdims=True)
    return float(whole), float(np.corrcoef(rest)[0, 1])


def kinds_of(base: Base) -> dict[str, list[int]]:
    """Return the layers of every kind, by the last part of their names."""
    kinds: dict[str, list[int]] = {}
    for layer in base.adapters.layers:
        kinds.setdefault(layer.name.rpartition(".")[2], []).append(layer.index)
    return kinds


def draw_entropy(base: Base, found: dict[str, Spectrum], title: str) -> Any:
    """Return the figure: entropy above, density below, a column for each kind of layer, blocks from left to right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = kinds_of(base)
    figure: Any = Figure(figsize=(1.6 * len(kinds) + 1.0, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(kinds), sharex=True, sharey="row", squeeze=False)
    for column, (kind, layers) in enumerate(kinds.items()):
        for number, (task, spectrum) in enumerate(found.items()):
            look = {
                "color": COLOURS[number % len(COLOURS)],
                "linestyle": STYLES[number % len(STYLES)],
                "linewidth": 1.5,
            }
            label = task if column == 0 else None
            axes[0, column].plot(range(len(layers)), spectrum.entropies[layers], label=label, **look)
            axes[1, column].plot(range(len(layers)), spectrum.densities[layers], **look)
        axes[0, column].set_title(kind, fontsize=10)
        axes[1, column].set_xlabel("block", fontsize=9)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("spectral entropy (nats)", fontsize=9)
    axes[1, 0].set_ylabel("density (share of B trained)", fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.legend(loc="outside lower center", ncols=min(5, len(found)), fontsize=9)
    return figure


def entropy(args: argparse.Namespace) -> None:
    """Draw the spectra of ``args.tasks`` and print how far their densities agree."""
    model, data = args.model, os.environ.get("MESHTUNE_DATA")
    if model is None:
        raise UserError("the figure needs a real model: give --model, or set MESHTUNE_MODELS to a folder with smollm2/")
    if data is None:
        raise UserError(
            "the figure needs real tasks: set MESHTUNE_DATA to a folder with a sub-folder a task, or to hub"
        )
    config = RunConfig(
        model={"name": model}, data=data, tasks=[TaskConfig(task=task) for task in args.tasks],
        devices={"per_task": args.per_task},
        adapter={"rank": args.rank, "density": args.density, "entropy_tokens": args.tokens},
    )  # fmt: skip
    base = load(config.model)
    found = spectra(base, config)
    layers = kinds_of(base).values()
    pairs = {(a, b): correlations(found[a], found[b], layers) for a, b in combinations(found, 2)}
    for (a, b), (whole, rest) in sorted(pairs.items(), key=lambda pair: pair[1]):
        print(f"densities of {a} and {b}: correlation {whole:.4f} over the layers, {rest:.4f} less their kind's mean")
    title = f"Spectral entropy and density by layer: {Path(model).name}, {args.tokens} prompt tokens a task, "
    title += f"rank {args.rank}, mean density {args.density:g}"
    save(draw_entropy(base, found, title), args.out / "entropy.png")


def average_rates(config: RunConfig, layers: Sequence[LayerSpec], bits: float) -> tuple[float, float]:
    """Return the collision rate of all devices as one cluster, and the mean over devices of their own cluster's."""
    devices = len(config.device_tasks)
    radio = config.radio or RadioConfig()
    use = uniform(config, layers, [config.adapter.share] * devices).use
    air = link_bounds(geometry_of(site_of(config, radio)), bits, config.clusters.most)
    formed = form(air, use, config.clusters.s_max)
    own = sum(rate * len(members) for members, rate in zip(formed.clusters, formed.rates, strict=True))
    return single(air, use).rates[0], own / devices


def collisions(args: argparse.Namespace) -> None:
    """Draw and print the average collision rate against the number of devices, from 2 to 15."""
    config = RunConfig(
        model={"name": args.shape}, tasks=[TaskConfig(task="boolq")],
        adapter={"rank": args.rank, "density": args.density, "budget": "uniform"}, clusters={"rate": "expected"},
    )  # fmt: skip
    shape = skeleton(config.model)
    bits = 8 * method_sizes(shape, "bank", config.adapter, config.exchange).update
    counts = list(range(2, 16))
    together, apart = [], []
    for count in counts:
        draws = [
            config.model_copy(update={"devices": DevicesConfig(count=count), "seed": seed})
            for seed in range(args.draws)
        ]
        rates = [average_rates(one, shape.layers, bits) for one in draws]
        together.append(rates[0][0])
        apart.append([own for _, own in rates])
        mean = sum(apart[-1]) / len(draws)
        print(f"{count:2d} devices: one cluster {together[-1]:.4f}, clusters {mean:.4f} ({min(apart[-1]):.4f} to "
              f"{max(apart[-1]):.4f})")  # fmt: skip
    save(_draw_collisions(counts, together, np.array(apart), config), args.out / "collisions.png")


def _draw_collisions(counts: Sequence[int], together: Sequence[float], apart: np.ndarray, config: RunConfig) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(7.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    density = config.adapter.density
    axis.plot(
        counts, [1.0] * len(counts), color=COLOURS[1], linestyle="--", label="LoRA: every position is everybody's"
    )
    axis.plot(
        counts, together, color=COLOURS[2], marker="o", markersize=4,
        label=f"LoRI, and ours in a single cluster (eq. 19, density {density:g})",
    )  # fmt: skip
    axis.fill_between(counts, apart.min(axis=1), apart.max(axis=1), color=COLOURS[0], alpha=0.2, linewidth=0)
    axis.plot(
        counts, apart.mean(axis=1), color=COLOURS[0], marker="o", markersize=4,
        label=f"ours, clusters (mean of {apart.shape[1]} draws of places)",
    )  # fmt: skip
    axis.axhline(config.clusters.s_max, color="#777777", linestyle=":", label=f"S_max = {config.clusters.s_max:g}")
    axis.set_yscale("log")
    axis.set_ylim(0.004, 1.6)
    axis.set_xticks(list(counts))
    axis.set_xlabel("devices")
    axis.set_ylabel("average collision rate, expected")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write ``figure`` as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    print(path)


FIGURES: dict[str, Callable[[argparse.Namespace], None]] = {"entropy": entropy, "collisions": collisions}
"""What can be drawn, by name."""


def main(given: Sequence[str] | None = None) -> None:
    folder = os.environ.get("MESHTUNE_MODELS")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(FIGURES), default=list(FIGURES), help="which figures")
    parser.add_argument("--model", default=f"{folder}/smollm2" if folder else None, help="as model.name")
    parser.add_argument("--tasks", nargs="+", default=["boolq", "gsm8k"], help="names of meshtune tasks")
    parser.add_argument("--per-task", type=int, default=1, help="devices a task, each with prompts of its own")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--tokens", type=int, default=256, help="prompt tokens behind an entropy")
    parser.add_argument("--shape", default="qwen2.5-1.5b", help="collisions: the model whose update links carry")
    parser.add_argument("--draws", type=int, default=20, help="collisions: how often devices are put into places")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder of the pictures")
    args = parser.parse_args(given)
    for name in args.only:
        try:
            FIGURES[name](args)
        except UserError as error:
            print(f"{name}: left out: {error}")


if __name__ == "__main__":
    main()
