"""A federation over free links that is played round by round, forked, and joined by a device that appears late.

A configuration has all devices present from the start. Here some begin, and another is introduced to them after some
rounds, as devices are that meet while moving (:mod:`meshtune.simulator.reclustering`): it hears their announcements,
they hear its, and from then on it trains and exchanges as they do. Its block of projection rows is the one it has in
the configuration; without one it would claim a free block (:mod:`meshtune.node.block_claims`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from meshtune.adapter.expert import Expert
from meshtune.config.run_config import RunConfig
from meshtune.decoding.scoring import measure_written
from meshtune.evaluation.asks import AnswerRequests
from meshtune.evaluation.exam import router_of
from meshtune.methods.base import Answer, Method, Prompts, only
from meshtune.methods.state import Member
from meshtune.network.federation_state import FederationState
from meshtune.runs.observer import Silent
from meshtune.simulator.checkpoint import pack_state, unpack_state
from meshtune.simulator.introducing import introduce, nodes_of
from meshtune.simulator.resume import begin
from meshtune.simulator.rounds import play_round
from meshtune.simulator.run_inputs import announced, load_inputs
from meshtune.training.calibration import prompt_features

Saved = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A state as a checkpoint holds it."""
Asked = tuple[Method, Member] | Expert | None
"""Who answers: a device under a method, one expert, or the frozen model."""


class LateFederation:
    """The devices, methods and exams of a configuration, of which some devices are present.

    Args:
        config: without a radio.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.inputs = load_inputs(config, Silent())
        self.methods: dict[str, Method] = {method.name: method for method in self.inputs.methods}
        self._own, _ = announced(self.inputs, Silent())
        micro = config.eval.micro_tokens
        # Only the right answer of a question is scored: its NLL needs no other.
        self._papers = [
            replace(p, rows=[[rows[q.answer]] for q, rows in zip(p.questions, p.rows, strict=True)])
            for p in self.inputs.papers
        ]
        self._features = [
            prompt_features(self.inputs.base, paper.prompts, config.router, micro) for paper in self._papers
        ]

    def begin(self, present: Sequence[int]) -> FederationState:
        """Return the state in which the devices ``present`` know each other and nothing has been trained."""
        own = [self._own[device] for device in present]
        return begin(self.inputs.methods, full(present), own, self.inputs.base.adapters.layers, self.inputs.factory)

    def fork(self, saved: Saved, present: Sequence[int]) -> FederationState:
        """Return a new state equal to the ``saved`` one, of the same devices."""
        return unpack_state(self.begin(present), *saved)

    def join(self, state: FederationState, device: int) -> None:
        """Let ``device`` join all others.

        A bank needs nothing from it but its own expert. Where all devices average one expert, it starts from theirs.
        """
        for name, method in self.methods.items():
            nodes = state.nodes[name]
            said = method.announces(self._own[device], self.inputs.factory)
            (new,) = nodes_of([said], method, self.inputs.factory, {}, True)
            rules = replace(nodes[0].rules, round=state.round + 1)
            nodes = [*nodes, new]
            for node in nodes:
                node.begin_round(rules)
            graph = full([node.device for node in nodes])
            introduce(nodes, graph, state.ledger)
            new.begin()
            if not method.kind.projected:
                new.member.expert = nodes[0].member.expert
            for node in nodes:
                node.links = graph[node.device]
            state.nodes[name] = nodes

    def play(self, state: FederationState) -> dict[str, list[Expert]]:
        """Play a round; return by method what its devices had trained before they exchanged it."""
        trained: dict[str, list[Expert]] = {}

        def look(members: Mapping[str, Sequence[Member]]) -> None:
            trained.update({name: [one.expert for one in each] for name, each in members.items()})

        play_round(
            self.inputs.base, self.config, self.inputs.methods, self.inputs.devices, self.inputs.factory, state,
            Silent(), judge=look,
        )  # fmt: skip
        return trained

    def answer(self, method: Method, member: Member, paper: int) -> Answer:
        """Return who answers exam number ``paper`` on a device."""
        known = next(iter(method.routing.names(self.config.router, self.config.paper)), None)
        router = router_of(member, known, self.config, self.inputs.factory) if known else None
        exam = self._papers[paper]
        prompts = Prompts([exam.group] * len(exam.questions), router, self._features[paper])
        return method.answer(member, prompts, self.inputs.factory)

    def score(
        self, asked: Mapping[str, Asked], task_of: Mapping[str, str] | None = None
    ) -> dict[str, dict[str, float]]:
        """Return the NLL by label and task, where equal answers are scored once.

        Args:
            asked: who answers, by label.
            task_of: the only task that a label is asked about; those that are not in it are asked about all.
        """
        found: dict[str, dict[str, float]] = {label: {} for label in asked}
        for number, paper in enumerate(self._papers):
            requests, count = AnswerRequests(paper), len(paper.questions)
            keys = {
                label: requests.add(self.answer(*who, number) if isinstance(who, tuple) else only(who, count), count)
                for label, who in asked.items()
                if (task_of or {}).get(label, paper.name) == paper.name
            }
            scores = requests.score(self.inputs.base, self.config.eval.micro_tokens, lambda done: None)
            for label, mine in keys.items():
                found[label][paper.name] = fmean(measure_written(scores[key])["nll"] for key in mine)
        return found


def full(devices: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Return the graph in which each of ``devices`` hears all others."""
    return {one: tuple(sorted(set(devices) - {one})) for one in devices}


def saved(state: FederationState) -> Saved:
    """Return a copy of ``state`` that later rounds do not change."""
    tensors, facts = pack_state(state)
    return {name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(facts))


def without(member: Member, devices: Sequence[int]) -> Member:
    """Return a device that holds no update of ``devices`` and routes nothing to them."""
    known = {d: replace(said, statistics=None) if d in devices else said for d, said in member.known.items()}
    return replace(member, known=known, held={d: one for d, one in member.held.items() if d not in devices}, starts={})
