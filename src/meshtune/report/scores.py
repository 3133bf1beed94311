"""Per-question scores of a run (``scores.jsonl``) and paired differences between two methods.

Methods of one run answer the same questions, so their difference is known far better than either mean: the questions'
own difficulty cancels. Tasks have equal weight, whatever their number of questions (stratified by task). Intervals
cover questions; those of one core, which differ only in names, count as one cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshtune.evaluation.intervals import all_equal, mean_difference
from meshtune.runs.store import RunStore

TaskScores = Mapping[str, Mapping[str, float]]
"""Task to question id to score, the mean over devices. An id may be a :class:`QuestionId`."""


class QuestionId(str):
    """A question's id that also knows the question's core; it equals the plain id."""

    core: str

    @classmethod
    def of(cls, name: str, core: str) -> QuestionId:
        """Return the id ``name`` of a question with this core."""
        made = cls(name)
        made.core = core
        return made


@dataclass(frozen=True)
class Difference:
    """A paired difference of two methods with its 95% interval.

    Attributes:
        mean: first minus second, mean over tasks of means over questions.
        low, high: ends of the interval; nan if unknown.
        questions: number of pairs.
        tasks: number of tasks.
        equal: whether it is the same on every question.
        cores: how many different cores the questions have, task by task; None if all differ.
    """

    mean: float
    low: float
    high: float
    questions: int
    tasks: int
    equal: bool = False
    cores: int | None = None

    @property
    def known(self) -> bool:
        """Whether it has an interval."""
        return not math.isnan(self.low)


def read_scores(path: Path) -> list[dict[str, Any]]:
    """Return the scorings in the run folder ``path``, each once; none if there is no ``scores.jsonl``.

    Raises:
        UserError: lines are damaged or missing.
    """
    return RunStore(path).read_scores()


def of_exam(records: Sequence[Mapping[str, Any]], exam: str | None) -> list[Mapping[str, Any]]:
    """Return the scorings of one exam: those with the signature ``exam``, or with the last one's if ``exam`` is None.

    A run may have several exams (other questions, another template); their scores must not be mixed.
    """
    mark = exam if exam is not None or not records else records[-1].get("signature")
    return [record for record in records if record.get("signature") == mark]


def latest(records: Iterable[Mapping[str, Any]], method: str, metric: str) -> list[Mapping[str, Any]]:
    """Return the scorings of ``method`` after its last round, for tasks that have ``metric``."""
    own = [record for record in records if record["method"] == method and metric in record]
    last = max((record["round"] for record in own), default=0)
    return [record for record in own if record["round"] == last]


def question_scores(
    records: Iterable[Mapping[str, Any]],
    method: str,
    metric: str,
    owners: Mapping[str, Sequence[int]] | None = None,
) -> TaskScores:
    """Return the scores of ``method`` after its last round, per task and question, as means over devices.

    Args:
        records: the scorings of one exam.
        method: whose scores.
        metric: what is compared.
        owners: per task the devices that count; None for all.

    Only questions that every scoring of a task answered are kept, so that every question covers the same devices.
    """
    parts: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for record in latest(records, method, metric):
        devices = [d for d in record["devices"] if owners is None or d in owners.get(record["task"], ())]
        if devices:
            scores = scores_of(record, metric)
            parts.setdefault(record["task"], []).append((len(devices), scores))
    result = {}
    for task, scorings in parts.items():
        common = [q for q in scorings[0][1] if all(q in scores for _, scores in scorings)]
        weight = sum(devices for devices, _ in scorings)
        result[task] = {q: sum(d * scores[q] for d, scores in scorings) / weight for q in common}
    return result


def paired(first: TaskScores, second: TaskScores, metric: str) -> Difference | None:
    """Return the paired difference first - second over the questions both answered, as computed by
    :func:`~meshtune.evaluation.intervals.mean_difference`; None if there are none.
    """
    gaps, cores = [], []
    for task, scores in first.items():
        others = second.get(task, {})
        shared = [question for question in scores if question in others]
        if shared:
            gaps.append([scores[question] - others[question] for question in shared])
            cores.append([getattr(question, "core", question) for question in shared])
    if not gaps:
        return None
    found = mean_difference(gaps, metric, cores)
    count, different = sum(map(len, gaps)), sum(len(set(each)) for each in cores)
    repeated = different if different < count else None
    return Difference(found.value, found.low, found.high, count, len(gaps), all_equal(gaps), repeated)


def scores_of(record: Mapping[str, Any], metric: str) -> dict[str, float]:
    """Return one scoring's scores by question; ids have their core where it is known."""
    ids, cores = record["questions"], record.get("cores")
    if cores is not None:
        ids = [QuestionId.of(name, core) for name, core in zip(ids, cores, strict=True)]
    return dict(zip(ids, record[metric], strict=True))
