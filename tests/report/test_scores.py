from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from meshtune.errors import UserError
from meshtune.report.scores import of_exam, paired, question_scores, read_scores


def line(method: str, task: str, nll: list[float], devices: list[int], **more: Any) -> dict[str, Any]:
    ids = [f"q{i}" for i in range(len(nll))]
    return {
        "method": method,
        "task": task,
        "devices": devices,
        "round": 1,
        "questions": ids,
        "nll": nll,
    } | more


def test_paired_difference_by_hand() -> None:
    # boolq: gaps -1, -3: mean -2, sd sqrt 2, stderr 1. piqa: gaps 0, 3, 3: mean 2, sd sqrt 3, stderr 1.
    first = {"boolq": {"a": 1.0, "b": 1.0}, "piqa": {"a": 4.0, "b": 5.0, "c": 6.0, "extra": 99.0}}
    second = {"boolq": {"a": 2.0, "b": 4.0}, "piqa": {"a": 4.0, "b": 2.0, "c": 3.0}, "arc": {"a": 1.0}}
    gap = paired(first, second, "nll")
    assert gap is not None
    assert (gap.mean, gap.questions, gap.tasks) == (0.0, 5, 2)
    assert gap.high == pytest.approx(1.959964 * 2**0.5 / 2, rel=1e-5)
    assert gap.low == -gap.high


def test_one_task_agrees_with_scipy() -> None:
    a, b = [1.0, 2.5, 3.0, 2.0], [0.5, 2.0, 3.5, 1.0]
    first, second = ({"t": {str(i): value for i, value in enumerate(values)}} for values in (a, b))
    gap = paired(first, second, "nll")
    assert gap is not None
    error = (gap.high - gap.mean) / stats.norm.ppf(0.975)
    assert gap.mean / error == pytest.approx(stats.ttest_rel(a, b).statistic)


def test_no_common_question_no_difference_and_one_pair_no_error() -> None:
    assert paired({"t": {"a": 1.0}}, {"t": {"b": 1.0}}, "nll") is None
    single = paired({"t": {"a": 1.0}}, {"t": {"a": 3.0}}, "nll")
    assert single is not None
    assert single.mean == -2
    assert not single.known


def test_answers_that_are_equal_everywhere_leave_room_for_a_difference() -> None:
    """Bonett and Price of 50 equal pairs: 1.96 sqrt(2) / 52."""
    scores = {"t": {str(i): float(i % 2) for i in range(50)}}
    gap = paired(scores, scores, "acc")
    assert gap is not None
    assert (gap.mean, gap.high, gap.equal) == (0, pytest.approx(1.959964 * 2**0.5 / 52, rel=1e-5), True)
    loss = paired(scores, scores, "nll")
    assert loss is not None
    assert (loss.known, loss.equal) == (False, True)


def test_devices_weigh_and_only_questions_of_all_scorings_count() -> None:
    records = [
        line("local", "boolq", [1.0, 2.0, 3.0], [0]),
        line("local", "boolq", [4.0, 8.0], [1, 2]),
        line("local", "boolq", [100.0, 100.0], [1], round=0),
        line("lora", "boolq", [7.0], [0]),
    ]
    scores = question_scores(records, "local", "nll")
    assert scores == {"boolq": {"q0": pytest.approx((1 + 2 * 4) / 3), "q1": pytest.approx((2 + 2 * 8) / 3)}}
    assert question_scores(records, "absent", "nll") == {}


def test_questions_of_one_core_are_one_cluster_in_a_paired_difference() -> None:
    """Gaps 0, 0 of core x, 3 of y, 5 of z: sums of deviations -4, 1 and 3, so 3 / 2 (16 + 1 + 9) / 16."""
    cores = ["x", "x", "y", "z"]
    records = [
        line("lora", "sums", [1.0, 2.0, 4.0, 6.0], [0], cores=cores),
        line("local", "sums", [1.0, 2.0, 1.0, 1.0], [0], cores=cores),
        line("ffa", "sums", [1.0, 2.0, 1.0, 1.0], [0]),  # a line of an older version
    ]
    lora, local, ffa = (question_scores(records, name, "nll") for name in ("lora", "local", "ffa"))
    for other in (local, ffa):
        gap = paired(lora, other, "nll")
        assert gap is not None
        assert (gap.questions, gap.cores) == (4, 3)
        assert gap.high - gap.mean == pytest.approx(1.959964 * (1.5 * 26 / 16) ** 0.5, rel=1e-5)
    unknown = paired(ffa, local, "nll")
    assert unknown is not None
    assert unknown.cores is None


def test_exams_are_not_mixed() -> None:
    first = line("proposed", "boolq", [1.0], [0], signature="100 questions")
    second = line("proposed", "boolq", [2.0], [0], signature="20 questions")
    assert of_exam([first, second], None) == [second]
    assert of_exam([first, second], "100 questions") == [first]
    assert of_exam([], None) == []


def test_reading_drops_a_cut_line_wherever_it_is_and_names_a_broken_one(make_run: Callable[..., Path]) -> None:
    run = make_run("run", None, [line("lora", "boolq", [1.0], [0]), line("lora", "piqa", [1.0], [0])])
    file = run / "scores.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"method": "lo')
    assert [r["task"] for r in read_scores(run)] == ["boolq", "piqa"]
    file.write_text('{"method"\n' + whole)  # a resumed run goes on behind the line that a crash had cut
    assert [r["task"] for r in read_scores(run)] == ["boolq", "piqa"]
    file.write_text(whole.replace('"task"', '"tusk"', 1))
    with pytest.raises(UserError, match=r"line 1 cannot be read or is gone \(it lacks task\)"):
        read_scores(run)
    file.write_text(whole.replace('"q0"', '"q0", "q1"', 1))
    with pytest.raises(UserError, match="lists differ in length"):
        read_scores(run)
    file.unlink()
    assert read_scores(run) == []
