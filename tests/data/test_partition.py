"""Each device's share of the data, and the exam that every device sits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.config.config_file import validate
from meshtune.data.partition import DeviceData, deal, digest, exam_digest, exam_questions, exams
from meshtune.data.pools import Pools, gather
from meshtune.errors import UserError
from meshtune.model.encoding import Row
from meshtune.tasks.base import Question


def test_only_rows_that_are_trained_on_are_counted(whole_settings: dict[str, Any]) -> None:
    config = validate(whole_settings, "test")  # 2 rounds of 2 steps with 2 rows each: 8 of 26 rows
    device = deal(config, Letters())[0]
    used = device.used(4, 2)
    assert len(set(used)) == 8
    assert [device.row(n) for n in used] == [row for step in range(4) for row in device.batch(step, 2)]
    assert device.used(13, 2) == list(range(26))
    assert device.used(99, 2) == list(range(26))


class Letters:
    """A tokenizer whose tokens are the letters of a text."""

    eos_token_id = None
    unk_token_id = None

    def __call__(self, text: str, **how: bool) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}


def questions(count: int, task: str = "piqa") -> list[Question]:
    return [Question(str(n), task, f"Q{n}:", (f"right {n}", "wrong"), 0) for n in range(count)]


def device(number: int, count: int, seed: int = 0, aside: int = 0) -> DeviceData:
    return DeviceData(number, "a", questions(count), seed, 100, Letters(), [*questions(50)[40 : 40 + aside]])


def text(row: Row) -> str:
    return "".join(map(chr, row.tokens))


@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 3))
def test_every_epoch_has_each_row_once_whatever_the_batch(count: int, size: int, seed: int) -> None:
    data = device(3, count, seed)
    seen = [text(row) for step in range(3 * count) for row in data.batch(step, size)]
    assert len(seen) == 3 * count * size
    for epoch in range(3 * size):
        part = seen[epoch * count : (epoch + 1) * count]
        assert sorted(part) == sorted(f"Q{n}: right {n}" for n in range(count))


def test_orders_are_drawn_by_seed_device_and_epoch() -> None:
    def order(data: DeviceData, epoch: int = 0) -> list[str]:
        return [text(row) for row in data.batch(epoch, 30)]

    first = order(device(0, 30))
    assert first == order(device(0, 30))
    others = [order(device(0, 30), 1), order(device(1, 30)), order(device(0, 30, seed=1))]
    assert len({tuple(one) for one in (first, *others)}) == 4


def test_calibration_draws_with_a_stream_of_its_own() -> None:
    data = device(0, 5)
    batches = data.calibration(20, 3)
    assert [len(batch) for batch in batches] == [3] * 20
    assert {text(row) for batch in batches for row in batch} == {f"Q{n}: right {n}" for n in range(5)}
    assert batches[:4] == data.calibration(4, 3)
    assert batches[0] != data.batch(0, 3)


def test_settings_are_judged_by_rows_set_aside_or_else_by_the_last_of_its_own() -> None:
    def numbers(rows: list[Row]) -> list[int]:
        return [int(text(row).split()[-1]) for row in rows]

    assert numbers(device(0, 10, aside=3).held(2)) == [40, 41]
    assert numbers(device(0, 10, aside=3).held(9)) == [40, 41, 42]
    assert numbers(device(0, 10).held(2)) == [8, 9]
    assert device(0, 10).prompts(2) == [tuple(map(ord, "Q0:")), tuple(map(ord, "Q1:"))]


@pytest.mark.parametrize(("count", "rows"), [(3, None), (4, None), (4, 2)])
def test_devices_of_one_task_hold_disjoint_rows_and_together_all(
    whole_settings: dict[str, Any], count: int, rows: int | None
) -> None:
    config = validate(
        {**whole_settings, "devices": {"count": count}, "train": {**whole_settings["train"], "rows": rows}}, "test"
    )
    pools = gather(config)
    devices = deal(config, pools=pools)
    assert [(data.device, data.group) for data in devices] == list(
        enumerate(["boolq", "arc_easy", "piqa", "boolq"][:count])
    )
    for key in ("boolq", "arc_easy", "piqa"):
        shares = [data.questions for data in devices if data.group == key]
        assert abs(len(shares[0]) - len(shares[-1])) <= 1
        dealt = [question.id for share in shares for question in share]
        assert len(dealt) == len(set(dealt)) == (26 if rows is None else rows * len(shares))
        assert {question.id for question in pools.train[key]} >= set(dealt)
        assert all(data.aside is pools.aside[key] for data in devices if data.group == key)


@pytest.mark.parametrize(
    ("leaked", "said"),
    [
        (
            {},
            "task piqa: 1 training rows are left for 2 devices after 7 were set aside: lower validation or give",
        ),
        (
            {"leaked": {"piqa": 2, "x": 3}},
            "task piqa: 1 training rows are left for 2 devices after 7 were set aside and 5, which an exam asks too, "
            "were left out: give other training or test rows",
        ),
    ],
)
def test_too_few_rows_are_refused_with_where_they_went(leaked: dict[str, Any], said: str) -> None:
    config = validate({"tasks": ["piqa"], "devices": {"count": 2}}, "test")
    pools = Pools({"piqa": questions(1)}, {"piqa": []}, {}, (), {"piqa": {"validation": 7, **leaked}})
    with pytest.raises(UserError, match=f"^{said}"):
        deal(config, pools=pools)


def test_an_exam_asks_its_first_questions_with_an_option_a_row() -> None:
    config = validate({"tasks": [{"task": "piqa", "also": ["boolq"]}], "eval": {"questions": 3}}, "test")
    pools = Pools({}, {}, {"piqa": questions(5), "boolq": questions(2, "boolq")}, (), {})
    asked = exam_questions(config, pools)
    assert {name: [q.id for q in found] for name, found in asked.items()} == {
        "piqa": ["0", "1", "2"],
        "boolq": ["0", "1"],
    }
    first, second = exams(config, Letters(), asked)
    assert (first.name, first.group, second.name, second.group) == ("piqa", "piqa", "boolq", "piqa")
    assert [text(row) for row in first.rows[2]] == ["Q2: right 2", "Q2: wrong"]
    assert first.prompts[1] == tuple(map(ord, "Q1:"))
    assert (first.task.name, second.task.name, first.written) == ("piqa", "boolq", False)


def test_digests_tell_rows_apart_and_who_holds_them() -> None:
    same = [digest([device(0, 3), device(1, 2)]) for _ in range(2)]
    assert same[0] == same[1] != digest([device(1, 3), device(0, 2)])
    one, other = questions(2), questions(2)
    other[1] = Question("1", "piqa", "Q1:", ("right 1", "wrong"), 1)
    found = [exam_digest({"a": one}), exam_digest({"a": other}), exam_digest({"b": one}), exam_digest({"a": one[::-1]})]
    assert len(set(found)) == 4
    assert exam_digest({"a": questions(2)}) == found[0]
    assert exam_digest({"a": [Question("1", "t", "\ud800", ("a",), 0)]})  # text that is no UTF-8 has one too
