"""The measure for a run's summary, and the wording of its values and differences.

Accuracy is easy to understand, but with a small model on hard tasks it hardly changes while NLL does. So a summary uses
accuracy if some method raised it by :data:`MOVED` or more over the frozen model, and NLL otherwise.
"""

from __future__ import annotations

from meshtune.evaluation.intervals import bounded
from meshtune.report.results_file import Results
from meshtune.report.scores import Difference

MOVED = 0.2
ENOUGH = 20


def headline(results: Results) -> str:
    """Return ``acc`` if some method's average is :data:`MOVED` or more above the frozen model's, else ``nll``."""
    frozen = results.average("frozen", "acc")
    found = [average.value for name in results.methods if (average := results.average(name, "acc")) is not None]
    # Rounded: a gain of exactly 20 points must not be missed by the last bit of a float.
    return "acc" if frozen is not None and found and round(max(found) - frozen.value, 9) >= MOVED else "nll"


def lower_is_better(metric: str) -> bool:
    """Return whether less of ``metric`` is better."""
    return not bounded(metric)


def value_text(value: float, metric: str) -> str:
    """Return a value as shown in a summary: ``86%``, or ``3.05`` for an NLL."""
    return f"{value:.2f}" if lower_is_better(metric) else f"{100 * value:.0f}%"


def verdict(gap: Difference, metric: str) -> str:
    """Return what a difference shows: ``clearly better``, ``clearly worse``, ``exactly as good`` or ``not clearly
    different``.

    A difference is clear if its 95% interval excludes zero, over at least :data:`ENOUGH` questions; with fewer, the
    interval is not reliable. A difference that is the same on that many questions needs no interval.
    """
    if gap.mean == 0 and gap.equal:
        return "exactly as good"
    unclear = gap.low <= 0 <= gap.high if gap.known else not gap.equal
    if unclear or gap.questions < ENOUGH:
        return "not clearly different"
    return "clearly better" if (gap.mean < 0) == lower_is_better(metric) else "clearly worse"


def claim(gap: Difference, metric: str) -> str:
    """Return :func:`verdict` with the difference and its 95% interval in brackets."""
    said = verdict(gap, metric)
    count = f"{gap.questions} question{'' if gap.questions == 1 else 's'}"
    if said == "exactly as good":
        return f"{said} (the same on {'the one question' if gap.questions == 1 else f'all {count}'})"
    scale, digits, unit = (1, 3, "NLL") if lower_is_better(metric) else (100, 1, "points")
    mean, low, high = (f"{scale * value:+.{digits}f}" for value in (gap.mean, gap.low, gap.high))
    if gap.questions < ENOUGH:
        return f"{said} ({mean} {unit}, from {count} only)"
    if not gap.known:
        return f"{said} ({mean} {unit}{f' on each of {count}' if gap.equal else ''})"
    different = "" if gap.cores is None else f", {gap.cores} of them different"
    return f"{said} ({mean} {unit}, 95% interval {low} to {high} over {count}{different})"


def than(said: str, other: str) -> str:
    """Return a claim with its reference after the verdict: ``clearly better than alone (...)``."""
    words, bracket, rest = said.partition(" (")
    link = {"different": "from", "good": "as"}.get(words.rpartition(" ")[2], "than")
    return f"{words} {link} {other}{bracket}{rest}"
