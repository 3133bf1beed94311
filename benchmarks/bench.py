"""Every speed and memory target in one table: each script in a process of its own, one after the other.

    make bench

Writes benchmarks/results/latest.json. Where something is missing that a script needs (the models, the tasks, Flower, a
GPU) its rows are left out, and the end says so. The machine should have nothing else to do; about 45 minutes on two
cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import torch
from record import LATEST, Row, read, report

HERE = Path(__file__).parent
CASES: dict[str, list[str]] = {
    "training_speed": ["--steps", "1"],
    "evaluation_speed": ["--questions", "10"],
    "growth": ["--steps", "1"],
    "preparation": [],
    "memory": [],
    "payload": ["--quality"],
    "bench_entropy": [],
    "flower_round": ["--steps", "1", "--runs", "3"],
}

FREE = ("payload", "bench_entropy")
"""Scripts that need neither a model nor tasks."""


def missing(name: str) -> str | None:
    """Return what script ``name`` needs and is not there."""
    if name not in FREE and not os.environ.get("MESHTUNE_MODELS"):
        return "MESHTUNE_MODELS is not set: a folder with smollm2"
    if name not in (*FREE, "memory") and not os.environ.get("MESHTUNE_DATA"):
        return "MESHTUNE_DATA is not set: a folder with the tasks"
    needs = {"training_speed": "peft", "evaluation_speed": "lm_eval", "flower_round": "flwr"}.get(name)
    if needs and find_spec(needs) is None:
        return f"there is no {needs} here: pip install -r benchmarks/requirements.txt, or make bench"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="which scripts")
    parser.add_argument("--out", type=Path, default=LATEST)
    args = parser.parse_args()
    rows: list[Row] = []
    left_out: list[str] = []
    calls = [(name, CASES[name]) for name in args.only]
    if torch.cuda.is_available():
        calls.append(("training_speed", ["--device", "cuda"]))
    elif "training_speed" in args.only:
        left_out.append("training_speed on a GPU: there is none")
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in calls:
            reason = missing(name)
            if reason is not None:
                left_out.append(f"{name}: {reason}")
                continue
            found = Path(folder) / "rows.json"
            print(f"== {name} {' '.join(settings)}", flush=True)
            started = time.perf_counter()
            done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *settings, "--json", str(found)])
            print(f"== {name}: {time.perf_counter() - started:.0f} s", flush=True)
            if done.returncode:
                left_out.append(f"{name}: ended with exit code {done.returncode}")
                continue
            rows += read([found])
    for line in left_out:
        print(f"left out: {line}")
    if not rows:
        raise SystemExit("nothing could be measured")
    report(rows, args.out)


if __name__ == "__main__":
    main()
