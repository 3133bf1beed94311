"""What a run found, in one paragraph of plain words.

Every number comes from the run's results and scores, and better or worse is claimed only where the paired 95% interval
says so. What a run did not measure is not mentioned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from meshtune.learning.config import lower_rate
from meshtune.report.measure import ENOUGH, MOVED, claim, headline, lower_is_better, value_text, verdict
from meshtune.report.results import Results
from meshtune.report.scores import paired, question_scores
from meshtune.report.tables import bytes_text, joules_text, seconds_text

Records = Sequence[Mapping[str, Any]]
Owners = Mapping[str, Sequence[int]]

RIVALS = {
    "lora": "LoRA averaged every round",
    "hard_moe": "the same experts with a perfect router (hard_moe)",
}


def story(results: Results, records: Records) -> str:
    """Return the paragraph.

    Args:
        results: the run.
        records: the scorings of its exam.
    """
    metric = headline(results)
    told = [_who(results), *_before(results, metric)]
    subject = protagonist(results)
    if subject is not None:
        told += _after(results, records, metric, subject)
        told += [_rival(results, records, metric, subject, rival) for rival in RIVALS if rival != subject]
        told += [_sent(results, subject), _on_air(results, subject), _weakest(results, records, metric, subject)]
        told += [_together(results, records, metric, subject), _harmed(results, records, subject)]
        if metric == "nll":
            told.append(_accuracy(results, records, subject))
    return " ".join(sentence for sentence in told if sentence)


def protagonist(results: Results) -> str | None:
    """Return the method a run is about: ``proposed`` where it ran, else the first that exchanges anything."""
    names = [name for name in results.methods if ":" not in name and name not in ("frozen", "local")]
    return "proposed" if "proposed" in names else next(iter(names), None)


def own_average(results: Results, method: str, metric: str, owners: Owners) -> float | None:
    """Return the mean over the tasks of ``owners`` of their devices' values; None unless every task has some."""
    values = {(row.device, row.task): row.value for row in results.final(method, metric)}
    means = [[values[d, task] for d in devices if (d, task) in values] for task, devices in owners.items()]
    return fmean(fmean(mine) for mine in means) if means and all(means) else None


def _who(results: Results) -> str:
    sizes = {len(devices) for devices in results.header.groups.values()} or {0}
    low, high = min(sizes), max(sizes)
    each = "" if not low else f", {low} on each" if low == high else f", {low} to {high} on each"
    rounds = max((row.round for row in results.rows), default=0)
    return (
        f"{_count(len(results.devices), 'device')} learnt {_count(len(_learnt(results)), 'task')}{each}, "
        f"in {_count(rounds, 'round')}; then every device was asked the questions of every task."
    )


def _learnt(results: Results) -> list[str]:
    """Return the tasks that devices learnt; the others were only asked."""
    return list(results.header.groups) or results.tasks


def _owners(results: Results, metric: str) -> Owners:
    """Return the devices of every task that was learnt and is measured by ``metric``."""
    measured = results.tasks_with(metric)
    return {task: devices for task, devices in results.header.groups.items() if task in measured}


def _before(results: Results, metric: str) -> list[str]:
    told = []
    judged = results.tasks_with("acc")
    if lower_is_better(metric):
        why = f"Accuracy moved by less than {100 * MOVED:.0f} points" if judged else "No answer is right or wrong"
        told.append(f"{why}, so this is told in NLL per answer token, of which less is better.")
    elif len(judged) < len(results.tasks):
        left = [task for task in results.tasks if task not in judged]
        told.append(f"Answers to {' and '.join(left)} are neither right nor wrong and left out of what follows.")
    frozen = results.average("frozen", metric)
    if frozen is not None:
        has = f"has {frozen[0]:.2f}" if lower_is_better(metric) else f"answers {value_text(frozen[0], metric)} right"
        told.append(f"The frozen model {has}.")
    own = own_average(results, "local", metric, _owners(results, metric))
    everything = results.average("local", metric)
    if own is not None:
        rest = f", and {value_text(everything[0], metric)} over all tasks" if everything is not None else ""
        told.append(f"A device that trains alone reaches {value_text(own, metric)} on its own task{rest}.")
    return told


def _after(results: Results, records: Records, metric: str, subject: str) -> list[str]:
    average = results.average(subject, metric)
    if average is None:
        return []
    who, base, name = "it", "local", "training alone"
    if base not in results.methods:
        who, base, name = "a device", "frozen", "the frozen model"
    gap = paired(question_scores(records, subject, metric), question_scores(records, base, metric))
    told = f"With the exchange ({subject}) {who} reaches {value_text(average[0], metric)} over all tasks"
    told += f", {_than(claim(gap, metric), name)}" if gap is not None else ""
    own = own_average(results, subject, metric, _owners(results, metric))
    return [told + (f", and {value_text(own, metric)} on its own." if own is not None else ".")]


def _rival(results: Results, records: Records, metric: str, subject: str, rival: str) -> str:
    average = results.average(rival, metric)
    gap = paired(question_scores(records, subject, metric), question_scores(records, rival, metric))
    if average is None or gap is None:
        return ""
    name = RIVALS[rival]
    verb = "get" if rival == "hard_moe" else "gets"
    text = f"{name[0].upper()}{name[1:]} {verb} {value_text(average[0], metric)}"
    return f"{text}; {subject} is {_than(claim(gap, metric), 'that')}."


def _sent(results: Results, subject: str) -> str:
    sent = {name: sum(cost.bytes.values()) for name, cost in results.header.methods.items()}
    if not sent.get(subject):
        return ""
    text = f"All devices together sent {bytes_text(sent[subject])}"
    if subject == "lora" or not sent.get("lora"):
        return f"{text}."
    ratio = sent["lora"] / sent[subject]
    if 0.95 < ratio < 1.05:
        return f"{text}, about as much as LoRA ({bytes_text(sent['lora'])})."
    times = f"{ratio:.0f} times less" if ratio >= 9.5 else f"{ratio:.1f} times less"
    if ratio < 1:
        times = f"{1 / ratio:.1f} times more"
    return f"{text}, {times} than LoRA ({bytes_text(sent['lora'])})."


def _on_air(results: Results, subject: str) -> str:
    network, clocks = results.header.network, {name: cost.clock for name, cost in results.header.methods.items()}
    clock = clocks.get(subject)
    if network is None or clock is None:
        return ""
    clusters, links = len(network.clusters), len(network.links)
    joined = f", joined by {_count(links, 'link')}" if links else ""
    sending = sum(clock.per_round.get("sending", ()))
    told = (
        f"Over the air they formed {_count(clusters, 'cluster')}{joined}; it took {seconds_text(clock.seconds)} on the "
        f"virtual clock and {joules_text(clock.joules)}, {joules_text(sending)} of it for sending."
    )
    other = clocks.get("lora") if subject != "lora" else None
    if other is not None and other.outages != clock.outages:
        told += f" LoRA's updates met a link in outage {_times(other.outages)}, {subject}'s {_times(clock.outages)}."
    return told


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _weakest(results: Results, records: Records, metric: str, subject: str) -> str:
    rows, tasks = results.final(subject, metric), results.tasks_with(metric)
    if len(tasks) < 2 or not rows:
        return ""
    worst = (max if lower_is_better(metric) else min)(rows, key=lambda row: row.value)
    alike = all(row.value == worst.value for row in rows if row.task == worst.task)
    whose = "" if alike and len(results.devices) > 1 else f" of device {worst.device}"
    weakest = f"the weakest answers are those{whose} on {worst.task}, {value_text(worst.value, metric)}"
    frozen = question_scores(records, "frozen", metric)
    gaps = []
    for device in results.devices:
        mine = question_scores(records, subject, metric, {task: [device] for task in tasks})
        gaps += [paired({task: scores}, frozen) for task, scores in mine.items()]
    known = [gap for gap in gaps if gap is not None and gap.questions >= ENOUGH]
    if not known or len(known) < len(results.devices) * len(tasks):
        return f"{weakest[0].upper()}{weakest[1:]}."
    dull = sum(verdict(gap, metric) != "clearly better" for gap in known)
    if not dull:
        return f"Every device is clearly better than the frozen model at every task; {weakest}."
    return f"In {dull} of {len(known)} pairs of device and task, the frozen model is not clearly beaten; {weakest}."


def _together(results: Results, records: Records, metric: str, subject: str) -> str:
    shared = {task: devices for task, devices in _owners(results, metric).items() if len(devices) > 1}
    together, alone = (own_average(results, name, metric, shared) for name in (subject, "local"))
    gap = paired(
        question_scores([r for r in records if r["task"] in shared], subject, metric, shared),
        question_scores([r for r in records if r["task"] in shared], "local", metric, shared),
    )
    if together is None or alone is None or gap is None:
        return ""
    return (
        f"Devices that share a task reach {value_text(together, metric)} on it after the exchange and "
        f"{value_text(alone, metric)} alone: sharing is {_than(claim(gap, metric), 'training alone')}."
    )


def _harmed(results: Results, records: Records, subject: str) -> str:
    """Return which devices ended clearly worse than the frozen model at their own task, and what to change."""
    worse = []
    for task, devices in results.header.groups.items():
        frozen = question_scores(records, "frozen", "nll", {task: devices})
        for device in devices:
            gap = paired(question_scores(records, subject, "nll", {task: [device]}), frozen)
            if gap is not None and verdict(gap, "nll") == "clearly worse":
                worse.append((device, task, gap))
    cost = results.header.methods.get(subject)
    if not worse or cost is None or cost.lr is None:
        return ""
    device, task, gap = worse[0]
    more = f", as {_count(len(worse) - 1, 'other device')} at theirs" if len(worse) > 1 else ""
    lower = lower_rate(cost.lr.key, cost.lr.value, cost.lr.found)
    return (
        f"At its own task, {task}, device {device} is {_than(claim(gap, 'nll'), 'the frozen model')}{more}: "
        f"run again in another folder with --set {lower}."
    )


def _accuracy(results: Results, records: Records, subject: str) -> str:
    before, after = results.average("frozen", "acc"), results.average(subject, "acc")
    gap = paired(question_scores(records, subject, "acc"), question_scores(records, "frozen", "acc"))
    if before is None or after is None or gap is None:
        return ""
    return (
        f"In accuracy, {subject} reaches {value_text(after[0], 'acc')} and the frozen model "
        f"{value_text(before[0], 'acc')}: {_than(claim(gap, 'acc'), 'the frozen model')}."
    )


def _than(said: str, other: str) -> str:
    """Return a claim with what it is compared to behind its verdict: ``clearly better than alone (...)``."""
    words, bracket, rest = said.partition(" (")
    link = {"different": "from", "good": "as"}.get(words.rpartition(" ")[2], "than")
    return f"{words} {link} {other}{bracket}{rest}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
