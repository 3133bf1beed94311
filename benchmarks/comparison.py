"""All methods side by side over seeds, a row each: what holds of the paper's claims, and what does not.

    python benchmarks/comparison.py configs/embedded-paper.yaml --seeds 0 1 2 --out runs/comparison
    python benchmarks/comparison.py configs/smollm2-paper.yaml --seeds 0 --out runs/paper

Every seed is a run of its own below --out, so the script goes on where it was stopped. --ablate KEY=VALUE, repeatable,
runs each seed again with that setting and the methods of --ablated; they are called method@KEY=VALUE in claims, and
only NLL and scored options are measured of them. Share of gain is taken on the NLL of the task average, with dense LoRA
experts behind a perfect router as the best; ± is the standard deviation over seeds (n - 1), of a single one there is
none. Claims are paired differences: seed by seed, their mean and Student's 95% interval over seeds, and of a single
seed the 95% interval over questions, questions of one core being one cluster.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meshtune.config.config_file import load_config
from meshtune.evaluation.over_seeds import over_seeds
from meshtune.report.results_file import Results, load_results
from meshtune.report.scores import paired, question_scores, read_scores
from meshtune.runs.observer import Silent
from meshtune.simulator.simulation import run

ABLATIONS = ("adapter.budget=uniform", "adapter.density=1")
UNIFORM, DENSE = ABLATIONS
CLAIMS = (
    ("bank", "lora", "the bank against averaged LoRA"),
    ("bank", "ffa", "the bank against one averaged B"),
    ("bank", "lori", "the bank against LoRI"),
    ("bank", "fpft", "the bank against averaging all weights"),
    ("bank", "central", "the bank against pooled data"),
    ("bank", "paper", "the bank against eq. 24 and 26"),
    ("bank", "hard_moe", "distance to the perfect router"),
    ("bank", "shared_b", "one expansion a group against one for all"),
    ("paper", "lora", "the paper's method against averaged LoRA"),
    ("paper", "lori", "the paper's method against LoRI"),
    ("paper", "fpft", "the paper's method against averaging all weights"),
    ("paper", "hard_moe_lora", "the paper's method against its hard-routing MoE"),
    ("paper", "paper:unrouted", "eq. 26 against eq. 24 without it"),
    ("paper_masked", "paper", "masked mean against mean"),
    ("hard_moe", "hard_moe_lora", "static A and sparse B against trained A and B"),
    (f"hard_moe@{DENSE}", "hard_moe_lora", "static A and dense B against trained A and B"),
    ("hard_moe", f"hard_moe@{DENSE}", "a tenth of B against all of it"),
    ("hard_moe", f"hard_moe@{UNIFORM}", "entropy against uniform budgets, perfect router"),
    ("paper", f"paper@{UNIFORM}", "entropy against uniform budgets, eq. 24 and 26"),
    ("lori_uniform", "lori", "one threshold a layer against one over all"),
)
COLUMNS = (
    ("acc", "accuracy", ".3f"),
    ("acc_norm", "by length", ".3f"),
    ("rouge_l", "ROUGE-L", ".3f"),
    ("nll", "NLL", ".3f"),
    ("option_nll", "option NLL", ".3f"),
    ("gain", "share of gain", ".0%"),
    ("parameters", "trained", ",.0f"),
    ("payload", "one update, bytes", ",.0f"),
    ("bytes", "all bytes sent", ",.0f"),
)
COSTS = 3
"""The last columns are what a method costs: nearly the same in every seed."""


def measures(results: Results, method: str) -> dict[str, float]:
    """Return the averages of ``method`` that there are, its share of gain, its parameters and its bytes."""
    found: dict[str, float] = {}
    for metric in ("nll", "acc", "acc_norm", "option_nll", "rouge_l"):
        average = results.average(method, metric)
        if average is not None:
            found[metric] = average.value
    gain = results.share_of_gain(method)
    if gain is not None:
        found["gain"] = gain
    cost = results.header.methods.get(method.split(":")[0])
    if cost is not None:
        found["parameters"] = float(cost.parameters_updated)
        found["payload"] = float(cost.payload_bytes or 0)
        found["bytes"] = float(sum(cost.bytes.values()))
    return found


def shown(values: Sequence[float], form: str) -> str:
    """Return the mean of ``values`` with their standard deviation where there are several."""
    return over_seeds(values).with_sd(form)


def table(folders: Sequence[Path]) -> list[str]:
    """Return one line of Markdown a method, in the order of the results."""
    seeds = [load_results(folder) for folder in folders]
    rows = {method: [measures(results, method) for results in seeds] for method in seeds[0].methods}
    columns = [column for column in COLUMNS if all(column[0] in row for row in rows["frozen"])] + list(COLUMNS[-COSTS:])
    lines = [f"| method | {' | '.join(name for _, name, _ in columns)} |", f"|---|{'---:|' * len(columns)}"]
    for method, found in rows.items():
        cells = [
            shown([row[key] for row in found], form) if all(key in row for row in found) else "-"
            for key, _, form in columns
        ]
        cells[-COSTS:] = [cell.split(" ±")[0] for cell in cells[-COSTS:]]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def folder_of(seed: Path, setting: str) -> Path:
    """Return where the run of ``seed`` with the ablated ``setting`` lies."""
    return seed.with_name(f"{seed.name},{setting}")


def claims(folders: Sequence[Path], metric: str) -> list[str]:
    """Return one line of Markdown a claim: first minus second in ``metric``."""
    records = {name: read_scores(name) for seed in folders for name in (seed, *(folder_of(seed, s) for s in ABLATIONS))}

    def scores(seed: Path, name: str) -> Any:
        method, _, setting = name.partition("@")
        return question_scores(records[folder_of(seed, setting) if setting else seed], method, metric)

    covers = f"{len(folders)} seeds" if len(folders) > 1 else "questions of one seed"
    lines = [f"| {metric}, first - second | difference, 95% over {covers} | |", "|---|---:|---|"]
    for first, second, words in CLAIMS:
        gaps = [paired(scores(seed, first), scores(seed, second), metric) for seed in folders]
        known = [gap for gap in gaps if gap is not None]
        if not known:
            continue
        single = f"{known[0].mean:+.3f} [{known[0].low:+.3f}, {known[0].high:+.3f}]"
        mean = single if len(known) == 1 else over_seeds([gap.mean for gap in known]).with_interval("+.3f")
        equal = all(gap.equal and gap.mean == 0 for gap in known)
        shown = "equal in every seed" if equal else mean
        lines.append(f"| {first} - {second} | {shown} | {words} |")
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
    parser.add_argument("--ablate", action="append", default=[], choices=ABLATIONS, help="run again with this setting")
    parser.add_argument("--ablated", nargs="+", default=["hard_moe"], help="methods of the ablations")
    args = parser.parse_args()
    few = [f"methods=[{','.join(args.ablated)}]", "router.also=[]", "paper.also=[]", "eval.write=false"]
    folders = []
    for seed in args.seeds:
        folders.append(args.out / f"seed-{seed}")
        for setting in ("", *args.ablate):
            folder = folder_of(folders[-1], setting) if setting else folders[-1]
            settings = [f"seed={seed}", *args.settings, *([setting, *few] if setting else [])]
            if not (folder / "results.json").is_file():
                run(load_config(args.config, settings), folder, Silent())
            print(f"seed {seed} {setting} is done", flush=True)
    parts = [table(folders), claims(folders, "acc"), claims(folders, "nll"), routers(folders)]
    print("\n\n".join("\n".join(part) for part in parts))
    print(f"\n± is the standard deviation (n - 1) over {len(folders)} seeds; costs and columns without it are means.")


if __name__ == "__main__":
    main()
