"""A run's findings, in one paragraph of plain words.

Every number comes from the run's results and scores. Better or worse is claimed only if the paired 95% interval
supports it. What a run did not measure is not mentioned.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.report.measure import MOVED, claim, headline, lower_is_better, than, value_text
from meshtune.report.owners import Records, harmed, losers, own_average, owners_of, together, weakest
from meshtune.report.result_tables import bytes_text, joules_text, seconds_text
from meshtune.report.results_file import Results
from meshtune.report.scores import paired, question_scores

RIVALS = {
    "lora": "LoRA averaged every round",
    "oracle": "the same experts with a perfect router (oracle)",
    "hard_moe": "single experts with a perfect router (hard_moe)",
}


def story(results: Results, records: Records) -> str:
    """Return the paragraph.

    Args:
        results: the run.
        records: the scorings of its exam.
    """
    metric, records = headline(results), results.learnt(records)
    told = [_who(results), _unlearnt(results), *_before(results, metric)]
    subject = protagonist(results)
    if subject is not None:
        told += _after(results, records, metric, subject)
        told += [_rival(results, records, metric, subject, rival) for rival in RIVALS if rival != subject]
        told += [_sent(results, subject), _on_air(results, subject), weakest(results, records, metric, subject)]
        told += [together(results, records, metric, subject), losers(results, metric, subject)]
        told.append(harmed(results, records, subject))
        if metric == "nll":
            told.append(_accuracy(results, records, subject))
    return " ".join(sentence for sentence in told if sentence)


def protagonist(results: Results) -> str | None:
    """Return a run's main method: ``proposed`` if it ran, else the first that exchanges anything."""
    names = [name for name in results.methods if ":" not in name and name not in ("frozen", "local")]
    return "proposed" if "proposed" in names else next(iter(names), None)


def _who(results: Results) -> str:
    sizes = {len(devices) for devices in results.header.groups.values()} or {0}
    low, high = min(sizes), max(sizes)
    each = "" if not low else f", {low} on each" if low == high else f", {low} to {high} on each"
    rounds = max((row.round for row in results.rows), default=0)
    return (
        f"{_count(len(results.devices), 'device')} learnt {_count(len(_learnt(results)), 'task')}{each}, "
        f"in {_count(rounds, 'round')}; then every device was asked the questions of every task."
    )


def _unlearnt(results: Results) -> str:
    """Return the sentence on tasks that were asked but not learnt by any device."""
    names = results.unlearnt
    if not names:
        return ""
    they = "it is" if len(names) == 1 else "they are"
    return f"No device learnt {_listed(names)}: {they} asked too, and left out of what follows."


def _learnt(results: Results) -> list[str]:
    """Return the tasks that devices learnt; the others were only asked."""
    return list(results.header.groups) or results.tasks


def _before(results: Results, metric: str) -> list[str]:
    told = []
    judged, learnt = set(results.tasks_with("acc")), set(results.tasks) - set(results.unlearnt)
    if lower_is_better(metric):
        why = f"Accuracy moved by less than {100 * MOVED:.0f} points" if judged else "No answer is right or wrong"
        told.append(f"{why}, so this is told in NLL per answer token, of which less is better.")
    elif learnt - judged:
        left = [task for task in results.tasks if task in learnt - judged]
        told.append(f"Answers to {_listed(left)} are neither right nor wrong and left out of what follows.")
    frozen = results.average("frozen", metric)
    if frozen is not None:
        has = (
            f"has {frozen.value:.2f}"
            if lower_is_better(metric)
            else f"answers {value_text(frozen.value, metric)} right"
        )
        told.append(f"The frozen model {has}.")
    own = own_average(results, "local", metric, owners_of(results, metric))
    everything = results.average("local", metric)
    if own is not None:
        rest = f", and {value_text(everything.value, metric)} over all tasks" if everything is not None else ""
        told.append(f"A device that trains alone reaches {value_text(own, metric)} on its own task{rest}.")
    return told


def _after(results: Results, records: Records, metric: str, subject: str) -> list[str]:
    average = results.average(subject, metric)
    if average is None:
        return []
    who, base, name = "it", "local", "training alone"
    if base not in results.methods:
        who, base, name = "a device", "frozen", "the frozen model"
    gap = paired(question_scores(records, subject, metric), question_scores(records, base, metric), metric)
    told = f"With the exchange ({subject}) {who} reaches {value_text(average.value, metric)} over all tasks"
    told += f", {than(claim(gap, metric), name)}" if gap is not None else ""
    own = own_average(results, subject, metric, owners_of(results, metric))
    return [told + (f", and {value_text(own, metric)} on its own." if own is not None else ".")]


def _rival(results: Results, records: Records, metric: str, subject: str, rival: str) -> str:
    average = results.average(rival, metric)
    gap = paired(question_scores(records, subject, metric), question_scores(records, rival, metric), metric)
    if average is None or gap is None:
        return ""
    name = RIVALS[rival]
    verb = "get" if "experts" in RIVALS[rival] else "gets"
    text = f"{name[0].upper()}{name[1:]} {verb} {value_text(average.value, metric)}"
    return f"{text}; {subject} is {than(claim(gap, metric), 'that')}."


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


def _accuracy(results: Results, records: Records, subject: str) -> str:
    before, after = results.average("frozen", "acc"), results.average(subject, "acc")
    gap = paired(question_scores(records, subject, "acc"), question_scores(records, "frozen", "acc"), "acc")
    if before is None or after is None or gap is None:
        return ""
    return (
        f"In accuracy, {subject} reaches {value_text(after.value, 'acc')} and the frozen model "
        f"{value_text(before.value, 'acc')}: {than(claim(gap, 'acc'), 'the frozen model')}."
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
