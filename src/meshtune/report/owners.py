"""What the exchange does to single devices and to their own tasks, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from meshtune.config.learning_config import lower_rate
from meshtune.report.measure import ENOUGH, claim, lower_is_better, than, value_text, verdict
from meshtune.report.results_file import Results
from meshtune.report.scores import latest, paired, question_scores, scores_of

Records = Sequence[Mapping[str, Any]]
Owners = Mapping[str, Sequence[int]]


def own_average(results: Results, method: str, metric: str, owners: Owners) -> float | None:
    """Return the mean over the tasks of ``owners`` of their devices' values; None unless every task has a value."""
    values = {(row.device, row.task): row.value for row in results.final(method, metric)}
    means = [[values[d, task] for d in devices if (d, task) in values] for task, devices in owners.items()]
    return fmean(fmean(mine) for mine in means) if means and all(means) else None


def owners_of(results: Results, metric: str) -> Owners:
    """Return the devices of every trained task that ``metric`` measures."""
    measured = results.tasks_with(metric)
    return {task: devices for task, devices in results.header.groups.items() if task in measured}


def weakest(results: Results, records: Records, metric: str, subject: str) -> str:
    """Return which answers are the weakest, and for how many device-task pairs the frozen model is not beaten."""
    tasks = set(results.tasks_with(metric, learnt=True))
    rows = [row for row in results.final(subject, metric) if row.task in tasks]
    if len(tasks) < 2 or not rows:
        return ""
    worst = (max if lower_is_better(metric) else min)(rows, key=lambda row: row.value)
    alike = all(row.value == worst.value for row in rows if row.task == worst.task)
    whose = "" if alike and len(results.devices) > 1 else f" of device {worst.device}"
    told = f"the weakest answers are those{whose} on {worst.task}, {value_text(worst.value, metric)}"
    frozen = question_scores(records, "frozen", metric)
    pairs = dull = 0
    for record in latest(records, subject, metric):  # devices with identical answers share a scoring
        scores = {record["task"]: scores_of(record, metric)}
        gap = paired(scores, frozen, metric)
        if gap is not None and gap.questions >= ENOUGH:
            pairs += len(record["devices"])
            dull += len(record["devices"]) * (verdict(gap, metric) != "clearly better")
    if not pairs or pairs < len(results.devices) * len(tasks):
        return f"{told[0].upper()}{told[1:]}."
    if not dull:
        return f"Every device is clearly better than the frozen model at every task; {told}."
    return f"In {dull} of {pairs} pairs of device and task, the frozen model is not clearly beaten; {told}."


def together(results: Results, records: Records, metric: str, subject: str) -> str:
    """Return the gain from sharing a task with other devices; an empty text if no devices do."""
    shared = {task: devices for task, devices in owners_of(results, metric).items() if len(devices) > 1}
    after, alone = (own_average(results, name, metric, shared) for name in (subject, "local"))
    gap = paired(
        question_scores([r for r in records if r["task"] in shared], subject, metric, shared),
        question_scores([r for r in records if r["task"] in shared], "local", metric, shared),
        metric,
    )
    if after is None or alone is None or gap is None:
        return ""
    return (
        f"Devices that share a task reach {value_text(after, metric)} on it after the exchange and "
        f"{value_text(alone, metric)} alone: sharing is {than(claim(gap, metric), 'training alone')}."
    )


def losers(results: Results, metric: str, subject: str) -> str:
    """Return how many devices score lower on their own task than alone, at the printed precision, and which most."""
    alone, after = ({(r.device, r.task): r.value for r in results.final(m, metric)} for m in ("local", subject))
    sign = -1 if lower_is_better(metric) else 1
    own = [(d, task) for task, devices in owners_of(results, metric).items() for d in devices]
    gains = {key: sign * (after[key] - alone[key]) for key in own if key in alone and key in after}
    worse = [
        key
        for key, gain in gains.items()
        if gain < 0 and value_text(alone[key], metric) != value_text(after[key], metric)
    ]
    if not worse:
        return ""
    worst = min(worse, key=lambda key: gains[key])
    before, now = (value_text(values[worst], metric) for values in (alone, after))
    most = f"device {worst[0]} ({worst[1]}, {before} to {now})"
    who = (
        f"1 of {len(gains)} devices, {most}, does worse on its own task"
        if len(worse) == 1
        else f"{len(worse)} of {len(gains)} devices, {most} most, do worse on their own tasks"
    )
    return f"The exchange can cost an owner something: {who} than alone."


def harmed(results: Results, records: Records, subject: str) -> str:
    """Return which devices ended clearly worse than the frozen model at their own task, and what to change."""
    worse = []
    for task, devices in owners_of(results, "nll").items():
        frozen = question_scores(records, "frozen", "nll", {task: devices})
        for device in devices:
            gap = paired(question_scores(records, subject, "nll", {task: [device]}), frozen, "nll")
            if gap is not None and verdict(gap, "nll") == "clearly worse":
                worse.append((device, task, gap))
    cost = results.header.methods.get(subject)
    if not worse or cost is None or cost.lr is None:
        return ""
    device, task, gap = worse[0]
    others = len(worse) - 1
    more = f", as {others} other device{'s are' if others > 1 else ' is'} at {'theirs' if others > 1 else 'its own'}"
    rates = [cost.lr] if cost.common_lr is None else [cost.lr, cost.common_lr]
    lower = dict.fromkeys(f"the setting `{lower_rate(rate.key, rate.value, rate.found)}`" for rate in rates)
    return (
        f"At its own task, {task}, device {device} is {than(claim(gap, 'nll'), 'the frozen model')}"
        f"{more if others else ''}: run again in another folder with {' and '.join(lower)}."
    )
