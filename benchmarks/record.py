"""What all benchmarks of a speed target share: paired timing, the row of a target, the table and its file.

A row is a ratio measured in one run. Rivals take turns (A B A B ...), so that a machine that drifts drifts for both,
and the ratio is taken turn by turn: its median, lowest and highest make the row. Every turn says how many cores other
processes kept busy meanwhile: where that is not near 0, two threads wait for each other and the numbers mean little.

    python benchmarks/record.py growth.json training.json    # one table of what several scripts wrote with --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

LATEST = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True)
class Row:
    """One target and what was measured of it.

    Attributes:
        name: what is compared with what.
        ratio: the median over turns; ``low`` and ``high``: the extremes.
        target: what was aimed at, for example ``>= 2``.
        met: whether the median does.
    """

    name: str
    ratio: float
    low: float
    high: float
    target: str
    met: bool


def at_least(name: str, ratios: Sequence[float], target: float) -> Row:
    """Return the row of a ratio that should be ``target`` or more."""
    middle = statistics.median(ratios)
    return Row(name, middle, min(ratios), max(ratios), f">= {target:g}", middle >= target)


def at_most(name: str, ratios: Sequence[float], target: float) -> Row:
    """Return the row of a ratio that should be ``target`` or less."""
    middle = statistics.median(ratios)
    return Row(name, middle, min(ratios), max(ratios), f"<= {target:.4g}", middle <= target)


def over(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of every turn."""
    return [a / b for a, b in zip(above, below, strict=True)]


def busy() -> tuple[float, float]:
    """Return the processor seconds that the machine and this process have used so far."""
    whole, mine = psutil.cpu_times(), psutil.Process().cpu_times()
    stolen = getattr(whole, "steal", 0.0)  # by neighbours of a virtual machine
    return whole.user + whole.nice + whole.system + stolen, mine.user + mine.system


def exponent(counts: Sequence[float], values: Sequence[float]) -> float:
    """Return e of values growing as counts^e: the slope of log value against log count, by least squares."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0])


def clock(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def turns(cases: Mapping[str, Callable[[], object]], runs: int, warm: bool = False) -> dict[str, list[float]]:
    """Return the seconds of every case in each of ``runs`` turns; in a turn the cases run one after the other.

    Args:
        cases: what is timed, by name.
        runs: how many turns.
        warm: run everything once before, untimed.
    """
    if warm:
        for work in cases.values():
            work()
    found: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(runs):
        for name, work in cases.items():
            before = busy()
            found[name].append(clock(work))
            machine, mine = (now - then for now, then in zip(busy(), before, strict=True))
            others = max(0.0, machine - mine) / found[name][-1]
            print(f"turn {turn + 1}: {name} {found[name][-1]:.2f} s, others kept {others:.2f} cores busy", flush=True)
    return found


def show(rows: Sequence[Row]) -> None:
    """Print the table and how many targets are met."""
    table = Table("what", "ratio", "low", "high", "target", "met")
    for row in rows:
        numbers = (f"{value:.4g}" for value in (row.ratio, row.low, row.high))
        table.add_row(row.name, *numbers, row.target, "yes" if row.met else "no")
    wide = None if sys.stdout.isatty() else 140
    Console(width=wide, highlight=False).print(table)
    print(f"{sum(row.met for row in rows)} of {len(rows)} targets met")


def write(rows: Sequence[Row], path: Path = LATEST) -> None:
    """Write the rows as a JSON list, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def read(paths: Iterable[Path]) -> list[Row]:
    """Return the rows that :func:`write` wrote, file after file."""
    return [Row(**row) for path in paths for row in json.loads(path.read_text(encoding="utf-8"))]


def report(rows: Sequence[Row], path: Path | None) -> None:
    """Print the rows and, where a path is given, write them there."""
    show(rows)
    if path is not None:
        write(rows, path)


def options(doc: str | None, runs: int = 5) -> argparse.ArgumentParser:
    """Return a parser with what every script takes: model, turns, threads, and where the rows go."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("MESHTUNE_MODELS")
    here = f"{folder}/smollm2" if folder else None
    parser.add_argument("--model", default=here, required=here is None, help="default: $MESHTUNE_MODELS/smollm2")
    parser.add_argument("--runs", type=int, default=runs, help="turns")
    parser.add_argument("--threads", type=int, default=2, help="of torch, for all rivals")
    parser.add_argument("--json", type=Path, help="write the rows here")
    return parser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", type=Path, nargs="+", help="files written with --json")
    parser.add_argument("--out", type=Path, default=LATEST)
    args = parser.parse_args()
    missing = [str(path) for path in args.parts if not path.is_file()]
    if missing:
        raise SystemExit(f"there is no {', '.join(missing)}: run the script first with --json")
    report(read(args.parts), args.out)


if __name__ == "__main__":
    main()
