"""What runs produce, kept as numbers, so that whoever rebuilds the engine can tell that no run has changed.

``python tests/recorded/record.py [NAME ...]`` plays the runs of :data:`RUNS` (those named, or all) and writes what it
finds into ``runs.json``; :mod:`test_recorded_runs` plays them again and compares. Everything is read from a run's
folder, except how many messages were sent, which no file says.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

# As the tests do, and before torch is imported: sums over several threads end in other last digits.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

# All that is used of the code under test: what is renamed there is renamed here, and nowhere else.
from meshtune.config.config_file import validate
from meshtune.methods.registry import CATALOGUE
from meshtune.runs.events import Event, RoundDone
from meshtune.simulator.simulation import evaluate, run
from meshtune.wire.ledger import Ledger

RECORDS = Path(__file__).parent / "runs.json"
Tree = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One configuration that is recorded.

    Attributes:
        settings: what it sets beyond :data:`COMMON`, section by section.
        stop: it is stopped behind this round, and resumed.
        exam: it sits a second exam with these settings, as ``meshtune eval`` does.
        record: whose record it must repeat; its own where that is empty.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    stop: int | None = None
    exam: Mapping[str, Any] | None = None
    record: str = ""


COMMON: Tree = {
    "model": {"name": "tiny-random", "device": "cpu"},
    "tasks": ["boolq", "arc_easy", "piqa"],
    "validation": 4,
    "devices": {"count": 6},
    "adapter": {"rank": 4, "entropy_tokens": 64, "calibration_batches": 2},
    "router": {"prompts": 12, "sketch": 4, "temperature": 1000.0, "also": ["top1"]},
    "paper": {"reading": "unrouted"},
    "train": {
        "rounds": 2,
        "steps": 1,
        "batch": 2,
        "warmup": 0,
        "lr": 3e-3,
        "lora_lr": 1e-3,
        "core_lr": 1e-2,
        "full_lr": 1e-4,
    },
    "eval": {"questions": 3, "elsewhere": 2},
}
CIRCLE = [[100.0, 0.0], [50.0, 86.6], [-50.0, 86.6], [-100.0, 0.0], [-50.0, -86.6], [50.0, -86.6]]
INT4: Tree = {
    "devices": {"count": 4},
    "graph": {"kind": "ring"},
    "exchange": {"values": "int4"},
    "train": {"rounds": 3},
    "methods": ["bank", "paper", "lora"],
}
AS_OTHERS = {"projection": "group", "masks": "calibrated"}
MOVING: Tree = {
    "seed": 2,
    "paper": AS_OTHERS,
    "radio": {"range": 60.0, "loss": {"probability": 0.1, "packet": 500}},
    "places": {"radius": 100.0, "mobility": "waypoint", "speed": [10.0, 20.0]},
    "compute": {"spread": 2.0},
    "clusters": {"s_max": 0.05, "inner_rounds": 2, "reform": 1, "masks": "negotiated"},
    "faults": {"dropout": 0.2},
    "train": {"rounds": 3},
    "methods": ["bank", "paper", "lora"],
}
RUNS: dict[str, Run] = {
    "full": Run(
        {
            "graph": {"kind": "full"},
            "train": {"steps": 2},
            "router": {"also": ["top1", "cosine", "arrow", "retrieval"]},
            "methods": ["bank", "lora", "hard_moe", "hard_moe_lora", "local"],
        },
        exam={"eval": {"questions": 4}},
    ),
    "ring": Run(
        {
            "devices": {"count": 5},
            "graph": {"kind": "ring"},
            "train": {"rounds": 3},
            "methods": ["bank", "paper", "shared_b", "lora"],
        }
    ),
    "random": Run(
        {
            "seed": 3,
            "devices": {"count": 5},
            "graph": {"kind": "random", "neighbours": 1},
            "exchange": {"values": "float32"},
            "adapter": {"projection": "gaussian", "per_layer": True, "budget": "uniform"},
            "train": {"rounds": 3, "optimizer": "sgd", "lr": 0.3, "lora_lr": 0.03},
            "methods": ["bank", "paper", "ffa"],
        }
    ),
    "no relay": Run(
        {
            "graph": {"kind": "exponential", "relay": False},
            "exchange": {"values": "int8", "block": 32},
            "devices": {"count": 5},
            "template": "own",
            "methods": ["bank", "hard_moe", "lora"],
        }
    ),
    "int4": Run(INT4),
    "int4 resumed": Run(INT4, stop=2, record="int4"),
    "clusters": Run(
        {
            "radio": {"loss": {"probability": 0.1, "packet": 500}},
            "compute": {"spread": 2.0},
            "clusters": {"s_max": 0.05, "inner_rounds": 2},
            "faults": {"dropout": 0.2},
            "train": {"rounds": 3},
            "eval": {"every": 2},
            "methods": ["bank", "paper", "lora", "local"],
        }
    ),
    "moving": Run(MOVING),
    "moving resumed": Run(MOVING, stop=2, record="moving"),
    "negotiated": Run(
        {
            "devices": {"count": 4},
            "paper": AS_OTHERS,
            "radio": {},
            "clusters": {"s_max": 1.0, "masks": "negotiated", "inner_rounds": 1},
            "methods": ["bank", "paper", "paper_masked", "shared_b"],
        }
    ),
    "single cluster": Run(
        {
            "radio": {"fading": "none"},
            "places": {"positions": CIRCLE},
            "clusters": {"kind": "single", "inner_rounds": 2},
            "graph": {"kind": "ring"},
            "methods": ["bank", "paper", "single_cluster", "lora"],
        }
    ),
    "late and away": Run(
        {
            "seed": 1,
            "radio": {"channel": "urban", "bandwidth": 2e5, "spectrum": "shared", "cast": "broadcast"},
            "places": {"radius": 150.0},
            "exchange": {"values": "int8"},
            "adapter": {"density": "planned"},
            "compute": {"epsilon": 1e3, "c_max": 4e6},
            "clusters": {"s_max": 0.3, "rate": "expected", "most": 3, "inner_rounds": 2},
            "faults": {"dropout": 0.2, "late": 0.4, "slowdown": 1e4},
            "train": {"rounds": 4},
            "methods": ["bank", "paper_masked", "lora"],
        }
    ),
    "all methods": Run(
        {
            "devices": {"count": 4},
            "paper": {"reading": "scalar", "also": ["diag", "outer", "unrouted"]},
            "eval": {"questions": 2},
            "methods": list(CATALOGUE),
        }
    ),
    "written": Run(
        {
            "tasks": ["sums", "claims"],
            "devices": {"count": 3},
            "train": {"rows": 20, "max_tokens": 64},
            "router": {"temperature": 60.0},
            "methods": ["bank", "lora"],
        },
        exam={"eval": {"questions": 2, "samples": 2, "temperature": 1.0}},
    ),
}


DATA: dict[str, Callable[[int], Tree]] = {
    "boolq": lambda i: {"question": f"is {i} even", "passage": f"Item {i} of the list.", "answer": i % 2 == 0},
    "arc_easy": lambda i: {
        "id": f"q{i}",
        "question": f"What follows {i}?",
        "choices": {"text": [str(i + 1), str(i + 2), str(i + 5)], "label": ["A", "B", "C"]},
        "answerKey": "A",
    },
    "piqa": lambda i: {"goal": f"Cut board {i}", "sol1": f"use saw {i}", "sol2": f"use a spoon {i}", "label": 0},
}
DROPPED = ("config", "versions", "seconds", "peak_memory_bytes", "network")
"""Of the header of ``results.json``: what is of the machine and its day, said elsewhere, or words."""
UNSAID = ("event", "line", "check", "why", "asked", "template")
"""The same of lines of ``events.jsonl`` and ``scores.jsonl``."""
DIGITS, CLOCK_DIGITS = 8, 13
"""Significant digits of the numbers that are kept."""
PARTS = {
    "networks": "who is with whom over the air, at first and formed anew",
    "messages": "how many were sent, by method, what was in them, and round",
    "bytes": "by method, kind and round",
    "bytes by device": "by method, kind and sender",
    "clock": "simulated seconds, joules and what befell messages, by method",
    "losses": "of training, by round and device",
    "own tasks": "how experts did on rows set aside, by round and device",
    "adapters": "how many values every device's has in the end, and their norm",
    "projections": "the adapter's sum, and its products with three fixed vectors, as multiples of its norm",
    "banks": "what every device holds in the end: source, version and norm",
    "scores": "of every question",
    "averages": "of every method, exam and measure over devices: the value and its interval",
    "second exam": "the same of the second exam",
    "header": "the rest of the header of results.json",
}
"""What a record has, causes before effects: the first difference then tells the most."""


def write_data(folder: Path) -> Path:
    """Write the splits of three small tasks into ``folder`` and return it."""
    for task, row in DATA.items():
        (folder / task).mkdir(parents=True)
        for split, numbers in {"train": range(30), "test": range(100, 112)}.items():
            lines = "".join(json.dumps(row(i)) + "\n" for i in numbers)
            (folder / task / f"{split}.jsonl").write_text(lines)
    return folder


def play(name: str, data: Path, out: Path) -> Tree:
    """Play the run ``name`` on ``data`` in the new folder ``out`` and return its record, as JSON reads it."""
    one = RUNS[name]
    config = validate({**_merged(COMMON, one.settings), "data": str(data)}, name)
    messages: Counter[_Sent] = Counter()
    if one.stop is not None:
        with suppress(KeyboardInterrupt), _counting(messages):
            run(config, out, _Watch(one.stop))
        assert not (out / "results.json").exists(), f"{name} was to be stopped"
    after: Counter[_Sent] = Counter()
    with _counting(after):
        run(config, out, _Watch())
    # A resumed run shakes hands again and forgets it.
    messages.update({sent: n for sent, n in after.items() if one.stop is None or sent[1] > one.stop})
    told = {"messages": _messages(messages), "scores": _scores(out), "second exam": {}}
    made = {**_outcome(out), **_checkpoint(out), **told}
    if one.exam is not None:
        evaluate(out, _Watch(), one.exam)
        made |= {"scores": _scores(out), "second exam": _outcome(out)["averages"]}
    assert set(made) == set(PARTS)
    ordered: Tree = json.loads(json.dumps({part: made[part] for part in PARTS if made[part]}))
    return ordered


class _Watch:
    """Presses Ctrl+C after round ``stop``."""

    def __init__(self, stop: int | None = None) -> None:
        self._stop = stop

    def __call__(self, event: Event) -> None:
        if isinstance(event, RoundDone) and event.round == self._stop:
            raise KeyboardInterrupt


_Sent = tuple[str, int, str]  # method, round, what


@contextmanager
def _counting(messages: Counter[_Sent]) -> Iterator[None]:
    """Count the messages that the ledger is told of."""
    record = Ledger.record

    def noted(
        ledger: Ledger, method: str, round_: int, sender: int, receiver: int, split: Mapping[str, int], relayed: bool
    ) -> None:
        kinds = "+".join(sorted(kind for kind, count in split.items() if count))
        messages[method, round_, "relayed" if relayed else kinds] += 1
        record(ledger, method, round_, sender, receiver, split, relayed)

    with mock.patch.object(Ledger, "record", noted):
        yield


def _messages(messages: Counter[_Sent]) -> Tree:
    """Return how many messages there were, by method, what was in them, and round."""
    found: Tree = {}
    for (method, round_, what), count in sorted(messages.items()):
        found.setdefault(method, {}).setdefault(what, {})[str(round_)] = count
    return found


def _outcome(folder: Path) -> Tree:
    """Return what ``results.json`` and ``events.jsonl`` say."""
    results = json.loads((folder / "results.json").read_text())
    header, events = results["header"], _lines(folder / "events.jsonl")
    header["model"].pop("paths")
    methods = header["methods"].items()
    taken = {name: (one.pop("bytes"), one.pop("bytes_per_round"), one.pop("clock", {})) for name, one in methods}
    rounds = [event for event in events if event["event"] == "round"]
    networks = [event for event in events if event["event"] == "network"]
    return {
        "header": _rounded({key: value for key, value in header.items() if key not in DROPPED}),
        "averages": _averages(results["rows"]),
        "bytes": {
            name: {kind: {n: found.get(kind, 0) for n, found in rounds_.items()} for kind in total}
            for name, (total, rounds_, _) in taken.items()
        },
        "clock": _rounded({name: clock for name, (_, _, clock) in taken.items() if clock}, CLOCK_DIGITS),
        "networks": _rounded([{k: v for k, v in event.items() if k not in UNSAID} for event in networks]),
        "losses": {str(event["round"]): _rounded(event["losses"]) for event in rounds},
        "own tasks": {str(event["round"]): _rounded(event.get("own_tasks", {})) for event in rounds},
    }


def _averages(rows: list[Tree]) -> Tree:
    """Return by method, task and metric the value and the ends of its interval, each the mean over devices."""
    found: Tree = {}
    for row in rows:
        key = f"{row['method']} {row['task']} {row['metric']}"
        found.setdefault(key, []).append([row["value"], row["low"], row["high"]])
    return {key: [_mean(column) for column in zip(*values, strict=True)] for key, values in found.items()}


def _mean(column: tuple[float | None, ...]) -> float | None:
    known = [value for value in column if value is not None]
    return _short(sum(known) / len(known)) if len(known) == len(column) else None


def _scores(folder: Path) -> Tree:
    """Return every line of ``scores.jsonl``, named by what tells it from the others."""
    found: Tree = {}
    for line in _lines(folder / "scores.jsonl"):
        devices = ",".join(str(device) for device in line.pop("devices"))
        which = [line.pop(key) for key in ("method", "task", "round", "signature")]
        name = "{} {} round {} exam {}".format(*which) + f" devices {devices}"
        assert name not in found, f"{name} was scored twice"
        found[name] = _rounded({key: value for key, value in line.items() if key not in UNSAID})
    return dict(sorted(found.items()))


def _checkpoint(folder: Path) -> Tree:
    """Return what the last checkpoint holds: every device's adapter and bank, and who sent how many bytes."""
    file = max(folder.glob("round-*.safetensors"))
    with safe_open(file, framework="pt") as block:
        facts = json.loads(block.metadata()["facts"])
        tensors = {key: block.get_tensor(key).double().numpy() for key in block.keys()}  # noqa: SIM118
    norms = {key: float(np.linalg.norm(tensor)) for key, tensor in tensors.items()}
    adapters: Tree = {}
    projections: Tree = {}
    banks: Tree = {}
    for method, members in facts["nodes"].items():
        for device, member in enumerate(members):
            at = str(device)
            values, norm = tensors[member["values"]], norms[member["values"]]
            adapters.setdefault(method, {})[at] = [len(values), _short(norm)]
            seen = np.array([values.sum(), *(_directions(len(values)) @ values)]) / (norm or 1.0)
            projections.setdefault(method, {})[at] = [_short(float(one)) for one in seen]
            held = sorted((source, version, norms[key]) for source, version, key, *_ in member["held"])
            banks.setdefault(method, {})[at] = [[source, version, _short(norm)] for source, version, norm in held]
    sent: Tree = {}
    for method, _, sender, kind, count in facts["ledger"]["bytes"]:
        pile = sent.setdefault(method, {}).setdefault(kind, {})
        pile[str(sender)] = pile.get(str(sender), 0) + count
    return {"adapters": adapters, "projections": projections, "banks": banks, "bytes by device": sent}


@lru_cache(maxsize=4)
def _directions(size: int) -> NDArray[np.float64]:
    """Return three Gaussian vectors, always the same (3, size)."""
    return np.random.default_rng([2602, 20492, size]).standard_normal((3, size))


def rounding() -> str:
    """Return a digest of how this machine rounds: what it makes of fixed products, sums and curves, to the last bit."""
    draw = np.random.default_rng(2602)
    seen = hashlib.blake2b(digest_size=8)
    for rows, inner, columns in ((142, 256, 128), (31, 128, 256), (4, 64, 300), (1, 256, 64)):
        a, b = (
            torch.from_numpy(draw.standard_normal(size, dtype=np.float32)) for size in ((rows, inner), (inner, columns))
        )
        product = a @ b
        curved = torch.log_softmax(torch.nn.functional.silu(product), dim=1) + product.square().mean().rsqrt()
        heads = curved[None, None]
        mixed = torch.nn.functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        for one in (product, curved, mixed):
            seen.update(one.numpy().tobytes())
    return seen.hexdigest()


def _lines(file: Path) -> list[Tree]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> Tree:
    """Return ``base`` with the keys of ``more``, section by section."""
    sections = {key: {**base[key], **value} for key, value in more.items() if isinstance(base.get(key), dict)}
    return {**base, **more, **sections}


def _short(number: float, digits: int = DIGITS) -> float:
    short = float(f"{number:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short


def _rounded(value: Any, digits: int = DIGITS) -> Any:
    """Return ``value`` with so many digits of every number in it that is not whole."""
    if isinstance(value, Mapping):
        return {key: _rounded(one, digits) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one, digits) for one in value]
    return _short(value, digits) if isinstance(value, float) else value


def _laid_out(value: Any, indent: int = 0, width: int = 120) -> str:
    """Return JSON in which what fits into a line has one, so that a difference of two files can be read."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict) or not value or len(line) + indent <= width:
        return line
    inner = ",\n".join(
        f"{' ' * (indent + 1)}{json.dumps(key)}: {_laid_out(one, indent + 1)}" for key, one in value.items()
    )
    return f"{{\n{inner}\n{' ' * indent}}}"


def main(names: list[str]) -> None:
    """Write the records of the runs called ``names``, or of all."""
    unknown = set(names) - set(RUNS)
    if unknown:
        raise SystemExit(f"{', '.join(sorted(unknown))}: no such run; there are {', '.join(RUNS)}")
    before: Tree = json.loads(RECORDS.read_text()) if names and RECORDS.exists() else {}
    if before and before["rounding"] != rounding():
        raise SystemExit(f"this machine rounds otherwise than the one that wrote {RECORDS.name}: record all runs on it")
    records: Tree = before.get("runs", {})
    with tempfile.TemporaryDirectory() as made:
        os.environ["MESHTUNE_CACHE"] = str(Path(made) / "cache")
        data = write_data(Path(made) / "data")
        for number, (name, one) in enumerate(RUNS.items()):
            if one.record or (names and name not in names):
                continue
            began = time.perf_counter()
            records[name] = play(name, data, Path(made) / str(number))
            print(f"{name}: {time.perf_counter() - began:.1f} s")
    kept = {name: records[name] for name in RUNS if name in records}
    RECORDS.write_text(_laid_out({"rounding": rounding(), "runs": kept}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
