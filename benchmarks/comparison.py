"""All methods side by side over seeds, a row each: what holds of the paper's claims, and what does not.

    python benchmarks/comparison.py configs/embedded-paper.yaml --seeds 0 1 2 --out runs/comparison
    python benchmarks/comparison.py configs/smollm2-paper.yaml --seeds 0 --out runs/paper

Every seed is a run of its own below --out, so the script goes on where it was stopped. Share of gain is taken on the
NLL of the task average, with dense LoRA experts behind a perfect router as the best; ± is the standard deviation over
seeds, of a single one the standard error over questions. Claims are paired differences: seed by seed, their mean and
standard deviation, and of a single seed the 95% interval over questions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meshtune.engine.config import load_config
from meshtune.engine.observer import Silent
from meshtune.engine.run import run
from meshtune.report.results import Results, load_results
from meshtune.report.scores import paired, question_scores, read_scores

BEST, FROZEN = "hard_moe_lora", "frozen"
CLAIMS = (
    ("proposed", "lora", "the bank against averaged LoRA"),
    ("proposed", "ffa", "the bank against one averaged B"),
    ("proposed", "lori", "the bank against LoRI"),
    ("proposed", "fpft", "the bank against averaging all weights"),
    ("proposed", "central", "the bank against pooled data"),
    ("proposed", "paper", "the bank against eq. 24 and 26"),
    ("proposed", "hard_moe", "distance to the perfect router"),
    ("proposed", "shared_b", "one expansion a group against one for all"),
    ("paper", "lora", "the paper's method against averaged LoRA"),
    ("paper", "lori", "the paper's method against LoRI"),
    ("paper", "paper:unrouted", "eq. 26 against eq. 24 without it"),
    ("paper_masked", "paper", "masked mean against mean"),
    ("hard_moe", "hard_moe_lora", "static A and sparse B against trained A and B"),
    ("lori_uniform", "lori", "one threshold a layer against one over all"),
)


def measures(results: Results, method: str) -> dict[str, float]:
    """Return the averages of ``method`` that there are, its share of gain, its parameters and its bytes."""
    found: dict[str, float] = {}
    for metric in ("nll", "acc", "option_nll", "rouge_l"):
        average = results.average(method, metric)
        if average is not None:
            found[metric] = average[0]
    ends = [results.average(name, "nll") for name in (FROZEN, BEST)]
    if all(ends) and "nll" in found:
        (start, _), (end, _) = (end for end in ends if end is not None)
        found["gain"] = (start - found["nll"]) / (start - end)
    cost = results.header.methods.get(method.split(":")[0])
    if cost is not None:
        found["parameters"] = float(cost.parameters_updated)
        found["bytes"] = float(sum(cost.bytes.values()))
    return found


def shown(values: Sequence[float], form: str) -> str:
    """Return the mean of ``values`` with their standard deviation where there are several."""
    text = format(float(np.mean(values)), form)
    return text if len(values) < 2 else f"{text} ± {format(float(np.std(values)), form)}"


def table(folders: Sequence[Path]) -> list[str]:
    """Return one line of Markdown a method, in the order of the results."""
    seeds = [load_results(folder) for folder in folders]
    lines = ["| method | accuracy | NLL | share of gain | trained | bytes sent |", "|---|---:|---:|---:|---:|---:|"]
    for method in seeds[0].methods:
        rows = [measures(results, method) for results in seeds]
        cells = [
            shown([row[key] for row in rows], form) if all(key in row for row in rows) else "-"
            for key, form in (
                ("acc", ".3f"),
                ("nll", ".3f"),
                ("gain", ".0%"),
                ("parameters", ",.0f"),
                ("bytes", ",.0f"),
            )
        ]
        # What a method trains and sends is the same in every reading and nearly so in every seed.
        cells[3:] = [cell.split(" ±")[0] for cell in cells[3:]]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def claims(folders: Sequence[Path], metric: str) -> list[str]:
    """Return one line of Markdown a claim: first minus second in ``metric``."""
    lines = [f"| {metric}, first - second | difference | |", "|---|---:|---|"]
    for first, second, words in CLAIMS:
        gaps = []
        for folder in folders:
            records = read_scores(folder)
            gap = paired(question_scores(records, first, metric), question_scores(records, second, metric))
            if gap is not None:
                gaps.append(gap)
        if not gaps:
            continue
        middle = [gap.mean for gap in gaps]
        spread = f"± {np.std(middle):.3f}" if len(gaps) > 1 else f"[{gaps[0].low:+.3f}, {gaps[0].high:+.3f}]"
        lines.append(f"| {first} - {second} | {np.mean(middle):+.3f} {spread} | {words} |")
    return lines


def routers(folders: Sequence[Path]) -> list[str]:
    """Return one line of Markdown a router: how often it is right, and its regret."""
    heads: list[dict[str, Any]] = [
        json.loads((folder / "results.json").read_text(encoding="utf-8"))["header"]["router"] for folder in folders
    ]
    lines = ["| router | right | alike tasks as one | regret, NLL |", "|---|---:|---:|---:|"]
    for name in heads[0]:
        cells = []
        for key in ("accuracy", "accuracy_merged", "regret"):
            values = [head[name].get(key) for head in heads]
            cells.append("-" if None in values else shown([float(v) for v in values if v is not None], ".3f"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    args = parser.parse_args()
    folders = []
    for seed in args.seeds:
        folders.append(args.out / f"seed-{seed}")
        if not (folders[-1] / "results.json").is_file():
            run(load_config(args.config, [f"seed={seed}", *args.settings]), folders[-1], Silent())
        print(f"seed {seed} is done", flush=True)
    parts = [table(folders), claims(folders, "acc"), claims(folders, "nll"), routers(folders)]
    print("\n\n".join("\n".join(part) for part in parts))


if __name__ == "__main__":
    main()
