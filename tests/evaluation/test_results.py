"""What results.json is made of: rows, regret, choices and curves, each against sums by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from federations import LAYERS, federation
from meshtune.adapter.projection import Recipe, coherence, projection
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.evaluation.results import (
    _choices,
    _coherence,
    _curves,
    _in_order,
    _method,
    _rate,
    _regret,
    _rows,
    whole_exam,
)
from meshtune.methods.registry import get_method
from meshtune.network.federation_state import FederationState
from meshtune.network.virtual_clock import RoundCost
from meshtune.routing.abstention import Abstention
from meshtune.routing.features import Features
from meshtune.routing.routers import Reader, Router
from meshtune.routing.statistics import Array, summarise
from meshtune.wire.ledger import Ledger


def config(**more: Any) -> RunConfig:
    return validate({"tasks": ["boolq", "arc_easy", "arc_challenge"], "adapter": {"rank": 2}, **more}, "test")


def scoring(method: str, task: str, devices: list[int], nll: list[float], **more: Any) -> dict[str, Any]:
    return {"method": method, "round": 1, "task": task, "devices": devices, "nll": nll, **more}


def test_a_row_is_a_mean_with_its_standard_error_and_interval() -> None:
    nll, acc = [0.5, 1.5, 4.0, 2.0], [1.0, 0.0, 1.0, 1.0]
    rows = _rows(scoring("lora", "boolq", [0, 3], nll, acc=acc, answers=["x"] * 4), 7)
    assert [(row["device"], row["metric"]) for row in rows] == [(0, "nll"), (0, "acc"), (3, "nll"), (3, "acc")]
    for row, values in zip(rows[:2], (nll, acc), strict=True):
        assert (row["method"], row["seed"], row["round"], row["task"], row["n"]) == ("lora", 7, 1, "boolq", 4)
        assert row["value"] == pytest.approx(np.mean(values))
        assert row["stderr"] == pytest.approx(stats.sem(values))
    low, high = stats.norm.interval(0.95, loc=2.0, scale=stats.sem(nll))
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((low, high))
    wilson = stats.binomtest(3, 4).proportion_ci(method="wilson")
    assert (rows[1]["low"], rows[1]["high"]) == pytest.approx((wilson.low, wilson.high))


def test_of_one_question_an_nll_has_no_error() -> None:
    (row,) = _rows(scoring("lora", "boolq", [0], [0.5]), 0)
    assert (row["value"], row["n"], row["stderr"], row["low"], row["high"]) == (0.5, 1, None, None, None)


def test_a_row_and_a_regret_cluster_questions_by_core() -> None:
    """Scores 0, 0, 3 and 5, the first two of one core: sums of deviations -4, 1 and 3, so 3 / 2 (16 + 1 + 9) / 16."""
    cores = ["x", "x", "y", "z"]
    (row,) = _rows(scoring("lora", "sums", [0], [0.0, 0.0, 3.0, 5.0], cores=cores), 0)
    assert (row["n"], row["cores"], row["stderr"]) == (4, 3, pytest.approx(np.sqrt(1.5 * 26) / 4))
    scores = [scoring(name, "sums", [0], nll, cores=cores) for name, nll in (
        ("bank", [1.0, 1.0, 4.0, 6.0]), ("hard_moe", [1.0] * 4),
    )]  # fmt: skip
    scores.append(scoring("local", "sums", [0], [2.0], cores=["y"]))  # asked fewer questions of a task not its own
    found = _regret(scores, "bank", 0, config(train={"lr": 1e-3}))
    assert found["regret_stderr"] == pytest.approx(np.sqrt(1.5 * 26) / 4)


def test_scorings_stand_in_the_order_of_exams_methods_and_devices() -> None:
    scores = [
        scoring(method, task, devices, [0.0])
        for method, task, devices in (
            ("gone", "b", [0]), ("lora", "b", [1, 0]), ("lora", "a", [2]), ("frozen", "b", [0]), ("lora", "a", [0, 1]),
            ("lora", "c", [0]),
        )
    ]  # fmt: skip
    found = _in_order(["b", "a"], ["frozen", "lora"], scores)
    assert [(one["task"], one["method"], one["devices"]) for one in found] == [
        ("b", "frozen", [0]), ("b", "lora", [1, 0]), ("b", "gone", [0]), ("a", "lora", [0, 1]), ("a", "lora", [2]),
        ("c", "lora", [0]),
    ]  # fmt: skip


def test_regret_is_what_the_router_costs_over_the_oracle_question_by_question() -> None:
    """Gaps of 1, 3 and of 0, 1, 2: means 2 and 1, squared errors 2 / 2 and 1 / 3."""
    scores = [
        scoring("bank", "a", [0, 1], [2.0, 5.0]), scoring("hard_moe", "a", [0], [1.0, 2.0]),
        scoring("bank", "b", [0], [1.0, 2.0, 3.0]), scoring("hard_moe", "b", [0, 1], [1.0, 1.0, 1.0]),
        scoring("bank", "a", [2], [9.0, 9.0]), scoring("bank", "c", [0], [1.0]),
        scoring("bank:top1", "a", [0], [1.0, 2.0]),
    ]  # fmt: skip
    found = _regret(scores, "bank", 0, config(train={"lr": 1e-3}))
    assert found == {
        "regret": pytest.approx(1.5),
        "regret_stderr": pytest.approx(np.sqrt(1 + 1 / 3) / 2),
        "regret_by_task": {"a": 2.0, "b": 1.0},
    }
    assert _regret(scores, "bank:top1", 0, config(train={"lr": 1e-3}))["regret"] == 0


def test_there_is_no_regret_without_an_oracle_that_trained_alike() -> None:
    scores = [scoring("bank", "a", [0], [2.0]), scoring("hard_moe", "a", [0], [1.0])]
    none = {"regret": None, "regret_stderr": None}
    assert _regret(scores[:1], "bank", 0, config(train={"lr": 1e-3})) == none
    assert _regret(scores, "bank", 0, config(train={"lr": 1e-3, "rates": {"hard_moe": 2e-3}})) == none
    one = _regret(scores, "bank", 0, config(train={"lr": 1e-3, "rates": {"hard_moe": 1e-3}}))
    assert (one["regret"], one["regret_stderr"]) == (1.0, 0.0)


def test_methods_with_two_rates_trained_alike_where_both_are_equal() -> None:
    scores = [scoring("proposed", "a", [0], [2.0]), scoring("oracle", "a", [0], [1.0])]
    both, one = ({"lr": 1e-3, "lora_lr": rate, "rates": {"oracle": 1e-3}} for rate in (1e-3, 2e-3))
    assert _regret(scores, "proposed", 0, config(train=both))["regret"] == 1.0
    assert _regret(scores, "proposed", 0, config(train=one))["regret"] is None


class Given(Router):
    groups = ("boolq", "arc_easy", "arc_challenge")

    def __init__(self, gates: list[list[float]]) -> None:
        self._gates = np.array(gates)

    def scores(self, seen: Features) -> Array:
        return self._gates

    gates = scores


TRUTH = ["boolq", "boolq", "arc_easy", "arc_challenge"]
SEEN = Features(np.zeros((4, 1)))


def test_choices_are_counted_and_like_tasks_count_as_one() -> None:
    soft = [[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.0, 0.0, 1.0]]
    assert _choices(Given(soft), SEEN, TRUTH, range(4), config(router={"temperature": 2.0})) == {
        "confusion": [[1, 1, 0], [0, 0, 1], [0, 0, 1]],
        "accuracy": 0.5,
        "accuracy_merged": 0.75,
        "log_loss": pytest.approx(-(np.log(0.5) + np.log(0.2) + np.log(0.3)) / 4),
        "temperature": 2.0,
    }
    hard = np.eye(3)[[0, 1, 1, 2]].tolist()
    found = _choices(Given(hard), SEEN, TRUTH, range(4), config())
    assert (found["accuracy"], found["log_loss"]) == (0.75, None)  # who is always sure has an infinite one


def test_prompts_of_one_core_count_as_one_choice() -> None:
    """Right on both of core 0, wrong on both of core 1: deviations of 1/2 add up to 1 and -1; 2 / 1 (1 + 1) / 16."""
    hard = np.eye(3)[[0, 0, 2, 1]].tolist()
    found = _choices(Given(hard), SEEN, TRUTH, [0, 0, 1, 1], config(eval={"one_group": []}))
    assert (found["accuracy"], found["cores"], found["accuracy_stderr"]) == pytest.approx((0.5, 2, 0.5))


def test_what_is_left_to_the_frozen_model_is_told_and_changes_no_choice() -> None:
    """A prompt at the mean of the one device, one at its limit, and two far away."""
    router = Given(np.eye(3)[[0, 0, 1, 2]].tolist())
    plain = _choices(router, SEEN, TRUTH, range(4), config())
    device = replace(summarise(np.array([[-1.0], [1.0]])), limits=np.array([1.0, 4.0]))
    router.abstention = Abstention([device])
    seen = Features(np.array([[0.0], [2.0], [5.0], [-9.0]]))
    assert _choices(router, seen, TRUTH, range(4), config()) == {**plain, "refused": 0.5}


def test_a_router_that_decides_token_by_token_chooses_nothing() -> None:
    found = _choices(Reader("plain"), SEEN, TRUTH, range(4), config(router={"arrow_temperature": 0.5}))
    assert found == {
        "confusion": None, "accuracy": None, "accuracy_merged": None, "log_loss": None, "temperature": 0.5,
    }  # fmt: skip


def state(round_: int) -> FederationState:
    members, _ = federation(get_method("lora"))
    nodes: Any = {"lora": [SimpleNamespace(member=member) for member in members]}
    return FederationState(nodes, Ledger(), round_, clocks={"lora": [RoundCost(1.0), RoundCost(2.0), RoundCost(4.0)]})


def test_only_scores_of_this_exam_until_now_count() -> None:
    scores = [
        scoring("lora", "boolq", [0], [1.0], signature=mark) | {"round": round_}
        for mark, round_ in (("s", 1), ("t", 1), ("s", 2), ("s", 3))
    ]
    found, notes = whole_exam(scores, "s", state(2))
    assert (found, notes) == ([scores[0], scores[2]], [])


def test_curves_leave_out_exams_that_nobody_learns() -> None:
    scores = [
        scoring("lora", task, [0], [nll], signature="s") for task, nll in (("boolq", 1.0), ("arc_challenge", 9.0))
    ]
    found = _curves(config(devices={"count": 2}), scores, "s", state(1))
    assert found == {"lora": [{"round": 1, "seconds": 3.0, "joules": 0.0, "nll": 1.0}]}
    assert _curves(config(), scores, "s", state(1))["lora"][0]["nll"] == 5.0


def test_what_a_method_cost() -> None:
    now = state(2)
    now.ledger.record("lora", 1, 0, 1, {"values": 30, "control": 5}, False)
    now.ledger.record("lora", 2, 1, 0, {"values": 30}, True)
    now.ledger.record("local", 2, 1, 0, {"values": 1000}, False)
    found = _method(get_method("lora"), now)
    assert found["parameters_updated"] == 2 * sum(layer.inputs + layer.outputs for layer in LAYERS)
    none = {"values": 0, "masks": 0, "router": 0, "control": 0, "relayed": 0}
    first, second = {**none, "values": 30, "control": 5}, {**none, "relayed": 30}
    assert found["bytes"] == {kind: first[kind] + second[kind] for kind in none}
    assert found["bytes_per_round"] == {"1": first, "2": second}
    assert found["payload_bytes"] == 35
    assert found["clock"]["seconds"] == 7.0
    del now.clocks["lora"]
    assert "clock" not in _method(get_method("lora"), now)


def test_a_rate_says_which_key_gave_it_and_whether_it_was_looked_for() -> None:
    settings = config(train={"lr": 2e-3, "lora_lr": 1e-3, "rates": {"ffa": 5e-4}})
    rates = {"sparse": {"rate": 2e-3}, "event": "rates"}
    assert [_rate(get_method(name), settings, rates)["lr"] for name in ("bank", "ffa", "lora")] == [
        {"key": "train.lr", "value": 2e-3, "found": True},
        {"key": "train.rates.ffa", "value": 5e-4, "found": False},
        {"key": "train.lora_lr", "value": 1e-3, "found": False},
    ]
    assert "common_lr" not in _rate(get_method("bank"), settings, rates)
    assert _rate(get_method("proposed"), settings, rates) == {
        "lr": {"key": "train.lr", "value": 2e-3, "found": True},
        "common_lr": {"key": "train.lora_lr", "value": 1e-3, "found": False},
    }


def test_orthogonal_projections_are_incoherent_and_gaussian_ones_are_not() -> None:
    base: Any = SimpleNamespace(adapters=SimpleNamespace(layers=LAYERS))
    kinds = {kind: config(adapter={"rank": 2, "projection": kind}) for kind in ("orthogonal", "gaussian")}
    found = {kind: _coherence(settings, base) for kind, settings in kinds.items()}
    assert found["orthogonal"] == pytest.approx(0, abs=1e-6)
    assert found["gaussian"] is not None
    assert 0.05 < found["gaussian"] < 1
    assert _coherence(config(methods=["lora"]), base) is None
    few = {"tasks": ["boolq"], "devices": {"count": 3}, "methods": ["bank", "paper"]}
    assert _coherence(config(**few), base) == pytest.approx(0, abs=1e-6)  # one group, three devices with their own A
    loose = config(**few, adapter={"rank": 2, "projection": "gaussian"})
    made = [projection(Recipe(loose.federation_seed, "gaussian", d, 2), "attn_in", 12) for d in range(3)]
    assert _coherence(loose, base) == max(coherence(a, b) for a, b in itertools.combinations(made, 2))
    assert _coherence(config(**few, paper={"projection": "group"}), base) is None
    assert _coherence(config(devices={"count": 1}), base) is None  # one group has no pair
