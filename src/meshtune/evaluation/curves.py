"""A method's scores by round against seconds and joules on its virtual clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from meshtune.network.virtual_clock import RoundCosts, elapsed, joules
from meshtune.runs.metrics import metrics_in


def whole(scores: Sequence[Mapping[str, Any]], last: int) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the scorings of one exam without earlier rounds that have lost some, and a note on each such round.

    Args:
        scores: the scorings, each once.
        last: the round that is complete: whatever each method answered then, it also answered in earlier rounds.
    """
    answered: dict[tuple[str, int], set[tuple[int, str]]] = {}
    for record in scores:
        pairs = {(device, record["task"]) for device in record["devices"]}
        answered.setdefault((record["method"], record["round"]), set()).update(pairs)
    short: dict[int, list[str]] = {}
    for (label, round_), pairs in answered.items():
        if round_ < last and answered.get((label, last), pairs) != pairs:
            short.setdefault(round_, []).append(label)
    notes = [
        f"some scores after round {round_} are gone ({', '.join(labels)}), as are that round's experts: the curves "
        "leave it out"
        for round_, labels in sorted(short.items())
    ]
    return [record for record in scores if record["method"] not in short.get(record["round"], ())], notes


def curves(scores: Sequence[Mapping[str, Any]], clocks: Mapping[str, RoundCosts]) -> dict[str, list[dict[str, float]]]:
    """Return, for every method with a clock and each of its further routers, one point per scored round.

    Args:
        scores: the scorings of one exam, of all rounds.
        clocks: by method.

    Returns:
        By name as in the rows, rounds ascending: ``round``, ``seconds`` and ``joules`` from the start to the end of
        it, and every metric, averaged over devices and then over the exams that have it.
    """
    found: dict[tuple[str, int], dict[str, dict[str, list[float]]]] = {}
    for record in scores:
        if record["method"].split(":")[0] in clocks:
            point = found.setdefault((record["method"], record["round"]), {})
            for metric in metrics_in(record):
                values = point.setdefault(metric, {}).setdefault(record["task"], [])
                values += [fmean(record[metric])] * len(record["devices"])
    result: dict[str, list[dict[str, float]]] = {}
    for (label, round_), metrics in sorted(found.items(), key=lambda item: item[0][1]):
        so_far = clocks[label.split(":")[0]][: round_ + 1]
        means = {metric: fmean(fmean(values) for values in tasks.values()) for metric, tasks in metrics.items()}
        spent = {"round": round_, "seconds": elapsed(so_far), "joules": joules(so_far)}
        result.setdefault(label, []).append({**spent, **means})
    return result
