"""One federation over free links, over the air in clusters and in one, and with devices dropping out, side by side.

    python benchmarks/air.py configs/smollm2-air.yaml --out runs/air
    python benchmarks/air.py src/meshtune/demo.yaml --out runs/air --dropout 0.2

Four runs below --out, of one configuration and seed, so the script goes on where it was stopped. The one over free
links also trains dense LoRA experts, whose answers behind a perfect router count as 100% of the gain in all four. In
the one cluster all devices are linked, as far as power allows; single_cluster mixes all, over the links of clusters.
Differences are paired over questions, with their 95% interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from meshtune.config.config_file import load_config
from meshtune.report.results_file import load_results
from meshtune.report.scores import of_exam, paired, question_scores, read_scores
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run

FREE, AIR, ONE = "free links", "over the air", "one cluster"
SINGLE = "single_cluster"
BEST = "hard_moe_lora"


def quality(folders: Mapping[str, Path], methods: Sequence[str]) -> list[str]:
    """Return one line of Markdown a run and method: scores, and their difference to those over free links."""
    lines = ["| | method | accuracy | NLL | - free links | share of gain |", "|---|---|---:|---:|---:|---:|"]
    results = {name: load_results(folder) for name, folder in folders.items()}
    records = {name: of_exam(read_scores(folders[name]), found.header.exam) for name, found in results.items()}
    for method in dict.fromkeys(("frozen", BEST, *methods)):
        for name, found in results.items():
            if method not in found.methods or (method not in methods and name != FREE):
                continue
            acc, nll = (found.average(method, metric) for metric in ("acc", "nll"))
            gain = found.share_of_gain(method, results[FREE])
            gap = paired(*(question_scores(records[which], method, "nll") for which in (name, FREE)), "nll")
            cells = [
                "-" if acc is None else f"{acc.value:.3f} [{acc.low:.3f}, {acc.high:.3f}]",
                "-" if nll is None else f"{nll.value:.3f}",
                "-" if gap is None or name == FREE else f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]",
                "-" if gain is None else f"{gain:.1%}",
            ]
            lines.append(f"| {name} | {method} | {' | '.join(cells)} |")
    return lines


def costs(folders: Mapping[str, Path], methods: Sequence[str]) -> list[str]:
    """Return one line of Markdown a run and method: bytes by kind, and what the clock says."""
    results = {name: load_results(folder) for name, folder in folders.items()}
    spent = {name: found.header.methods for name, found in results.items()}
    kinds = list(dict.fromkeys(kind for each in spent.values() for m in methods if m in each for kind in each[m].bytes))
    heads = [*(f"{kind}, kB" for kind in kinds), "time, s", "airtime, s", "sending, mJ", "computing, J"]
    heads += ["outages", "lost", "late", "away"]
    lines = [f"| | method | {' | '.join(heads)} |", f"|---|---|{'---:|' * len(heads)}"]
    for method in methods:
        for name, each in spent.items():
            if method not in each:
                continue
            cost = each[method]
            cells = [f"{cost.bytes.get(kind, 0) / 1000:,.0f}" for kind in kinds]
            if cost.clock is None:
                cells += ["-"] * 8
            else:
                rounds = {kind: sum(values) for kind, values in cost.clock.per_round.items()}
                cells += [f"{cost.clock.seconds:.1f}", f"{cost.clock.airtime:.1f}"]
                cells += [f"{1000 * rounds['sending']:.3g}", f"{rounds['computing']:.3g}"]
                cells += [f"{rounds[kind]:g}" for kind in ("outages", "lost", "late", "away")]
            lines.append(f"| {name} | {method} | {' | '.join(cells)} |")
    return lines


def clusters(folder: Path) -> list[str]:
    """Return one line of Markdown a cluster: its devices, and how often their masks collide."""
    network = next(event for event in RunStore.open(folder).events() if event["event"] == "network")
    lines = ["| cluster | collisions expected | measured |", "|---|---:|---:|"]
    rows = zip(network["clusters"], network["collision_expected"], network["collision_measured"], strict=True)
    for members, expected, measured in rows:
        lines.append(f"| {', '.join(map(str, members))} | {expected:.4f} | {measured:.4f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dropout", type=float, default=0.2, help="probability that a device is away for a round")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    args = parser.parse_args()
    settings = [f"seed={args.seed}", *args.settings]
    methods = list(load_config(args.config, settings).methods)
    further = [] if BEST in methods else [BEST]
    variants = {
        FREE: [f"methods=[{','.join([*methods, *further])}]", "radio=null"],
        AIR: [],
        ONE: [f"methods=[{','.join(name for name in methods if name != SINGLE)}]", "clusters.kind=single"],
        f"{args.dropout:.0%} away": [f"faults.dropout={args.dropout:g}"],
    }
    folders = {name: args.out / name.replace(" ", "-").replace("%", "") for name in variants}
    for name, changes in variants.items():
        if not (folders[name] / "results.json").is_file():
            run(load_config(args.config, [*settings, *changes]), folders[name], Silent())
        print(f"{name} is done", flush=True)
    parts = [quality(folders, methods), costs(folders, methods), clusters(folders[AIR]), clusters(folders[ONE])]
    print("\n\n".join("\n".join(part) for part in parts))


if __name__ == "__main__":
    main()
