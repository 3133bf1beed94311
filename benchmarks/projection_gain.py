"""What projections that know the data could gain: A turned away from the inputs of other task groups (OSRM).

    python benchmarks/projection_gain.py --json results/projection_gain.json
    python benchmarks/projection_gain.py --train runs/projections --methods hard_moe paper --seeds 0 1

OSRM (Zhang and Zhou 2025, arXiv:2505.22934) takes the rows of A from the directions in which the inputs of other tasks
have least power. Compared are, each with orthonormal rows and one A for a site of all blocks, as by default:

seed        the group's own rows of the common transform, as now
osrm        least power of the other groups, from the true second moments of every site's inputs: the best case
contrast    most own power for the power of the others, likewise
announced-  osrm and contrast from what groups announce for routing: the mean of their prompt means at one depth, and
            their covariance's sketch and diagonal. Only sites that read the hidden state have any, the inputs of
            attention and of the MLP; the others keep the seed's rows

Printed, of prompts set aside: the share of their own input power that A lets through, of the others' too, and the ratio
of the two, geometric mean over groups. With --train a run of its own per seed and kind says what that is worth in NLL.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter import expert
from meshtune.adapter.projection import Recipe, projection
from meshtune.adapter.sites import LayerSpec
from meshtune.config.config_file import load_config
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import deal
from meshtune.model.base import Base
from meshtune.model.loading import load
from meshtune.node.announcements import recipes
from meshtune.report.results_file import load_results
from meshtune.routing.statistics import summarise
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run
from meshtune.training.calibration import layer_inputs, prompt_means, router_block

CONFIG = Path(__file__).parents[1] / "configs" / "embedded-paper.yaml"
KINDS = ("seed", "osrm", "contrast", "announced-osrm", "announced-contrast")
KEY = ("settings", "seed", "kind")
"""What a row is known by."""
HIDDEN = ("attn_in", "mlp_in")
"""Sites that read the (normed) hidden state, of which announced statistics say something."""
Array = NDArray[np.float64]
Moments = dict[str, dict[str, Array]]
"""Second moments (k, k) by group and site."""


def moments(base: Base, prompts: Mapping[str, list[tuple[int, ...]]], tokens: int) -> Moments:
    """Return E[x x^T] of every group's inputs, over prompt tokens and the places of a site."""
    site_of = {layer.place: layer.site for layer in base.adapters.layers}
    found: Moments = {}
    for group, texts in prompts.items():
        mine = found.setdefault(group, {})
        for place, rows in layer_inputs(base, texts, tokens).items():
            x = rows.double().numpy()
            power = x @ x.T / x.shape[1]
            mine[site_of[place]] = mine.get(site_of[place], 0.0) + power / np.trace(power)  # every block counts alike
    return found


def announced(base: Base, config: RunConfig, prompts: Mapping[str, list[tuple[int, ...]]]) -> dict[str, Array]:
    """Return the second moment that a group's announced statistics describe (width, width), by group."""
    found = {}
    for group, texts in prompts.items():
        seen = prompt_means(base, texts, router_block(base, config.router.depth), config.train.micro_tokens)
        said = summarise(seen, config.router.sketch)
        sketch = said.eigenvectors * said.eigenvalues @ said.eigenvectors.T
        rest = np.maximum(said.diagonal - np.diag(sketch), 0.0)
        found[group] = np.outer(said.mean, said.mean) + sketch + np.diag(rest)
        found[group] /= np.trace(found[group])
    return found


def refined(kind: str, own: Array, others: Array, rank: int) -> Array:
    """Return A (rank, k) with orthonormal rows, from second moments (k, k) of a group and of all others together."""
    if kind.endswith("osrm"):
        return np.linalg.eigh(others)[1][:, :rank].T
    values, vectors = np.linalg.eigh(others + 1e-3 * np.trace(others) / len(others) * np.eye(len(others)))
    white = vectors / np.sqrt(values)
    best = white @ np.linalg.eigh(white.T @ own @ white)[1][:, -rank:]
    return np.linalg.qr(best)[0].T


def tables(kind: str, config: RunConfig, base: Base, known: Moments, said: dict[str, Array]) -> dict[Any, Array]:
    """Return the A of ``kind`` by (block, site, k); sites without statistics keep the seed's."""
    layers, found = base.adapters.layers, {}
    for group, recipe in recipes(config, layers).items():
        for layer in {one.site: one for one in layers}.values():
            key, source = (recipe.block, layer.site, layer.inputs), known
            if kind.startswith("announced") and layer.site in HIDDEN:
                source = {name: {layer.site: said[name]} for name in said}
            if kind == "seed" or (kind.startswith("announced") and layer.site not in HIDDEN):
                found[key] = projection(recipe, layer.site, layer.inputs).astype(np.float64)
                continue
            rest = sum(source[name][layer.site] for name in source if name != group)
            found[key] = refined(kind, source[group][layer.site], np.asarray(rest), recipe.rank)
    return found


def passed(table: Mapping[Any, Array], config: RunConfig, layers: list[LayerSpec], held: Moments) -> dict[str, Any]:
    """Return by site the shares of own and of others' power that pass A, and their ratio, over all groups."""
    found = {}
    for layer in {one.site: one for one in layers}.values():
        own, others = [], []
        for group, recipe in recipes(config, layers).items():
            a = table[recipe.block, layer.site, layer.inputs]
            shares = {g: float(np.trace(a @ m[layer.site] @ a.T) / np.trace(m[layer.site])) for g, m in held.items()}
            own.append(shares.pop(group))
            others.append(float(np.mean(list(shares.values()))))
        found[layer.site] = {
            name: float(f"{np.exp(np.mean(np.log(each))):.4g}")
            for name, each in (("own", own), ("others", others), ("ratio", np.divide(own, others)))
        }
    return found


@contextmanager
def using(table: Mapping[Any, Array]) -> Iterator[None]:
    """Have experts take their A from ``table``."""

    def looked_up(recipe: Recipe, site: str, k: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(table[recipe.block, site, k], dtype=np.float32)

    with mock.patch.object(expert, "projection", looked_up):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a group behind the true second moments")
    parser.add_argument("--train", type=Path, help="also train, each run in a folder below this one")
    parser.add_argument("--methods", nargs="+", default=["hard_moe", "paper"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    parser.add_argument("--json", type=Path, help="add what was found to the rows in this file")
    args = parser.parse_args()
    fixed = [
        f"methods=[{','.join(args.methods)}]",
        "paper.projection=group",
        "paper.masks=calibrated",
        "router.also=[]",
    ]
    rows = []
    for seed in args.seeds:
        config = load_config(args.config, [*fixed, "paper.also=[unrouted]", f"seed={seed}", *args.settings])
        base = load(config.model)
        devices = {data.group: data for data in deal(config, base.tokenizer)}
        prompts = {group: data.prompts(config.router.prompts) for group, data in devices.items()}
        known = moments(base, prompts, args.tokens)
        held = moments(base, {group: data.held_prompts() for group, data in devices.items()}, args.tokens)
        said = announced(base, config, prompts)
        for kind in args.kinds:
            table = tables(kind, config, base, known, said)
            row: dict[str, Any] = {
                "settings": args.settings,
                "seed": seed,
                "kind": kind,
                "sites": passed(table, config, base.adapters.layers, held),
            }
            shown = "  ".join(f"{s} {v['own']:.4f}/{v['others']:.4f}={v['ratio']:.2f}" for s, v in row["sites"].items())
            print(f"seed {seed} {kind:18} {shown}", flush=True)
            if args.train:
                folder = args.train / f"{kind}-seed-{seed}"
                if not (folder / "results.json").is_file():
                    with using(table):
                        run(config, folder, Silent())
                results = load_results(folder)
                averages = {name: results.average(name, "nll") for name in results.methods}
                row["nll"] = {name: float(f"{one.value:.4g}") for name, one in averages.items() if one is not None}
                print("  " + "  ".join(f"{name} {value:.3f}" for name, value in row["nll"].items()), flush=True)
            rows.append(row)
    if args.json:
        known_as = [[row[key] for key in KEY] for row in rows]
        kept = json.loads(args.json.read_text()) if args.json.is_file() else []
        rows = [row for row in kept if [row[key] for key in KEY] not in known_as] + rows
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(sorted(rows, key=lambda row: [row[key] for key in KEY]), indent=1) + "\n")


if __name__ == "__main__":
    main()
