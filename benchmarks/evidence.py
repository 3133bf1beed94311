"""Every method at every length of training, on tasks fixed beforehand, each at its own best learning rate.

    python benchmarks/evidence.py five --out runs/evidence --rows 64 256
    python benchmarks/evidence.py seven --out runs/evidence --rows 64 128 256 1024 --seeds 0 1 2
    python benchmarks/evidence.py five --out runs/evidence --rows 256 --methods proposed lora --model gemma
    python benchmarks/evidence.py five --out runs/evidence --rows 256 --methods hard_moe --set adapter.density=0.5
    python benchmarks/evidence.py embedded --rows 320 --seeds 0 1 --methods lora alternating fedex fed_sb

A study names a configuration, its methods and a grid of learning rates for each. Training to R rows a device takes
R / (steps x batch) rounds, so a longer training exchanges more often. At every length every rate is trained and judged
on rows set aside; the best one is then scored on the test questions. Where the best rate is at an end of its grid, that
is recorded. Methods that train alike are trained once.

Products with frozen weights are rounded to bfloat16 (model.products), for all methods alike.

Every run is a folder below --out, so the script goes on where it was stopped; it says what is left after each. What
is found is added to results/STUDY.json, with every question's score, so that tables and intervals can be made from that
file alone (benchmarks/evidence_page.py).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence_page import RESULTS, averaged

from meshtune.config.config_file import load_config
from meshtune.errors import DivergedError
from meshtune.evaluation.exam import FROZEN
from meshtune.report.results_file import load_results
from meshtune.report.scores import question_scores, read_scores
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import evaluate, run

KEY = ("model", "rows", "seed", "settings", "method")
"""What a record is known by."""
METRICS = ("nll", "option_nll", "acc", "rouge_l")
ALIKE = (("oracle", "proposed"), ("hard_moe", "bank"))
"""Methods that train the same experts; the first, which no router can mislead, judges the rate."""
SPARSE, LORA = (1e-3, 3e-3, 1e-2), (1e-3, 3e-3)
GRIDS: dict[str, Sequence[float]] = {
    "oracle": SPARSE, "hard_moe": SPARSE, "lora": LORA, "hard_moe_lora": (3e-4, 1e-3, 3e-3), "central": LORA,
    "ffa": SPARSE, "lori": SPARSE, "paper": (3e-3, 1e-2, 3e-2), "paper_masked": (3e-3, 1e-2, 3e-2), "local": SPARSE,
    "alternating": (3e-3, 1e-2, 3e-2), "fedex": LORA, "fed_sb": (1e-2, 3e-2, 1e-1),
}  # fmt: skip
"""The learning rates tried at every length, by the method that judges them."""
MODELS = {"smollm2": [], "gemma": ["model.name=$MESHTUNE_MODELS/gemma3"]}
"""Settings by base model."""


@dataclass(frozen=True)
class Study:
    """What is trained and asked: a configuration, settings on top of it, and the number of test questions a task."""

    config: str
    settings: tuple[str, ...] = ()
    questions: int = 100
    methods: tuple[str, ...] = ("proposed", "bank", "lora", "ffa", "lori", "hard_moe_lora", "central", "local")


STUDIES = {
    "five": Study("configs/smollm2-groups.yaml", ("devices={per_task: 1}", "train.steps=16")),
    "groups": Study("configs/smollm2-groups.yaml", ("train.steps=16",)),
    "seven": Study("configs/smollm2-tasks.yaml"),
    "paper": Study("configs/smollm2-paper.yaml", questions=200),
    "embedded": Study("configs/embedded-paper.yaml", questions=50),
}


def family(method: str) -> tuple[str, ...]:
    """Return the methods trained with ``method``, the one that judges the rate first."""
    return next((alike for alike in ALIKE if method in alike), (method,))


@dataclass
class Job:
    """One length, seed and family of methods of a study."""

    study: Study
    model: str
    rows: int
    seed: int
    methods: tuple[str, ...]
    folder: Path
    rates: Sequence[float]
    changes: Sequence[str] = ()

    def trained(self, rate: float) -> float:
        """Train at ``rate`` if that is not done; return the NLL on rows set aside, mean over tasks and devices."""
        path = self.folder / f"{rate:g}"
        config = self.study.config
        base = load_config(config, [*self.study.settings, *self.changes])
        rounds = max(1, round(self.rows / (base.train.steps * base.train.batch)))
        settings = [
            *self.study.settings, *MODELS[self.model], "model.products=bfloat16", f"seed={self.seed}",
            f"methods=[{','.join(self.methods)}]",
            "train.rates={}", *(f"train.{key}={rate}" for key in ("lr", "lora_lr", "core_lr", "full_lr")),
            f"train.rounds={rounds}",
            "eval.split=validation", "eval.questions=20", "router.also=[]", "eval.write=false",
            *self.changes,
        ]  # fmt: skip
        try:
            run(load_config(config, settings), path, Silent())
        except DivergedError:
            return float("inf")
        scores = question_scores(of_split(path, "validation"), self.methods[0], "nll")
        return averaged(scores)

    def done(self) -> list[dict[str, Any]]:
        """Return the record of every method: rates tried, bytes, and every test question's scores."""
        tried = {f"{rate:g}": self.trained(rate) for rate in self.rates}
        best = min(tried, key=lambda rate: tried[rate])
        path = self.folder / best
        share_frozen(path, self.folder.parents[2].glob(f"rows-*/seed-{self.seed}/*/*/scores.jsonl"))
        evaluate(path, Silent(), {"eval": {"split": "test", "questions": self.study.questions}})
        results, asked = load_results(path), of_split(path, "test")
        ends = {f"{self.rates[0]:g}", f"{self.rates[-1]:g}"}
        found = []
        for name in [label for label in results.methods if label == "frozen" or label.split(":")[0] in self.methods]:
            cost = results.header.methods.get(name.split(":")[0])
            scores = {metric: question_scores(asked, name, metric) for metric in METRICS}
            found.append(
                {
                    "model": self.model, "rows": self.rows, "seed": self.seed, "method": name,
                    "settings": list(self.changes), "rate": float(best),
                    "tried": {rate: round(value, 4) for rate, value in tried.items()}, "at_an_end": best in ends,
                    "update_bytes": cost.payload_bytes if cost else 0,
                    "bytes": sum(cost.bytes.values()) if cost else 0,
                    "scores": {
                        metric: {task: {str(q): round(v, 4) for q, v in each.items()} for task, each in tasks.items()}
                        for metric, tasks in scores.items() if tasks
                    },
                }
            )  # fmt: skip
        return found


def share_frozen(path: Path, others: Iterable[Path]) -> None:
    """Copy the frozen model's scores into the run ``path`` from ``others`` of the same seed, and so questions."""
    store, mine = RunStore(path), json.loads((path / "config.json").read_text())
    have = {(record["signature"], record["task"]) for record in store.read_scores() if record["method"] == FROZEN}
    for other in sorted(others):
        if json.loads((other.parent / "config.json").read_text())["model"] != mine["model"]:
            continue
        for record in read_scores(other.parent):
            key = (record["signature"], record["task"])
            if record["method"] == FROZEN and key not in have:
                store.append_scores({**record, "round": mine["train"]["rounds"]})
                have.add(key)


def of_split(path: Path, split: str) -> list[dict[str, Any]]:
    """Return a run's scorings of the questions of one split, which a signature names first."""
    return [record for record in read_scores(path) if record["signature"].startswith(f"{split}/")]


def jobs(name: str, args: argparse.Namespace) -> Iterator[Job]:
    """Yield the jobs of a study, short ones first."""
    study = STUDIES[name]
    chosen = args.methods or study.methods
    families = list(dict.fromkeys(family(method) for method in chosen))
    for rows in sorted(args.rows):
        for seed in args.seeds:
            for methods in families:
                folder = args.out / name / args.model / f"rows-{rows}" / f"seed-{seed}" / methods[0]
                folder = folder.with_name("+".join([methods[0], *args.settings]))
                yield Job(
                    study, args.model, rows, seed, methods, folder, args.rates or GRIDS[methods[0]], args.settings
                )


def add(name: str, found: list[dict[str, Any]]) -> None:
    """Add records to the results of a study, in place of earlier ones of the same :data:`KEY`."""
    path = RESULTS / f"{name}.json"
    rows = json.loads(path.read_text()) if path.is_file() else []
    keys = [[one[part] for part in KEY] for one in found]
    rows = [one for one in rows if [one[part] for part in KEY] not in keys]
    rows = sorted([*rows, *found], key=lambda one: [one[part] for part in KEY])
    RESULTS.mkdir(exist_ok=True)
    text = ",\n".join(json.dumps(one, separators=(",", ":")) for one in rows)
    path.write_text(f"[\n{text}\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", help="the study's by default")
    parser.add_argument("--rates", type=float, nargs="+", help="learning rates to try instead of the methods' grids")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="settings on top of the study's")
    parser.add_argument("--model", choices=list(MODELS), default="smollm2")
    args = parser.parse_args()
    left = list(jobs(args.study, args))
    for number, job in enumerate(left, start=1):
        started = time.perf_counter()
        found = job.done()
        add(args.study, found)
        means = [f"{one['method']} {averaged(one['scores']['nll']):.3f}" for one in found]
        print(
            f"{number}/{len(left)} {job.rows} rows, seed {job.seed}, rate {found[0]['rate']:g}: {', '.join(means)} "
            f"({time.perf_counter() - started:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
