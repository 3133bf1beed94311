"""Which tasks and layers conflict when devices average, and what the average does to a device's loss.

    python benchmarks/conflicts.py --config configs/embedded-paper.yaml --seeds 0 1 2 --out runs/conflicts
    python benchmarks/conflicts.py --runs runs/evidence/five/smollm2/rows-64/seed-0/lora/0.003 --name smollm2 --rows 20
    python benchmarks/conflicts.py --table embedded-paper

It looks at the last exchange of a run. What every device had trained just before it is in the checkpoint, because a
device holds its own update as it published it, and what the round began with is in the checkpoint before. So any folder
of a finished run will do, with any methods but those that train the base model's own weights. With --config it makes
the runs itself, a folder a seed below --out.

Measured for every method and pair of devices: the cosine of what the two changed in the last round and of their whole
updates, over all layers, by kind of layer and by third of the model. On rows set aside: every device's loss on every
task with what it trained and with what it mixed, and on its own task with what it mixed in one part of the model alone,
or with the part of the average that its own task contributed, which tells dilution from what other tasks add.

Records are added to results/conflicts.json, and those that are there are not measured again; --table prints them. An
average over seeds comes with Student's 95% interval (n - 1); with a single seed there is none.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from conflict_measures import Array, block_of, cosines, grams, kind_of, swapped, third_of
from conflict_tables import tables
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.config.config_file import load_config, validate
from meshtune.data.partition import DeviceData, digest
from meshtune.decoding.scoring import row_losses
from meshtune.methods.registry import get_method
from meshtune.methods.state import Member
from meshtune.model.base import Base
from meshtune.node.stored_announcements import PREPARED, load_announcements
from meshtune.runs.checksums import checksum
from meshtune.runs.manifest import bound
from meshtune.runs.observer import Silent
from meshtune.runs.provenance import Stamp
from meshtune.runs.store import RunStore
from meshtune.simulator.connecting import connect
from meshtune.simulator.resume import Loaded, begin, newest, restore
from meshtune.simulator.run_inputs import RunInputs, load_inputs
from meshtune.simulator.simulation import run

RESULTS = Path(__file__).parents[1] / "results" / "conflicts.json"
METHODS = ("lora", "ffa", "hard_moe_lora", "proposed", "bank")
KEY = ("name", "seed", "method")
"""What a record is known by."""
DIGITS = 4


@dataclass
class Exchanged:
    """The experts of one method's devices around the last exchange, by device id.

    Attributes:
        starts: what the round began with; None if its checkpoint is gone.
        trained: what they had trained, as published.
        mixed: what they went on with.
    """

    starts: list[Expert] | None
    trained: list[Expert]
    mixed: list[Expert]


def opened(path: Path) -> tuple[RunInputs, dict[str, Exchanged]]:
    """Return the inputs of the run in ``path``, with its data, and what its methods last exchanged.

    Raises:
        UserError: there is no run, no data, or not those that the run was made with.
    """
    store = RunStore.open(path)
    config = validate(store.config(), str(path))
    inputs = load_inputs(config, Silent())
    layers, factory = inputs.base.adapters.layers, inputs.factory
    own, facts = load_announcements(store, config, layers)
    stamp = Stamp(checksum(bound(store.config())), inputs.base.digest, digest(inputs.devices))
    stamp.check(facts.get("made"), store, PREPARED)
    graph, network = connect(config, inputs.site, own, layers, factory)
    last = newest(store, config.train.rounds)
    assert last is not None, f"{path} has no finished round"

    def at(loaded: Loaded | None) -> Mapping[str, Sequence[Member]]:
        fresh = begin(inputs.methods, graph, own, layers, factory, network)
        return restore(fresh, loaded, store, inputs.methods, factory, network)[0].members

    earlier = last.number - 1
    known = earlier == 0 or earlier in store.rounds()
    before = at(Loaded(earlier, *store.load_round(earlier)) if earlier and known else None) if known else None
    found = {}
    for name, members in at(last).items():
        shapes = [(member.expert, member.held[member.device].values.float()) for member in members]
        found[name] = Exchanged(
            None if before is None else [member.expert for member in before[name]],
            [shape.with_values(values.to(shape.values.device)) for shape, values in shapes],
            [member.expert for member in members],
        )
    return inputs, found


def measured(inputs: RunInputs, method: str, seen: Exchanged, rows: int) -> dict[str, Any]:
    """Return the cosines and losses of one method, with ``rows`` rows a task."""
    base, devices = inputs.base, inputs.devices
    blocks = 1 + max(block_of(layer.name) for layer in base.adapters.layers)
    parts = {kind_of(layer.name): None for layer in base.adapters.layers}
    thirds = ("first", "middle", "last")

    def all_cosines(starts: Sequence[Expert] | None) -> dict[str, list[float | None]]:
        by_layer = grams(seen.trained, starts)
        found = cosines(by_layer, lambda name: "all") | cosines(by_layer, kind_of)
        found |= cosines(by_layer, lambda name: third_of(name, blocks))
        return {part: above(matrix) for part, matrix in found.items()}

    losses = Losses(base, devices, rows, inputs.config.train.micro_tokens)
    shares = diluted(devices, seen)
    swaps: dict[str, list[float]] = {}
    for part in (*parts, *thirds):
        mine = []
        for data, own, average in zip(devices, seen.trained, seen.mixed, strict=True):
            expert = swapped(own, average, lambda layer: part in (kind_of(layer.name), third_of(layer.name, blocks)))  # noqa: B023
            mine.append(losses.of(expert, data.group))
        swaps[part] = mine
    return {
        "method": method,
        "devices": [data.group for data in devices],
        "rows": rows,
        "cosines": None if seen.starts is None else all_cosines(seen.starts),
        "whole": all_cosines(None),
        "frozen": {task: losses.of(None, task) for task in losses.tasks},
        "trained": [{task: losses.of(one, task) for task in losses.tasks} for one in seen.trained],
        "mixed": [{task: losses.of(one, task) for task in losses.tasks} for one in seen.mixed],
        "diluted": shares and [losses.of(one, data.group) for one, data in zip(shares, devices, strict=True)],
        "swaps": swaps,
    }


def diluted(devices: Sequence[DeviceData], seen: Exchanged) -> list[Expert] | None:
    """Return what the average would be if only a device's own task had trained, by device.

    That is v0 + sum_j w_j (v_j - v0) over the devices j of its task, with v0 the values that the round began with and
    the weights w_j = N_j / N of the average over all devices. The other tasks' terms make up the rest of that average.
    None if devices do not all go on with one average, or the round's start is gone.
    """
    if seen.starts is None or len({one.digest for one in seen.mixed}) > 1:
        return None
    whole = sum(data.samples for data in devices)
    steps: dict[str, Tensor] = {}
    for data, own, start in zip(devices, seen.trained, seen.starts, strict=True):
        steps[data.group] = steps.get(data.group, 0) + data.samples / whole * (own.values - start.values)
    return [
        start.with_values(start.values + steps[data.group]) for data, start in zip(devices, seen.starts, strict=True)
    ]


class Losses:
    """The mean loss of experts on the rows of tasks that are set aside; equal experts are asked once.

    Args:
        base: the frozen model.
        devices: their data; devices of one task have the same rows set aside.
        rows: how many of them, at most.
        micro_tokens: tokens of a pass.
    """

    def __init__(self, base: Base, devices: Sequence[DeviceData], rows: int, micro_tokens: int) -> None:
        self._base, self._micro = base, micro_tokens
        self._rows = {data.group: data.held(rows) for data in reversed(devices)}
        self._known: dict[tuple[str, str], float] = {}
        self.tasks = sorted(self._rows)

    def of(self, expert: Expert | None, task: str) -> float:
        """Return the NLL of ``expert``, None for the frozen model, mean over the rows of ``task``."""
        key = ("frozen" if expert is None else expert.digest, task)
        if key not in self._known:
            self._known[key] = fmean(row_losses(self._base, expert, self._rows[task], self._micro))
        return round(self._known[key], DIGITS)


def above(matrix: Array) -> list[float | None]:
    """Return the entries above the diagonal, row by row; None for nan."""
    found = [float(matrix[pair]) for pair in combinations(range(len(matrix)), 2)]
    return [None if np.isnan(value) else round(value, DIGITS) for value in found]


def add(found: Sequence[Mapping[str, Any]]) -> None:
    """Add records to the results, in place of earlier ones of the same :data:`KEY`."""
    keys = [[one[part] for part in KEY] for one in found]
    rows = [one for one in records() if [one[part] for part in KEY] not in keys]
    rows = sorted([*rows, *found], key=lambda one: [one[part] for part in KEY])
    RESULTS.parent.mkdir(exist_ok=True)
    text = ",\n".join(json.dumps(one, separators=(",", ":")) for one in rows)
    RESULTS.write_text(f"[\n{text}\n]\n", encoding="utf-8")


def records() -> list[dict[str, Any]]:
    """Return what was measured so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []


def look(path: Path, name: str, rows: int, only: Sequence[str] | None) -> None:
    """Measure the run in ``path`` under ``name``, but for the methods that are already there."""
    config = RunStore.open(path).config()
    had = {(one["name"], one["seed"], one["method"]) for one in records()}
    chosen = [one for one in config["methods"] if only is None or one in only]
    adapters = [one for one in chosen if get_method(one).kind.frozen_base]
    left = [one for one in adapters if (name, config["seed"], one) not in had]
    if not left:
        return
    inputs, found = opened(path)
    for method in left:
        started = time.perf_counter()
        facts = measured(inputs, method, found[method], rows)
        add([{"name": name, "seed": config["seed"], "rounds": config["train"]["rounds"], **facts}])
        print(f"{name}, seed {config['seed']}, {method}: {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="make the runs with this configuration")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", help="with --runs those of the run by default")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    parser.add_argument("--out", type=Path, default=Path("runs/conflicts"), help="where the runs of --config go")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="folders of finished runs")
    parser.add_argument("--name", help="what the records are called; by default as the configuration, or `runs`")
    parser.add_argument("--rows", type=int, default=50, help="rows a task that losses are taken on")
    parser.add_argument("--table", metavar="NAME", help="print what was found under this name, as Markdown")
    args = parser.parse_args()
    if args.table:
        print("\n\n".join(tables([one for one in records() if one["name"] == args.table]).values()))
    for path in args.runs:
        look(path, args.name or "runs", args.rows, args.methods)
    for seed in args.seeds if args.config else ():
        name, methods = args.name or args.config.stem, args.methods or METHODS
        folder = args.out / name / f"seed-{seed}"
        asked = [f"seed={seed}", f"methods=[{','.join(methods)}]", "router.also=[]"]
        few = ["eval.questions=2", "eval.write=false"]  # the exam of the run itself is not used
        run(load_config(args.config, [*asked, *few, *args.settings]), folder, Silent())
        look(folder, name, args.rows, methods)


if __name__ == "__main__":
    main()
