"""The entries of a results file: what a newer version adds is passed over, what cannot be is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from scipy import stats

from meshtune.report.format import BYTE_KINDS, FURTHER_KINDS, Header, ResultRow, RouterScore
from meshtune.wire import ledger

ROW: dict[str, Any] = {
    "method": "lora", "seed": 0, "round": 2, "device": 1, "task": "sums", "metric": "nll", "value": 2.0, "n": 50,
    "stderr": 0.1,
}  # fmt: skip


def test_the_interval_of_an_nll_is_the_normal_one() -> None:
    z = stats.norm.ppf(0.975)
    interval = ResultRow(**ROW).interval
    assert (interval["low"], interval["high"]) == (pytest.approx(2 - z * 0.1), pytest.approx(2 + z * 0.1))


def test_the_interval_of_an_accuracy_is_wilsons() -> None:
    """3 of 20 right, as Wilson (1927) has it: the roots of (p - q)^2 = z^2 q (1 - q) / n."""
    p, n, z = 0.15, 20, stats.norm.ppf(0.975)
    middle, half = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    row = ResultRow(**{**ROW, "metric": "acc", "value": p, "n": n, "stderr": (p * (1 - p) / (n - 1)) ** 0.5})
    assert row.interval["low"] == pytest.approx((middle - half) / (1 + z**2 / n))
    assert row.interval["high"] == pytest.approx((middle + half) / (1 + z**2 / n))


def test_one_question_has_no_interval() -> None:
    row = ResultRow(**{**ROW, "n": 1, "stderr": None})
    assert row.interval == {"low": None, "high": None}


def test_what_a_newer_version_adds_is_passed_over() -> None:
    assert ResultRow(**ROW, flavour="sweet") == ResultRow(**ROW)
    assert Header.model_validate({"novelty": 1, "methods": {"lora": {"bytes": {"values": 3}, "novelty": 2}}}) == (
        Header.model_validate({"methods": {"lora": {"bytes": {"values": 3}}}})
    )


@pytest.mark.parametrize("change", [{"n": 0}, {"value": "much"}, {"round": 1.5}, {"device": None}])
def test_a_row_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ResultRow(**{**ROW, **change})


@pytest.mark.parametrize("count", ["many", 1.5, True])
def test_a_model_has_a_number_of_parameters_or_none(count: object) -> None:
    with pytest.raises(ValidationError, match="parameters is no number"):
        Header.model_validate({"model": {"parameters": count}})
    for known in (None, 0, 10**12):
        assert Header.model_validate({"model": {"parameters": known}}).model == {"parameters": known}


def test_entries_come_back_from_json() -> None:
    header = Header.model_validate(
        {
            "groups": {"sums": [0, 1]},
            "exams": {"sums": "sums", "maps": None},
            "router": {"arrow": {"groups": ["sums"]}},
            "network": {
                "clusters": [[0, 1]], "collision_measured": [0.1], "payload_bytes": 9, "links": [[0, 1]],
                "within": [[0, 1, 2e6]], "positions": [[0, 1.5], [2, 3]],
            },
        }
    )  # fmt: skip
    assert Header.model_validate(json.loads(header.model_dump_json())) == header
    assert header.network is not None
    assert header.network.within == [(0, 1, 2e6)]
    assert header.router["arrow"] == RouterScore(groups=["sums"])
    assert header.router["arrow"].confusion is None


def test_the_kinds_of_bytes_are_those_that_the_ledger_counts() -> None:
    assert (BYTE_KINDS, FURTHER_KINDS) == (ledger.KINDS, ledger.FURTHER)
