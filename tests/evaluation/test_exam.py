"""The exam: who sits it, what identifies it, and that what is scored already is not scored again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from architectures import tiny
from federations import federation, play
from meshtune.adapter.projection import Recipe
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import Exam
from meshtune.decoding.scoring import Ask, measure, score
from meshtune.errors import DivergedError, UserError
from meshtune.evaluation.exam import Candidate, candidate_index, candidates, router_of, score_exams, signature
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update
from meshtune.model.base import Base
from meshtune.model.encoding import Row
from meshtune.model.probes.probed_base import open_base
from meshtune.network.federation_state import FederationState
from meshtune.routing.routers import CosineRouter, Reader, WhitenedRouter
from meshtune.runs.events import Scored
from meshtune.runs.store import RunStore
from meshtune.tasks.base import Question
from meshtune.wire.ledger import Ledger

ROUTING = ("bank", "paper", "lora", "hard_moe")


def config(**more: Any) -> RunConfig:
    return validate({"tasks": ["boolq", "piqa"], **more}, "test")


def state_of(members: dict[str, list[Member]], round_: int = 1) -> FederationState:
    nodes: Any = {name: [SimpleNamespace(member=member) for member in each] for name, each in members.items()}
    return FederationState(nodes, Ledger(), round_)


def test_the_frozen_model_and_every_device_under_every_router_sit_it() -> None:
    members = {name: federation(get_method(name))[0][:2] for name in ROUTING}
    settings = config(router={"kind": "top1", "also": ["cosine"]}, paper={"reading": "diag", "also": ["plain"]})
    found = candidates(settings, [get_method(name) for name in ROUTING], state_of(members))
    assert [(one.label, one.router, one.member.device) for one in found] == [
        (label, router, device)
        for label, router in [
            ("frozen", None), ("bank", "top1"), ("bank:cosine", "cosine"), ("paper", "diag"),
            ("paper:plain", "plain"), ("lora", None), ("hard_moe", None),
        ]
        for device in (0, 1)
    ]  # fmt: skip
    assert {one.method.name if one.method else None for one in found} == {None, *ROUTING}
    assert candidate_index(found, "paper") == 6


def test_routers_are_fitted_to_what_arrived_and_shared_by_who_knows_the_same() -> None:
    members, factory = federation(get_method("bank"))
    settings = config(router={"shrinkage": 0.25, "temperature": 3.0}, paper={"top_k": 5})
    router = router_of(members[0], "whitened", settings, factory)
    assert isinstance(router, WhitenedRouter)
    assert (router.groups, router.temperature) == (("a", "b", "c"), 3.0)
    assert router_of(members[1], "whitened", settings, factory) is router
    assert isinstance(router_of(members[0], "cosine", settings, factory), CosineRouter)
    fewer = Member(0, members[0].own, members[0].expert, known={d: members[0].known[d] for d in (0, 1)})
    other = router_of(fewer, "whitened", settings, factory)
    assert other is not router
    assert other.groups == ("a", "b")
    reader = router_of(members[0], "diag", settings, factory)
    assert isinstance(reader, Reader)
    assert (reader.reading, reader.top_k) == ("diag", 5)


CHANGES: list[dict[str, Any]] = [
    {}, {"template": "own"}, {"eval": {"questions": 7}}, {"eval": {"split": "validation"}}, {"eval": {"elsewhere": 5}},
    {"router": {"depth": 0.5}}, {"router": {"shrinkage": 0.25}}, {"router": {"temperature": 3}},
    {"router": {"arrow_top_k": 2}}, {"router": {"arrow_temperature": 2}}, {"paper": {"top_k": 3}},
    {"router": {"lorauter_top_k": 2}}, {"router": {"lorauter_temperature": 2}}, {"router": {"abstain": "hard"}},
    {"router": {"abstain": "share"}},
    {"paper": {"top_k": 3}, "router": {"arrow_top_k": 2}},
    {"eval": {"write": False}}, {"eval": {"temperature": 0.5}}, {"eval": {"temperature": 0.5, "samples": 2}},
    {"eval": {"temperature": 0.5, "top_p": 0.9}}, {"eval": {"temperature": 0.5, "samples": 2, "pass_at": [2]}},
]  # fmt: skip


def test_a_signature_tells_exams_apart_whose_scores_differ() -> None:
    assert len({signature(config(**change)) for change in CHANGES}) == len(CHANGES)


@pytest.mark.parametrize(
    "change", [{"train": {"lr": 1.0}}, {"eval": {"top_p": 0.9}}, {"eval": {"elsewhere": 100}}, {"router": {"also": []}}]
)
def test_what_changes_no_score_is_not_in_it(change: dict[str, Any]) -> None:
    """Without a temperature nothing is drawn; 100 of 100 questions are all; a router more changes no other."""
    assert signature(config(**change)) == signature(config())


ROWS = [[Row((5, 9, 3, 8, 7), 3), Row((5, 9, 3, 2), 3)], [Row((4, 1, 2), 2), Row((4, 1, 9, 9), 2)]]


def paper(name: str = "piqa", first: str = "0") -> Exam:
    questions = [Question(first, "piqa", "?", ("ab", "c"), 0), Question("1", "piqa", "??", ("ab", "c"), 1)]
    return Exam(name, name, questions, ROWS, [rows[0].tokens[: rows[0].prompt] for rows in ROWS])


@pytest.fixture(scope="module")
def base() -> Base:
    return open_base(tiny("llama"), None, "llama")


class Sitting:
    """Two devices under ``lora`` and ``local``, whose experts differ, in a store of their own."""

    def __init__(self, base: Base, folder: Path, **more: Any) -> None:
        self.base = base
        self.config = config(methods=["lora", "local"], adapter={"rank": 2}, **more)
        self.methods = [get_method("lora"), get_method("local")]
        self.store = RunStore.create(folder / "run", self.config.model_dump(mode="json"))
        self.factory = ExpertFactory(base.adapters.layers, self.config.adapter, 0)
        members: dict[str, list[Member]] = {}
        for method in self.methods:
            for device, group in enumerate(("boolq", "piqa")):
                masks = tuple(np.arange(0, layer.outputs * 2, 3) for layer in base.adapters.layers)
                own = Announcement(device, group, 5, Recipe(0, "orthogonal", device, 2), masks)
                start = method.begin(own, {device: own}, self.factory)
                draw = torch.Generator().manual_seed(0 if method.name == "lora" else device)
                expert = start.with_values(torch.randn(start.count, generator=draw) * 0.1)
                member = Member(
                    device, own, expert, known={device: own}, held={device: Update(device, 1, expert.values)}
                )
                members.setdefault(method.name, []).append(member)
        self.state = state_of(members)
        self.told: list[Any] = []

    def score(self, *papers: Exam) -> list[dict[str, Any]]:
        score_exams(
            self.base, self.config, self.methods, papers or (paper(),), self.state, self.factory, self.store,
            self.told.append,
        )  # fmt: skip
        return self.store.read_scores()


def test_every_expert_is_scored_once_and_devices_that_answer_alike_share_a_record(base: Base, tmp_path: Path) -> None:
    sitting = Sitting(base, tmp_path)
    records = sitting.score()
    assert [(one["method"], one["devices"]) for one in records] == [
        ("frozen", [0, 1]), ("lora", [0, 1]), ("local", [0]), ("local", [1]),
    ]  # fmt: skip
    members = sitting.state.members
    experts = [None, members["lora"][0].expert, *(member.expert for member in members["local"])]
    for record, expert in zip(records, experts, strict=True):
        found = score(base, [Ask(rows, expert) for rows in ROWS], 1000)
        for q, one in enumerate(found):
            for metric, value in measure(paper().questions[q], one).items():
                assert record[metric][q] == pytest.approx(value, rel=1e-4, abs=1e-6)
        assert (record["questions"], record["round"], record["task"]) == (["0", "1"], 1, "piqa")
        assert record["signature"] == signature(sitting.config)
    assert [event for event in sitting.told if isinstance(event, Scored)][-1] == Scored("piqa", 16, 16)


def test_what_is_scored_already_is_not_scored_again(base: Base, tmp_path: Path) -> None:
    sitting = Sitting(base, tmp_path)
    first = sitting.score()
    assert sitting.score() == first
    assert len([event for event in sitting.store.events() if event["event"] == "scored"]) == 1
    both = sitting.score(paper(), paper("boolq"))
    assert both[: len(first)] == first
    assert {one["task"] for one in both[len(first) :]} == {"boolq"}
    sitting.state.round = 2
    assert len(sitting.score()) == len(both) + len(first)


def test_scores_of_other_questions_are_not_mixed_with_these(base: Base, tmp_path: Path) -> None:
    sitting = Sitting(base, tmp_path)
    sitting.score()
    with pytest.raises(UserError, match=r"^the questions of piqa are not those that .* was scored on: set data, or"):
        sitting.score(paper(first="other"))


def test_elsewhere_a_device_without_exchange_is_asked_fewer(base: Base, tmp_path: Path) -> None:
    records = Sitting(base, tmp_path, eval={"elsewhere": 1}).score()  # the exam is device 1's
    counts = {(one["method"], *one["devices"]): len(one["nll"]) for one in records}
    assert counts == {("frozen", 0, 1): 2, ("lora", 0, 1): 2, ("local", 0): 1, ("local", 1): 2}


def test_an_expert_that_left_the_numbers_is_told_with_a_remedy(base: Base, tmp_path: Path) -> None:
    sitting = Sitting(base, tmp_path, train={"lora_lr": 1e-2})
    member = sitting.state.members["lora"][1]
    member.expert = member.expert.with_values(torch.full_like(member.expert.values, float("nan")))
    said = r"^lora on device 1 gives answers of piqa no finite probability: .* setting `train\.lora_lr=1e-03`"
    with pytest.raises(DivergedError, match=said):
        sitting.score()
    assert sitting.store.read_scores() == []


def test_methods_that_answer_alike_keep_their_names() -> None:
    members, factory = federation(get_method("lora"))
    play(get_method("lora"), members, factory)
    todo = [Candidate(label, None, member, None) for label in ("x", "y") for member in members]
    assert [candidate_index(todo, label) for label in ("x", "y")] == [0, 4]
