"""The figures and tables of the paper (arXiv:2602.20492), one command each, at four scales.

    python benchmarks/paper_figures.py devices collisions entropy table1 single --scale tiny --out runs/paper-figures
    python benchmarks/paper_figures.py collisions --scale paper --out runs/paper-figures
    python benchmarks/paper_figures.py devices --scale small --counts 2 5 10 --seeds 0 1 2 --out runs/paper-figures

``devices``: accuracy and NLL against the number of devices. ``collisions``: how often masks collide, against the number
of devices; no model is needed, and a seed is a draw of places. ``entropy``: spectral entropy and density by layer.
``table1``: every method on every task. ``single``: every method without a federation, on each task alone.

A figure leaves in OUT/SCALE/FIGURE its JSON with the values of every seed, a Markdown table, and a vector graphic as
PDF and SVG. Its runs lie there too, so the script goes on where it was stopped. Intervals are Student's 95% over seeds,
and of a single seed those over questions. A method called NAME@clusters runs over the default radio, in the clusters
that it forms; others over free links, which is one cluster. --record adds the JSON to a file of several figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paper_plots as plots
import paper_tables as tables
from paper_accuracy import devices, single, table1
from paper_collisions import collisions
from paper_layers import entropy
from paper_scales import SCALES, Request

from meshtune.errors import UserError


@dataclass(frozen=True)
class Figure:
    """One figure or table of the paper.

    Attributes:
        make: returns its JSON; trains what is not trained yet.
        table: its Markdown from the JSON.
        draw: its matplotlib figure from the JSON.
        seeds: the seeds unless others are asked for; None for the scale's.
    """

    make: Callable[[Request], dict[str, Any]]
    table: Callable[[Mapping[str, Any]], str]
    draw: Callable[[Mapping[str, Any]], Any]
    seeds: tuple[int, ...] | None = None


FIGURES = {
    "devices": Figure(devices, tables.devices, plots.devices),
    "collisions": Figure(collisions, tables.collisions, plots.collisions, tuple(range(20))),
    "entropy": Figure(entropy, tables.entropy, plots.entropy),
    "table1": Figure(table1, tables.accuracies, plots.accuracies),
    "single": Figure(single, tables.accuracies, plots.accuracies),
}


def made(name: str, request: Request) -> dict[str, Any]:
    """Make one figure: write its JSON, table and pictures into the request's folder, and return the JSON."""
    figure = FIGURES[name]
    head = {"figure": name, "model": request.config().model.name, "settings": list(request.settings)}
    found = {**head, "seeds": list(request.seeds), **figure.make(request)}
    request.out.mkdir(parents=True, exist_ok=True)
    stem = request.out / name
    stem.with_suffix(".json").write_text(line(found) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(figure.table(found) + "\n", encoding="utf-8")
    plots.save(figure.draw, found, stem)
    return found


def line(found: Mapping[str, Any]) -> str:
    """Return a figure's JSON with a line for each of its rows."""
    rest = {key: value for key, value in found.items() if key != "rows"}
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in found["rows"])
    return f'{json.dumps(rest)[:-1]}, "rows": [\n{rows}\n]}}'


def record(file: Path, key: str, found: Mapping[str, Any]) -> None:
    """Put a figure into a file of several, in place of an earlier one of that key."""
    every = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    every[key] = found
    body = ",\n".join(f'"{name}": {line(every[name])}' for name in sorted(every))
    file.write_text(f"{{\n{body}\n}}\n", encoding="utf-8")


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="+", choices=list(FIGURES))
    parser.add_argument("--scale", choices=list(SCALES), default="tiny")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", help="the scale's by default; twenty for collisions")
    parser.add_argument("--methods", nargs="+", help="the figure's by default; NAME or NAME@clusters")
    parser.add_argument("--counts", type=int, nargs="+", default=list(range(2, 16)), help="numbers of devices")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    parser.add_argument("--record", type=Path, help="a JSON file to put the figures into")
    args = parser.parse_args(given)
    scale = SCALES[args.scale]
    for name in args.figures:
        seeds = args.seeds or FIGURES[name].seeds or scale.seeds
        out = args.out / args.scale / name
        try:
            found = made(name, Request(scale, out, seeds, args.methods, sorted(set(args.counts)), args.settings))
        except UserError as error:
            parser.error(f"{name}: {error}")
        if args.record is not None:
            record(args.record, f"{args.scale}/{name}", found)
        print(f"{out / name}: json, md, pdf, svg", flush=True)


if __name__ == "__main__":
    main()
