"""The exam: every device answers every task's questions; each distinct (expert, question) is scored once.

Questions with options are scored. For a written question the reference is scored, and answers are written and graded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from meshtune.config.run_config import RunConfig
from meshtune.data.partition import Exam, exam_digest
from meshtune.decoding.scoring import measure, measure_written
from meshtune.errors import DivergedError, UserError
from meshtune.evaluation.asks import AnswerRequests, Key
from meshtune.evaluation.written_answers import write_answers
from meshtune.methods.base import Answer, Method, Prompts, only
from meshtune.methods.config import Reading
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member
from meshtune.model.base import Base
from meshtune.network.federation_state import FederationState
from meshtune.printable import printable
from meshtune.routing.features import Features
from meshtune.routing.routers import DEFAULTS, Reader, Router, make_router
from meshtune.routing.statistics import Statistics
from meshtune.runs.events import PhaseStarted, Progress, Scored
from meshtune.runs.observer import Observer
from meshtune.runs.store import RunStore
from meshtune.tasks.base import Question
from meshtune.training.calibration import prompt_features
from meshtune.training.divergence import remedy
from meshtune.training.process_memory import peak_memory

FROZEN = "frozen"


@dataclass(frozen=True)
class Candidate:
    """One device under one method and router, about to be scored."""

    label: str
    method: Method | None
    member: Member
    router: str | None


def candidates(config: RunConfig, methods: Sequence[Method], state: FederationState) -> list[Candidate]:
    """Return the candidates of the exam: the frozen model, every method, and ``method:router`` for further routers."""
    first = next(iter(state.members.values()))
    result = [Candidate(FROZEN, None, member, None) for member in first]
    for method in methods:
        first_router, *more = method.routing.names(config.router, config.paper) or (None,)
        for label, router in [(method.name, first_router), *((f"{method.name}:{r}", r) for r in more)]:
            result += [Candidate(label, method, member, router) for member in state.members[method.name]]
    return result


def router_of(member: Member, kind: str, config: RunConfig, factory: ExpertFactory) -> Router:
    """Return the router ``member`` fits from the statistics it received; devices with the same statistics share it."""
    if kind in get_args(Reading):
        return Reader(kind, config.paper.top_k)
    key = (kind, *((device, member.known[device].digest) for device in sorted(member.known)))
    if key not in factory.routers:
        sources: dict[str, list[Statistics]] = {}
        for device in sorted(member.known):
            said = member.known[device]
            if said.statistics is not None:
                sources.setdefault(said.group, []).append(said.statistics)
        factory.routers[key] = make_router(kind, sources, config.router)
    return factory.routers[key]


def signature(config: RunConfig) -> str:
    """Return the signature that identifies an exam: scores with another signature do not count for it."""
    e, r = config.eval, config.router
    cut = "" if config.paper.top_k is None else f"/top{config.paper.top_k}"
    arrow = (r.arrow_top_k, r.arrow_temperature)
    if arrow != (DEFAULTS.arrow_top_k, DEFAULTS.arrow_temperature):
        cut += f"/arrow{arrow[0]},{arrow[1]}"
    if r.abstain != DEFAULTS.abstain:
        cut += f"/{r.abstain}"
    similar = (r.lorauter_top_k, r.lorauter_temperature)
    if similar != (DEFAULTS.lorauter_top_k, DEFAULTS.lorauter_temperature):
        cut += f"/lorauter{similar[0]},{similar[1]}"
    elsewhere = e.elsewhere or e.questions
    mark = f"{e.split}/{config.template}/{e.questions}/{elsewhere}/{r.depth}/{r.shrinkage}/{r.temperature}{cut}"
    if not e.write:
        return f"{mark}/unwritten"
    if e.temperature == 0:
        return mark
    return f"{mark}/{e.samples}/{e.temperature}/{e.top_p}/{','.join(map(str, e.pass_at))}"


def score_exams(
    base: Base,
    config: RunConfig,
    methods: Sequence[Method],
    papers: Sequence[Exam],
    state: FederationState,
    factory: ExpertFactory,
    store: RunStore,
    observer: Observer,
) -> dict[str, Features]:
    """Score every candidate on every exam; append to the store's scores and return each exam's router features.

    Scores that the store already holds for the same signature and round are not computed again.

    Raises:
        UserError: the stored scores of this exam are for other questions.
    """
    mark = signature(config)
    asked = {paper.name: exam_digest({paper.name: paper.questions}) for paper in papers}
    have = set()
    for record in store.read_scores():
        if record.get("signature") != mark or record["task"] not in asked:
            continue
        if record.get("asked") != asked[record["task"]]:
            raise UserError(
                f"the questions of {printable(record['task'], 60)} are not those that {store.path} was scored on: set "
                "data, or MESHTUNE_DATA, as it was"
            )
        if record["round"] == state.round:
            have |= {(record["method"], device, record["task"]) for device in record["devices"]}
    features: dict[str, Features] = {}
    observer(PhaseStarted("score", len(papers)))
    for number, paper in enumerate(papers):
        started = time.perf_counter()
        features[paper.name] = prompt_features(base, paper.prompts, config.router, config.eval.micro_tokens)
        todo = [c for c in candidates(config, methods, state) if (c.label, c.member.device, paper.name) not in have]
        facts = {"round": state.round, "template": config.template, "signature": mark, "asked": asked[paper.name]}
        found = _sit_one(base, config, paper, todo, features[paper.name], factory, store, observer, facts)
        store.append_scores(*({**record, **facts} for record in found))
        if found:
            cost = {"seconds": time.perf_counter() - started, "peak_memory_bytes": peak_memory()}
            store.append({"event": "scored", "task": paper.name, "signature": mark, **cost})
        observer(Progress("score", number + 1, len(papers)))
    store.drop_answers()  # the scores contain them now
    return features


def _sit_one(
    base: Base,
    config: RunConfig,
    paper: Exam,
    todo: Sequence[Candidate],
    features: Features,
    factory: ExpertFactory,
    store: RunStore,
    observer: Observer,
    facts: Mapping[str, Any],
) -> list[dict[str, Any]]:
    requests = AnswerRequests(paper)
    users: dict[tuple[int, tuple[Key, ...]], tuple[str, list[int]]] = {}
    for candidate in todo:
        answer = _answer(candidate, config, paper, features, factory)
        count = len(paper.questions)
        if (
            config.eval.elsewhere is not None
            and candidate.method is not None
            and not candidate.method.knows(candidate.member, paper.group)
        ):
            count = min(count, config.eval.elsewhere)
        used = (candidate_index(todo, candidate.label), tuple(requests.add(answer, count)))
        users.setdefault(used, (candidate.label, []))[1].append(candidate.member.device)
    found, texts = _measure_all(base, config, paper, requests, store, observer, facts)
    records = []
    for (_, keys), (label, who) in users.items():
        rows = [found[key] for key in keys]
        if not all(math.isfinite(value) for row in rows for value in row.values()):
            method = todo[candidate_index(todo, label)].method
            where = f"{label} on device {who[0]} gives answers of {paper.name} no finite probability"
            raise DivergedError("no finite probability", who[0], f"{where}: {remedy(config, method)}")
        records.append(
            {
                "method": label,
                "devices": who,
                "task": paper.name,
                "questions": [paper.questions[q].id for _, q in keys],
                **_cores([paper.questions[q] for _, q in keys]),
                **{metric: [row[metric] for row in rows] for metric in rows[0]},
                **({"answers": [_answers(texts[key]) for key in keys]} if texts else {}),
            }
        )
    return records


def _cores(questions: Sequence[Question]) -> dict[str, list[str]]:
    """Return the questions' cores, a question without one being its own; nothing if none has any."""
    if not any(question.core for question in questions):
        return {}
    return {"cores": [question.core or f"question {question.id}" for question in questions]}


def _answers(texts: list[str]) -> str | list[str]:
    return texts if len(texts) > 1 else texts[0]


def candidate_index(todo: Sequence[Candidate], label: str) -> int:
    """Return the position of the first candidate called ``label``; it keeps apart methods with identical answers."""
    return next(i for i, c in enumerate(todo) if c.label == label)


def _answer(candidate: Candidate, config: RunConfig, paper: Exam, features: Features, factory: ExpertFactory) -> Answer:
    count = len(paper.questions)
    if candidate.method is None:
        return only(None, count)
    router = router_of(candidate.member, candidate.router, config, factory) if candidate.router else None
    return candidate.method.answer(candidate.member, Prompts([paper.group] * count, router, features), factory)


def _measure_all(
    base: Base,
    config: RunConfig,
    paper: Exam,
    requests: AnswerRequests,
    store: RunStore,
    observer: Observer,
    facts: Mapping[str, Any],
) -> tuple[dict[Key, dict[str, float]], dict[Key, list[str]]]:
    """Return the measures of all questions, and the texts of written answers."""
    questions, e = paper.questions, config.eval
    writes = paper.written and e.write
    total = requests.options + (requests.asks * e.samples if writes else 0)

    def on_options(done: int) -> None:
        observer(Scored(paper.name, done, total))

    scores = requests.score(base, e.micro_tokens, on_options)
    if not paper.written:
        return {key: measure(questions[key[1]], score) for key, score in scores.items()}, {}
    if not writes:
        return {key: measure_written(score) for key, score in scores.items()}, {}
    task = paper.task
    texts = write_answers(base, config, paper, requests, store, observer, facts)
    flat = [(questions[key[1]], text) for key, written in texts.items() for text in written]
    grades = task.grade([question for question, _ in flat], [text for _, text in flat], e.unsafe_code)
    of = {key: grades[n * e.samples : (n + 1) * e.samples] for n, key in enumerate(texts)}
    ks = e.pass_at if task.executes and e.samples > 1 else ()
    return {key: measure_written(score, of[key], ks) for key, score in scores.items()}, texts
