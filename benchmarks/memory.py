"""Peak memory of ten devices against one device plus ten adapter and optimiser states, same joint micro-batch.

    python benchmarks/memory.py --model $MESHTUNE_MODELS/smollm2

Each case trains two steps in a process of its own on the same rows and reports the largest resident size of the whole
process, base model included. The ratio should be at most 1.2: what grows with the number of devices is their nnz values
and optimiser state, nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
from record import at_most, options, report


def child(model: str, devices: int, density: float) -> None:
    """Train two steps with 20 rows of 64 tokens, dealt out over ``devices``; print peak and state bytes."""
    from meshtune.adapter.expert import Projections, SparseExpert
    from meshtune.adapter.projection import Recipe
    from meshtune.adapter.sites import sizes
    from meshtune.config.learning_config import ModelConfig, TrainConfig
    from meshtune.model.encoding import Row
    from meshtune.model.loading import load
    from meshtune.training.memory_forecast import forecast
    from meshtune.training.process_memory import peak_memory, size_now
    from meshtune.training.trainer import Job, train

    base = load(ModelConfig(name=model))
    draw = np.random.default_rng(0)
    rows = [Row(tuple(draw.integers(1, 200, size=64).tolist()), 48) for _ in range(20)]
    jobs = []
    for device in range(devices):
        masks = [np.sort(draw.choice(s, int(s * density), replace=False)) for s in sizes(base.adapters.layers, 16)]
        recipe = Recipe(seed=0, kind="orthogonal", block=device, rank=16)
        expert = SparseExpert(base.adapters.layers, Projections(recipe), masks, 2.0)
        share = 20 // devices
        jobs.append(Job(expert, [rows[device * share : (device + 1) * share]] * 2, 1e-3))
    state = 4 * jobs[0].expert.count * 4 + 8 * jobs[0].expert.count  # values, gradient, two moments; positions
    config = TrainConfig(rounds=1, steps=2, micro_tokens=1024)
    lengths = [len(row.tokens) - 1 for row in rows]
    told = forecast(base, config, [lengths], lambda: size_now(base), devices * state)
    train(base, jobs, config)
    print(json.dumps({"peak": peak_memory(), "state": state, "forecast": told.total}))


def measure(model: str, devices: int, density: float) -> dict[str, int]:
    """Run one case in a process of its own."""
    call = [sys.executable, __file__, "--model", model, "--child", str(devices), "--density", str(density)]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = options(__doc__, runs=3)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.model, args.child, args.density)
        return
    ratios, wrong = [], []
    for _ in range(args.runs):
        one, ten = measure(args.model, 1, args.density), measure(args.model, 10, args.density)
        ratios.append(ten["peak"] / (one["peak"] + 10 * ten["state"]))
        wrong += [abs(case["forecast"] / case["peak"] - 1) for case in (one, ten)]
        sizes = [one["peak"], one["forecast"], ten["peak"], ten["forecast"], ten["state"]]
        shown = "one {:.0f} MiB (foretold {:.0f}), ten {:.0f} MiB (foretold {:.0f}), a state {:.2f} MiB"
        print(shown.format(*(size / 2**20 for size in sizes)), flush=True)
    rows = [
        at_most("peak memory: 10 devices / (1 device + 10 adapter states)", ratios, 1.2),
        at_most("peak memory: how far the forecast is off", wrong, 0.2),
    ]
    report(rows, args.json)


if __name__ == "__main__":
    main()
