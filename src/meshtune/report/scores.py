"""Per-question scores of a run (``scores.jsonl``) and paired differences between two methods.

Methods of one run answer the same questions, so their difference is known far better than either mean: the
questions' own difficulty cancels. Tasks weigh the same, whatever their number of questions (stratified by
task).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Any

from meshtune.engine.store import RunStore

Z95 = NormalDist().inv_cdf(0.975)

TaskScores = Mapping[str, Mapping[str, float]]
"""Task to question id to score, the mean over devices."""


@dataclass(frozen=True)
class Difference:
    """A paired difference of two methods with its 95% interval.

    Attributes:
        mean: first minus second, mean over tasks of means over questions.
        stderr: its standard error.
        questions: pairs behind it.
        tasks: tasks behind it.
    """

    mean: float
    stderr: float
    questions: int
    tasks: int

    @property
    def low(self) -> float:
        """Lower end of the 95% interval."""
        return self.mean - Z95 * self.stderr

    @property
    def high(self) -> float:
        """Upper end of the 95% interval."""
        return self.mean + Z95 * self.stderr


def read_scores(path: Path) -> list[dict[str, Any]]:
    """Return the scorings in the run folder ``path``, each once; none where there is no ``scores.jsonl``.

    Raises:
        UserError: lines are damaged or gone.
    """
    return RunStore(path).read_scores()


def of_exam(records: Sequence[Mapping[str, Any]], exam: str | None) -> list[Mapping[str, Any]]:
    """Return the scorings of one exam: those signed ``exam``, or as the last one is where ``exam`` is None.

    A run may have sat several exams (other questions, another template); their scores must not be mixed.
    """
    mark = exam if exam is not None or not records else records[-1].get("signature")
    return [record for record in records if record.get("signature") == mark]


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

    Only questions that every scoring of a task answered are kept, so that no question stands for fewer
    devices than another.
    """
    own = [r for r in records if r["method"] == method and metric in r]
    last = max((r["round"] for r in own), default=0)
    parts: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for record in own:
        devices = [d for d in record["devices"] if owners is None or d in owners.get(record["task"], ())]
        if record["round"] == last and devices:
            scores = dict(zip(record["questions"], record[metric], strict=True))
            parts.setdefault(record["task"], []).append((len(devices), scores))
    result = {}
    for task, scorings in parts.items():
        common = [q for q in scorings[0][1] if all(q in scores for _, scores in scorings)]
        weight = sum(devices for devices, _ in scorings)
        result[task] = {q: sum(d * scores[q] for d, scores in scorings) / weight for q in common}
    return result


def paired(first: TaskScores, second: TaskScores) -> Difference | None:
    """Return the paired difference first - second over the questions both answered; None where there are
    none.

    Per task: mean and standard error (sd / sqrt n) of the differences. Over T tasks: mean of the means, and
    sqrt(sum of squared standard errors) / T. A task with a single pair has no standard error: nan.
    """
    means, variances, questions = [], [], 0
    for task in first:
        shared = [q for q in first[task] if q in second.get(task, {})]
        if not shared:
            continue
        gaps = [first[task][q] - second[task][q] for q in shared]
        means.append(fmean(gaps))
        variances.append(stdev(gaps) ** 2 / len(gaps) if len(gaps) > 1 else math.nan)
        questions += len(gaps)
    if not means:
        return None
    return Difference(fmean(means), math.sqrt(sum(variances)) / len(means), questions, len(means))
