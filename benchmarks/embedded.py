"""What the embedded base can be taught: frozen, one device's sparse expert, dense LoRA, and one LoRA on pooled data.

    python benchmarks/embedded.py --seeds 0 1 2

One device a task, trained alone; all adapters take the same number of steps. ``central`` is one LoRA that sees every
device's rows of every step at once. ``shuffled`` is the sparse expert again, each question behind another one's prompt:
the control, which has to stay at chance. Accuracy on test questions, ± the standard deviation (n - 1) over seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from meshtune.adapter.expert import Expert
from meshtune.config.demo_config import demo_config
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import Exam, deal, exam_questions, exams
from meshtune.decoding.sampling import Writing
from meshtune.decoding.scoring import measure
from meshtune.evaluation.asks import AnswerRequests
from meshtune.evaluation.over_seeds import over_seeds
from meshtune.methods.base import only
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.loading import load
from meshtune.node.announcements import announce
from meshtune.runs.observer import Silent
from meshtune.tasks.base import Question
from meshtune.tasks.registry import get_task
from meshtune.training.trainer import Job, train

KINDS = ("frozen", "sparse", "dense LoRA", "central", "shuffled")


def accuracy(base: Base, paper: Exam, expert: Expert | None, micro_tokens: int) -> float:
    pile = AnswerRequests(paper)
    count = len(paper.questions)
    keys = pile.add(only(expert, count), count)
    if paper.written:
        writing = Writing(paper.task.longest_answer, paper.task.stops)
        texts = pile.write(base, writing, micro_tokens, lambda done: None)
        right = [paper.task.judge(q, texts[key][0]) for q, key in zip(paper.questions, keys, strict=True)]
    else:
        scores = pile.score(base, micro_tokens, lambda done: None)
        right = [measure(q, scores[key])["acc"] == 1 for q, key in zip(paper.questions, keys, strict=True)]
    return float(np.mean(right))


def shuffled(asked: Mapping[str, Sequence[Question]]) -> dict[str, list[Question]]:
    """Return every question behind another question's prompt."""
    return {
        key: [
            replace(question, prompt=other.prompt)
            for question, other in zip(found, [*found[1:], found[0]], strict=True)
        ]
        for key, found in asked.items()
    }


def one_seed(config: RunConfig, base: Base) -> dict[str, list[float]]:
    """Return the accuracy of every kind on every task."""
    devices = deal(config, base.tokenizer)
    asked = exam_questions(config)
    papers = exams(config, base.tokenizer, asked)
    own = announce(base, config, devices, [get_method("bank")], Silent())
    factory = ExpertFactory(base.adapters.layers, config.adapter, config.seed, base.dtype, str(base.device))
    steps, size = config.train.steps, config.train.batch
    sparse, lora = get_method("local"), get_method("hard_moe_lora")

    def learnt(kind: str, batches: Sequence[Sequence[Sequence[Row]]]) -> list[Expert]:
        method = sparse if kind == "sparse" else lora
        rate = config.train.peak(method.kind.name)
        jobs = []
        for own_said, mine in zip(own, batches, strict=False):
            fresh = method.begin(own_said, {own_said.device: own_said}, factory)
            jobs.append(Job(fresh.with_values(fresh.values.clone()), mine, rate))
        train(base, jobs, config.train)
        return [job.expert for job in jobs]

    rows = [[d.batch(step, size) for step in range(steps)] for d in devices]
    pooled = [[[row for batches in rows for row in batches[step]] for step in range(steps)]]
    experts: dict[str, Sequence[Expert | None]] = {
        "frozen": [None] * len(papers),
        "sparse": learnt("sparse", rows),
        "dense LoRA": learnt("lora", rows),
        "central": learnt("lora", pooled) * len(papers),
    }
    micro = config.eval.micro_tokens
    sat = {
        kind: [accuracy(base, paper, expert, micro) for paper, expert in zip(papers, found, strict=True)]
        for kind, found in experts.items()
    }
    mixed = zip(exams(config, base.tokenizer, shuffled(asked)), experts["sparse"], strict=True)
    return {**sat, "shuffled": [accuracy(base, paper, expert, micro) for paper, expert in mixed]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=80, help="local steps of one device")
    parser.add_argument("--batch", type=int, default=8, help="rows a step")
    parser.add_argument("--questions", type=int, default=100, help="test questions a task")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    args = parser.parse_args()
    found: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    for seed in args.seeds:
        train_so = ["train.rounds=1", f"train.steps={args.steps}", f"train.batch={args.batch}", "train.rows=null"]
        alone = [f"seed={seed}", "devices={per_task: 1}", *train_so, f"eval.questions={args.questions}"]
        config = demo_config([*alone, *args.settings])
        base = load(config.model)
        for kind, values in one_seed(config, base).items():
            found[kind].append(values)
            print(f"seed {seed} {kind}: {np.mean(values):.3f}", flush=True)
    tasks = [task.key for task in config.tasks]
    print("\n" + "  ".join([f"{'accuracy':12s}", *(f"{task:>14s}" for task in tasks), f"{'average':>14s}"]))
    print("  ".join([f"{'chance':12s}", *(f"{get_task(task).chance:14.2f}" for task in tasks)]))
    for kind, values in found.items():
        table = np.asarray(values)
        cells = np.column_stack([table, table.mean(1)])
        shown = [over_seeds(column).with_sd(".3f") for column in cells.T.tolist()]
        print("  ".join([f"{kind:12s}", *(text.rjust(14) for text in shown)]))
    told = f"± is the standard deviation (n - 1) over {len(args.seeds)} seeds"
    print(f"\n{told}; {args.questions} questions a task and seed.")


if __name__ == "__main__":
    main()
