"""What a bank of experts is for: a task that joins late, a task that is dropped, and what an exchange makes forget.

    python benchmarks/bank_uses.py configs/embedded-paper.yaml --newcomer machines --seeds 0 1 2
    python benchmarks/bank_uses.py configs/embedded-paper.yaml --table

One device a task, over free links. All but the newcomer play --join - 1 rounds. Then the federation is forked: in one
world the newcomer joins, in the other it never does. What the newcomer does to the others is the difference between the
two at the end, on the same questions. Where all devices average one expert, the newcomer starts from it, which spares
the others the most.

Dropping a task means to delete its device's update, and its statistics from the router. From an average its last update
can be left out; what the others have trained since they mixed it before stays.

The exchange of every round is also judged by itself: the loss of every device on its own task with what it has trained,
and just after with what it then answers with. Only the right answers of test questions are scored, so NLL is all there
is. Rows are added to results/bank_uses.json, a record a seed and newcomer, and a record that is there is not made
again. An average over seeds comes with Student's 95% interval (n - 1).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bank_tables import tables
from late_joining import Asked, LateFederation, saved, without

from meshtune.config.config_file import load_config
from meshtune.methods.base import Method
from meshtune.methods.expert_bank import BankMethod
from meshtune.methods.state import Member
from meshtune.network.federation_state import FederationState

RESULTS = Path(__file__).parents[1] / "results" / "bank_uses.json"
METHODS = ("bank", "hard_moe", "proposed", "oracle", "lora")
KEY = ("name", "newcomer", "seed")
"""What a record is known by."""
DIGITS = 4


def first(state: FederationState, play: LateFederation) -> dict[str, tuple[Method, Member]]:
    """Return device 0 of every method; over a full graph all devices answer alike."""
    return {name: (method, state.members[name][0]) for name, method in play.methods.items()}


def experts(method: Method, member: Member, play: LateFederation) -> dict[str, str]:
    """Return the digest of every expert that a device answers with, by task."""
    found = method.experts(member, play.inputs.factory)
    return {task: expert.digest for task, _, expert in found}


def kept(play: LateFederation, one: FederationState, other: FederationState) -> dict[str, bool]:
    """Return by method whether all experts of ``other`` are in ``one``, equal to the last bit."""
    pairs = ((first(one, play)[name], first(other, play)[name]) for name in play.methods)
    found = {}
    for (method, a), (_, b) in pairs:
        mine, theirs = experts(method, a, play), experts(method, b, play)
        found[method.name] = all(mine.get(task) == digest for task, digest in theirs.items())
    return found


def dropped(play: LateFederation, state: FederationState, task: int) -> dict[str, dict[str, float]]:
    """Return the NLL by method and task when what the device number ``task`` has trained is deleted from another."""
    asked: dict[str, Asked] = {}
    for name, method in play.methods.items():
        member = without(state.members[name][0 if task else 1], [task])
        asked[name] = (method, member) if isinstance(method, BankMethod) else method.mix(member, play.inputs.factory)
    return play.score(asked)


def forgotten(play: LateFederation, state: FederationState) -> list[dict[str, Any]]:
    """Play a round; return every device's loss on its own task before and after its exchange."""
    trained = play.play(state)
    tasks = [node.member.own.group for node in next(iter(state.nodes.values()))]
    asked: dict[str, Asked] = {}
    task_of: dict[str, str] = {}
    for name, method in play.methods.items():
        for i, task in enumerate(tasks):
            asked[f"{name} {task} trained"] = trained[name][i]
            asked[f"{name} {task} mixed"] = (method, state.members[name][i])
            task_of |= {f"{name} {task} {when}": task for when in ("trained", "mixed")}
    scores = play.score(asked, task_of)
    return [
        {"round": state.round, "method": name, "task": task,
         **{when: scores[f"{name} {task} {when}"][task] for when in ("trained", "mixed")}}
        for name in play.methods for task in tasks
    ]  # fmt: skip


def record(name: str, config: Any, join: int) -> dict[str, Any]:
    """Play both worlds of one seed; return all that is measured.

    Args:
        name: of the configuration.
        config: with one device a task, the newcomer's last.
        join: the newcomer's first round, from 1.
    """
    play = LateFederation(config)
    present = range(len(config.device_tasks) - 1)
    newcomer, apart = len(present), play.begin(present)
    exchanges: list[dict[str, Any]] = []
    for _ in range(join - 1):
        exchanges += forgotten(play, apart)
    before = play.score(first(apart, play))
    joined = play.fork(saved(apart), present)
    play.join(joined, newcomer)
    for _ in range(config.train.rounds - join + 1):
        exchanges += forgotten(play, apart)
        play.play(joined)
    drops = {config.device_tasks[one].key: dropped(play, joined, one) for one in (0, newcomer)}
    found = {
        "name": name, "newcomer": config.device_tasks[newcomer].key, "seed": config.seed,
        "tasks": [task.key for task in config.device_tasks], "rounds": config.train.rounds,
        "steps": config.train.steps, "join": join, "questions": config.eval.questions,
        "refused": sum(node.refused.total() for nodes in joined.nodes.values() for node in nodes),
        "frozen": play.score({"": None})[""], "before": before, "joined": play.score(first(joined, play)),
        "apart": play.score(first(apart, play)), "untouched": kept(play, joined, apart), "dropped": drops,
        "exchanges": exchanges,
    }  # fmt: skip
    return json.loads(json.dumps(found), parse_float=lambda text: round(float(text), DIGITS))  # type: ignore[no-any-return]


def records() -> list[dict[str, Any]]:
    """Return what was measured so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []


def found_for(name: str, newcomer: str) -> list[dict[str, Any]]:
    """Return the records of one configuration and newcomer."""
    return [one for one in records() if (one["name"], one["newcomer"]) == (name, newcomer)]


def add(found: dict[str, Any]) -> None:
    """Add a record to the results, in place of an earlier one of the same :data:`KEY`."""
    rows = [one for one in records() if any(one[part] != found[part] for part in KEY)]
    rows = sorted([*rows, found], key=lambda one: [one[part] for part in KEY])
    RESULTS.parent.mkdir(exist_ok=True)
    text = ",\n".join(json.dumps(one, separators=(",", ":")) for one in rows)
    RESULTS.write_text(f"[\n{text}\n]\n", encoding="utf-8")


def settings(tasks: Sequence[str], newcomer: str, seed: int) -> list[str]:
    """Return the settings of a seed: one device a task, that of the newcomer last."""
    ordered = [*(task for task in tasks if task != newcomer), newcomer]
    return [
        f"seed={seed}", f"tasks=[{','.join(ordered)}]", "devices={per_task: 1}", f"methods=[{','.join(METHODS)}]",
        "router.also=[]", "radio=null", "eval.write=false",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--newcomer", default="machines", help="the task that joins late")
    parser.add_argument("--join", type=int, default=3, help="the newcomer's first round, from 1")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    parser.add_argument("--table", action="store_true", help="print what was found so far, as Markdown")
    args = parser.parse_args()
    name = args.config.stem
    if args.table:
        print("\n\n".join(tables(found_for(name, args.newcomer)).values()))
        return
    tasks = [task.key for task in load_config(args.config, args.settings).tasks]
    for seed in args.seeds:
        if any(one["seed"] == seed for one in found_for(name, args.newcomer)):
            continue
        started = time.perf_counter()
        asked = [*settings(tasks, args.newcomer, seed), f"train.rounds={args.rounds}", *args.settings]
        add(record(name, load_config(args.config, asked), args.join))
        print(f"{name}, {args.newcomer} joins, seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
