r"""Are tasks that no device has recognised, and what does it gain to leave them to the frozen model?

    python benchmarks/unknown_tasks.py recognise --model $MESHTUNE_MODELS/smollm2 --known arc_easy piqa social_i_qa \
        --unknown arc_challenge scienceqa dolly_open_qa gsm8k mbpp openai_humaneval --save runs/unknown.npz
    python benchmarks/unknown_tasks.py answer --run runs/three --unknown arc_challenge gsm8k

``recognise`` needs the frozen model alone. It prints the AUROC of several scores, each unknown task against all known
ones, and the share refused at limits from held-out prompts. ``answer`` needs a run made with router.abstain=hard. It
prints the NLL of device 0 without abstention, with either form, and of the frozen model. Questions in other languages
are written here and have no answers. Both add to --out.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meshtune.config.learning_config import ModelConfig
from meshtune.data.partition import Exam
from meshtune.decoding.scoring import measure, measure_written
from meshtune.errors import UserError
from meshtune.evaluation.asks import AnswerRequests
from meshtune.evaluation.exam import router_of
from meshtune.inference.opening import DeviceLoader
from meshtune.methods.base import Answer, Prompts
from meshtune.model.encoding import encode_prompt, encode_question
from meshtune.model.loading import load as load_base
from meshtune.routing.abstention import Abstention, distances, find_limits
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.pooled import pool
from meshtune.routing.routers import WhitenedRouter
from meshtune.routing.statistics import Statistics, summarise
from meshtune.runs.observer import Silent
from meshtune.seeds import stream
from meshtune.tasks.base import Question, shared_prompt
from meshtune.tasks.loader import load
from meshtune.training.calibration import prompt_features

HELD, OTHER = 100, "other languages"

LANGUAGES = (
    "Was ist die Hauptstadt von Österreich?",
    "Wie lange kocht man ein weiches Ei?",
    "Quelle est la capitale de l'Australie ?",
    "Pourquoi le ciel est-il bleu ?",
    "¿Cuántos planetas hay en el sistema solar?",
    "¿Quién escribió Don Quijote de la Mancha?",
    "Qual é o maior oceano do mundo?",
    "Perché le foglie cambiano colore in autunno?",
    "Hoeveel dagen heeft een schrikkeljaar?",
    "Какой город является столицей России?",
    "水の沸点は何度ですか。",
    "中国最长的河流是哪一条?",
    "Dünyanın en yüksek dağı hangisidir?",
    "ما هي عاصمة مصر؟",
    "भारत की राजधानी क्या है?",
    "Jaka jest stolica Polski?",
)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Return the probability that an unknown prompt scores above a known one, ties counted half."""
    above = unknown[:, None] > known[None]
    return float((above + 0.5 * (unknown[:, None] == known[None])).mean())


def relative(sources: Sequence[Statistics], hidden: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return Ren et al.'s relative distance: to the nearest mean under the pooled covariance, less that to all."""
    near, every = pool({str(n): [source] for n, source in enumerate(sources)}), pool({"": list(sources)})

    def to(mean: np.ndarray, shrunk: Any) -> np.ndarray:
        return ((hidden - mean) * shrunk.shrunk_inverse(hidden - mean, shrinkage)).sum(axis=1)

    return np.stack([to(mean, near) for mean in near.means]).min(axis=0) - to(every.means[0], every)


def asked(task: str, split: str, count: int) -> list[Question]:
    """Return ``count`` questions, in a fixed random order."""
    rows = load(task, split)
    return [rows[int(i)] for i in stream(0, "data", task, split).permutation(len(rows))[:count]]


def prompts_of(name: str, args: argparse.Namespace) -> list[str]:
    """Return the prompts of "train", "held" or "test" and a task: held-out rows come first in the training split."""
    kind, task = name.split(" ", 1)
    if task == OTHER:
        return [shared_prompt(text) for text in LANGUAGES]
    if kind == "test":
        return [q.prompt for q in asked(task, "test", args.questions)]
    rows = [q.prompt for q in asked(task, "train", HELD + args.prompts)]
    return rows[:HELD] if kind == "held" else rows[HELD:]


def features(args: argparse.Namespace, settings: RouterConfig) -> dict[str, np.ndarray]:
    """Return the prompts' states by name; those that --save holds are not computed again."""
    kept: dict[str, np.ndarray] = dict(np.load(args.save)) if args.save and args.save.is_file() else {}
    names = [f"{kind} {task}" for task in args.known for kind in ("train", "held", "test")]
    names += [f"test {task}" for task in (*args.unknown, OTHER)]
    if missing := [name for name in names if name not in kept]:
        base = load_base(ModelConfig(name=args.model))
        for name in missing:
            tokens = [encode_prompt(base.tokenizer, text, args.longest) for text in prompts_of(name, args)]
            kept[name] = prompt_features(base, tokens, settings, 1024).hidden
            print(f"{name}: {len(tokens)} prompts", flush=True)
            if args.save:
                np.savez(args.save, **kept)
    return {name: kept[name] for name in names}


def recognise(args: argparse.Namespace) -> dict[str, Any]:
    """Return, by task, the AUROC of every score and the share refused by every rule at its limit."""
    settings = RouterConfig(depth=args.depth, prompts=args.prompts)
    shrinkage, seen = settings.shrinkage, features(args, settings)
    plain = [summarise(seen[f"train {task}"], settings.sketch) for task in args.known]
    sources = [
        Statistics(s.mean, s.count, s.eigenvalues, s.eigenvectors, s.diagonal, None,
                   find_limits(s, seen[f"held {task}"], shrinkage, args.refusals))
        for s, task in zip(plain, args.known, strict=True)
    ]  # fmt: skip
    hard, soft = Abstention(sources, shrinkage), Abstention(sources, shrinkage, soft=True)
    router = WhitenedRouter({task: [s] for task, s in zip(args.known, plain, strict=True)}, shrinkage, args.temperature)
    rules = {
        "limits": lambda x: -hard.margins(Features(x)),
        "distance": lambda x: np.stack([distances(source, x, shrinkage) for source in sources]).min(axis=0),
        "relative": lambda x: relative(sources, x, shrinkage),
        "largest gate": lambda x: -router.gates(Features(x)).max(axis=1),
    }
    pooled = {}  # a limit for all, from the held-out prompts of all: what no device of a run knows alone
    for name, rule in rules.items():
        held = np.sort(np.concatenate([rule(seen[f"held {task}"]) for task in args.known]))
        pooled[name] = 0.0 if name == "limits" else held[math.ceil((len(held) + 1) * (1 - args.refusals)) - 1]
    known = {name: np.concatenate([rule(seen[f"test {task}"]) for task in args.known]) for name, rule in rules.items()}
    found: dict[str, Any] = {}
    for task in (*args.known, *args.unknown, OTHER):
        x = seen[f"test {task}"]
        line: dict[str, Any] = {"known": task in args.known, "prompts": len(x)}
        line["refused"] = {name: float((rule(x) > pooled[name]).mean()) for name, rule in rules.items()}
        line["frozen share"] = float(1 - soft.known(Features(x)).mean())
        if task not in args.known:
            line["auroc"] = {name: auroc(known[name], rule(x)) for name, rule in rules.items()}
        found[task] = line
        print(task, json.dumps(line), flush=True)
    return found


def answer(args: argparse.Namespace) -> dict[str, Any]:
    """Return, by task, the NLL of each way to answer and paired differences."""
    device = DeviceLoader(args.run, Silent()).load()
    base, config, member, factory = device._base, device._config, device._member, device._factory
    assert device._method is not None
    router = router_of(member, config.router.kind, config, factory)
    router.abstention = None
    sources = [said.statistics for _, said in sorted(member.known.items()) if said.statistics is not None]
    ways = {name: Abstention(sources, config.router.shrinkage, name == "share") for name in ("hard", "share")}
    found: dict[str, Any] = {}
    for task in (*config.exams, *args.unknown):
        questions, longest = asked(task, "test", args.questions), config.train.max_tokens
        prompts = [encode_prompt(base.tokenizer, q.prompt, longest) for q in questions]
        rows = [encode_question(base.tokenizer, q, longest) for q in questions]
        seen = prompt_features(base, prompts, config.router, config.eval.micro_tokens)
        off = device._method.answer(member, Prompts([task] * len(rows), router, seen), factory)
        share = {"off": np.ones(len(rows)), "frozen": np.zeros(len(rows))}
        share |= {name: way.known(seen) for name, way in ways.items()}
        paper = Exam(task, task, questions, rows, prompts)
        requests = AnswerRequests(paper)
        keys = {
            name: requests.add(Answer(off.experts, off.gates * known[:, None], off.bank), len(rows))
            for name, known in share.items()
        }
        scores = requests.score(base, config.eval.micro_tokens, lambda _: None)
        written = {key: measure_written(score) if paper.written else measure(questions[key[1]], score)
                   for key, score in scores.items()}  # fmt: skip
        nll = {name: np.array([written[key]["nll"] for key in chosen]) for name, chosen in keys.items()}
        line: dict[str, Any] = {"known": task in config.exams, "questions": len(rows)}
        line["refused"] = float(1 - share["hard"].mean())
        line["frozen share"] = float(1 - share["share"].mean())
        line["nll"] = {name: float(values.mean()) for name, values in nll.items()}
        line["less off"] = {name: differences(nll[name] - nll["off"]) for name in ("hard", "share", "frozen")}
        found[task] = line
        print(task, json.dumps(line), flush=True)
    return found


def differences(gaps: np.ndarray) -> dict[str, float]:
    """Return the mean of paired differences and its standard error."""
    return {"mean": float(gaps.mean()), "stderr": float(gaps.std(ddof=1) / len(gaps) ** 0.5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("recognise", "answer"))
    parser.add_argument("--model", help="recognise: a folder, or a hub id")
    parser.add_argument("--known", nargs="+", default=[], help="recognise: the tasks of the devices, one each")
    parser.add_argument("--run", type=Path, help="answer: the run's folder")
    parser.add_argument("--unknown", nargs="+", required=True, help="tasks that no device has")
    parser.add_argument("--questions", type=int, default=60, help="test questions of every task")
    parser.add_argument("--prompts", type=int, default=256, help="recognise: training prompts of a device's statistics")
    parser.add_argument("--longest", type=int, default=256, help="recognise: tokens of a prompt")
    parser.add_argument("--depth", type=float, default=0.5, help="recognise: router.depth")
    parser.add_argument("--temperature", type=float, default=4.0, help="recognise: router.temperature")
    parser.add_argument("--refusals", type=float, default=0.05, help="recognise: router.false_refusals")
    parser.add_argument("--save", type=Path, help="recognise: prompt states are kept here and read again")
    parser.add_argument("--out", type=Path, default=Path("results/unknown_tasks.json"))
    parser.add_argument("--name", help="of the part in --out; by default the part's")
    args = parser.parse_args()
    made = recognise(args) if args.part == "recognise" else answer(args)
    report: Mapping[str, Any] = json.loads(args.out.read_text()) if args.out.is_file() else {}
    local = ("save", "out", "name", "run")
    if args.part == "answer":  # the run has these settings of its own
        local += ("prompts", "longest", "depth", "temperature", "refusals")
    kept = {key: value for key, value in vars(args).items() if value and key not in local}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = {"settings": kept, "tasks": made}
    args.out.write_text(json.dumps({**report, args.name or args.part: part}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
