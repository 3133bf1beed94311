"""Radio costs of every method of a run: time on the virtual clock, energy, and losses."""

from __future__ import annotations

from meshtune.report.result_tables import Table, joules_text, seconds_text
from meshtune.report.results_file import Results


def air_table(results: Results) -> Table:
    """Return each method's virtual seconds, joules and airtime, and counts of outages, losses, late and absent devices.

    It has no rows if links were free.
    """
    table = Table(
        "Time and energy over the air, if every device had its own radio and processor",
        ["method", "time", "sending", "computing", "on the air", "outages", "lost", "late", "away"],
        note="Time is the virtual clock's; energy and airtime are over all devices. Outages are links, lost payloads; "
        "late and away are devices, summed over rounds.",
    )
    for method, cost in results.header.methods.items():
        if cost.clock is None:
            continue
        rounds = cost.clock.per_round
        table.rows.append(
            [
                method,
                seconds_text(cost.clock.seconds),
                *(joules_text(sum(rounds.get(kind, ()))) for kind in ("sending", "computing")),
                seconds_text(cost.clock.airtime),
                *(f"{sum(rounds.get(kind, ())):g}" for kind in ("outages", "lost", "late", "away")),
            ]
        )
    return table
