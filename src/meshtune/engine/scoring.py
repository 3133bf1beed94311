"""The exam: every device answers every task's questions; each distinct (expert, question) is scored once.

Devices that hold the same bank answer alike, ``hard_moe`` asks the same experts as ``proposed`` where the router is
right, and ``local`` asks its own again: the scores are looked up by what answers, not by who asks.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.expert import Expert
from meshtune.adapter.route import Bank
from meshtune.engine.config import RunConfig
from meshtune.engine.data import Exam
from meshtune.engine.memory import peak_memory
from meshtune.engine.observer import Observer
from meshtune.engine.rounds import State
from meshtune.engine.store import RunStore
from meshtune.errors import UserError
from meshtune.learning.base import Base
from meshtune.learning.evaluate import METRICS, Ask, Score, measure, score
from meshtune.learning.prepare import prompt_means, router_block
from meshtune.learning.trainer import DIVERGED
from meshtune.methods.base import Answer, Member, Method, Workshop, only
from meshtune.routing.registry import make_router
from meshtune.routing.routers import Router
from meshtune.routing.statistics import Statistics

FROZEN = "frozen"


@dataclass(frozen=True)
class Candidate:
    """One device under one method and router, about to sit the exam."""

    label: str
    method: Method | None
    member: Member
    router: str | None


def candidates(config: RunConfig, methods: Sequence[Method], state: State) -> list[Candidate]:
    """Return who sits the exam: the frozen model, every method, and ``method:router`` for further routers."""
    first = next(iter(state.members.values()))
    result = [Candidate(FROZEN, None, member, None) for member in first]
    for method in methods:
        routers: list[tuple[str, str | None]] = [(method.name, config.router.kind if method.routes else None)]
        if method.routes:
            routers += [(f"{method.name}:{r}", r) for r in config.router.also if r != config.router.kind]
        for label, router in routers:
            result += [Candidate(label, method, member, router) for member in state.members[method.name]]
    return result


def router_of(member: Member, kind: str, config: RunConfig, workshop: Workshop) -> Router:
    """Return the router ``member`` fits from the statistics it received; devices that know the same share it."""
    key = (kind, *sorted(member.known))
    if key not in workshop.routers:
        sources: dict[str, list[Statistics]] = {}
        for device in sorted(member.known):
            said = member.known[device]
            if said.statistics is not None:
                sources.setdefault(said.group, []).append(said.statistics)
        workshop.routers[key] = make_router(
            kind, sources, shrinkage=config.router.shrinkage, temperature=config.router.temperature
        )
    return workshop.routers[key]


def signature(config: RunConfig) -> str:
    """Return what identifies an exam: scores under another signature do not count for it."""
    e, r = config.eval, config.router
    elsewhere = e.elsewhere or e.questions
    return f"{e.split}/{config.template}/{e.questions}/{elsewhere}/{r.depth}/{r.shrinkage}/{r.temperature}"


def sit(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    papers: Sequence[Exam],
    state: State,
    workshop: Workshop,
    store: RunStore,
    observer: Observer,
) -> dict[str, NDArray[np.float64]]:
    """Score every candidate on every exam; append to the store's scores and return each exam's router features.

    What the store already holds under the same signature and round is not scored again.
    """
    mark = signature(config)
    have = {
        (record["method"], device, record["task"])
        for record in store.read_scores()
        if record["signature"] == mark and record["round"] == state.round
        for device in record["devices"]
    }
    block = router_block(base, config.router.depth)
    features: dict[str, NDArray[np.float64]] = {}
    observer.event("phase", name="score", total=len(papers))
    for number, paper in enumerate(papers):
        started = time.perf_counter()
        features[paper.group] = prompt_means(base, paper.prompts, block, config.eval.micro_tokens)
        todo = [c for c in candidates(config, methods, state) if (c.label, c.member.device, paper.group) not in have]
        found = _sit_one(base, config, paper, todo, features[paper.group], workshop, observer)
        facts = {"round": state.round, "template": config.template, "signature": mark}
        store.append_scores(*({**record, **facts} for record in found))
        if found:
            cost = {"seconds": time.perf_counter() - started, "peak_memory_bytes": peak_memory()}
            store.append({"event": "scored", "task": paper.group, "signature": mark, **cost})
        observer.event("advance", name="score", done=number + 1)
    return features


def _sit_one(
    base: Base,
    config: RunConfig,
    paper: Exam,
    todo: Sequence[Candidate],
    features: NDArray[np.float64],
    workshop: Workshop,
    observer: Observer,
) -> list[dict[str, Any]]:
    singles: dict[tuple[str, int], Ask] = {}
    mixed: dict[str, tuple[Bank, dict[tuple[str, int], Ask]]] = {}
    keys: dict[tuple[tuple[str, int], ...], tuple[str, list[int]]] = {}
    for candidate in todo:
        answer = _answer(candidate, config, paper, features, workshop)
        count = len(paper.questions)
        if (
            config.eval.elsewhere is not None
            and candidate.method is not None
            and not candidate.method.exchanges
            and paper.group != candidate.member.own.group
        ):
            count = min(count, config.eval.elsewhere)
        mine = []
        bank = Bank([e for e in answer.experts if e is not None])
        for q in range(count):
            gates = answer.gates[q]
            if gates.max() == 1.0:
                expert: Expert | None = answer.experts[int(gates.argmax())]
                key = ("frozen" if expert is None else expert.digest, q)
                singles.setdefault(key, Ask(paper.rows[q], expert))
            else:
                key = (bank.digest + hashlib.blake2b(gates.tobytes(), digest_size=8).hexdigest(), q)
                mixed.setdefault(bank.digest, (bank, {}))[1].setdefault(key, Ask(paper.rows[q], None, gates))
            mine.append(key)
        keys.setdefault((("", candidate_index(todo, candidate.label)), *mine), (candidate.label, []))[1].append(
            candidate.member.device
        )
    scores = _score_all(base, config, paper, singles, list(mixed.values()), observer)
    records = []
    for used, (label, who) in keys.items():
        found = [measure(paper.questions[q], scores[d, q]) for d, q in used[1:]]
        if not all(math.isfinite(row["nll"]) for row in found):
            raise UserError(f"{label} gives answers of {paper.group} no finite probability: {DIVERGED}")
        records.append(
            {
                "method": label,
                "devices": who,
                "task": paper.group,
                "questions": [paper.questions[q].id for _, q in used[1:]],
                **{metric: [row[metric] for row in found] for metric in METRICS},
            }
        )
    return records


def candidate_index(todo: Sequence[Candidate], label: str) -> int:
    """Return the position of the first candidate called ``label``: keeps methods apart that answer alike."""
    return next(i for i, c in enumerate(todo) if c.label == label)


def _answer(
    candidate: Candidate, config: RunConfig, paper: Exam, features: NDArray[np.float64], workshop: Workshop
) -> Answer:
    count = len(paper.questions)
    if candidate.method is None:
        return only(None, count)
    router = router_of(candidate.member, candidate.router, config, workshop) if candidate.router else None
    return candidate.method.answer(candidate.member, [paper.group] * count, router, features, workshop)


def _score_all(
    base: Base,
    config: RunConfig,
    paper: Exam,
    singles: Mapping[tuple[str, int], Ask],
    mixed: Sequence[tuple[Bank, Mapping[tuple[str, int], Ask]]],
    observer: Observer,
) -> dict[tuple[str, int], Score]:
    total = sum(len(ask.rows) for ask in singles.values())
    total += sum(len(ask.rows) for _, asks in mixed for ask in asks.values())
    done = 0
    result: dict[tuple[str, int], Score] = {}
    for bank, asks in [(None, singles), *mixed]:
        if not asks:
            continue
        before = done

        def progress(rows: int, before: int = before) -> None:
            observer.event("scored", task=paper.group, done=before + rows, total=total)

        found = score(base, list(asks.values()), config.eval.micro_tokens, bank, progress)
        result.update(zip(asks, found, strict=True))
        done += sum(len(ask.rows) for ask in asks.values())
    return result
