"""Which measure shows what a run did, and how its values and differences are put into words.

Accuracy is what people understand, but with a small model on hard tasks it hardly moves while NLL does. So a run is
told in accuracy where some method raised it by :data:`MOVED` or more over the frozen model, and in NLL otherwise.
"""

from __future__ import annotations

from meshtune.evaluation.intervals import bounded
from meshtune.report.results_file import Results
from meshtune.report.scores import Difference

MOVED = 0.2
ENOUGH = 20


def headline(results: Results) -> str:
    """Return ``acc`` where some method's average is :data:`MOVED` or more above the frozen model's, else ``nll``."""
    frozen = results.average("frozen", "acc")
    found = [average.value for name in results.methods if (average := results.average(name, "acc")) is not None]
    # Rounded: a gain of 20 points must not fail to be one by the last bit of a float.
    return "acc" if frozen is not None and found and round(max(found) - frozen.value, 9) >= MOVED else "nll"


def lower_is_better(metric: str) -> bool:
    """Return whether less of ``metric`` is better."""
    return not bounded(metric)


def value_text(value: float, metric: str) -> str:
    """Return a value for people: ``86%``, or ``3.05`` of an NLL."""
    return f"{value:.2f}" if lower_is_better(metric) else f"{100 * value:.0f}%"


def verdict(gap: Difference, metric: str) -> str:
    """Return what may be claimed of a difference: ``clearly better``, ``clearly worse``, ``exactly as good`` or
    ``not clearly different``.

    Clear is a difference whose 95% interval leaves out zero, over at least :data:`ENOUGH` questions: the interval of
    fewer is not to be trusted. A difference that is the same on as many questions needs no interval.
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
    return f"{said} ({mean} {unit}, 95% interval {low} to {high})"


def than(said: str, other: str) -> str:
    """Return a claim with what it is compared to after its verdict: ``clearly better than alone (...)``."""
    words, bracket, rest = said.partition(" (")
    link = {"different": "from", "good": "as"}.get(words.rpartition(" ")[2], "than")
    return f"{words} {link} {other}{bracket}{rest}"
