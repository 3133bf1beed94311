"""Real training tokens/s of ten devices against a stock PEFT loop, and against the floor of the machine.

    python benchmarks/training_speed.py --model $MESHTUNE_MODELS/smollm2 --runs 5

Ours, PEFT and the floor take turns. The floor is 4 x linear parameters x real tokens floating-point operations
(forward and input gradients of the frozen layers, no padding) at the rate of plain products of the same run, at the
shapes of our micro-batches, over every layer's own weight. --breakdown adds where our step's seconds go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from breakdown import measure, show
from peft_loop import train_device, wrap
from record import Row, at_least, options, over, report, turns
from work import MICRO, SIZE, TASKS, Batches, our_jobs, plain_model, rows_of, tokens_in

from meshtune.config.learning_config import ModelConfig, TrainConfig
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.encoding import portions
from meshtune.model.loading import load
from meshtune.model.micro_batch import LANES
from meshtune.training.trainer import train


def widths(batches: Batches) -> list[list[int]]:
    """Return the tokens of every micro-batch of every step of ours."""
    found = []
    for step in range(len(batches[0])):
        rows = [row for device in batches for row in sorted(device[step], key=lambda row: len(row.tokens))]
        lengths = [len(row.tokens) - 1 for row in rows]
        found.append([sum(lengths[i] for i in part) for part in portions(lengths, MICRO, LANES[0])])
    return found


def products(base: Base, tokens: int) -> Callable[[], None]:
    """Return what multiplies ``tokens`` rows forward and backward with every adapted layer's own weight."""
    weights = [base.adapters.weight(layer) for layer in base.adapters.layers]
    wide = {n: torch.randn(tokens, n) for weight in weights for n in weight.shape}
    out = {n: torch.empty(tokens, n) for n in wide}

    def sweep() -> None:
        with torch.no_grad():
            for weight in weights:
                torch.mm(wide[weight.shape[1]], weight.T, out=out[weight.shape[0]])
            for weight in reversed(weights):
                torch.mm(wide[weight.shape[0]], weight, out=out[weight.shape[1]])

    return sweep


def linear_parameters(base: Base) -> int:
    """Return how many weights the adapted layers hold."""
    return sum(base.adapters.weight(layer).numel() for layer in base.adapters.layers)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--breakdown", action="store_true")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: in bfloat16, no floor")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.device == "cuda":
        report([on_gpu(args.model, args.steps, args.runs)], args.json)
        return
    base = load(ModelConfig(name=args.model, device="cpu"))
    batches = rows_of(base.tokenizer, len(TASKS), args.steps, SIZE)
    tokens, weights = tokens_in(batches), linear_parameters(base)
    micro = widths(batches)
    padded = sum(map(sum, micro))
    print(f"{tokens} real tokens, {padded} read by ours; micro-batches of the first step: {micro[0]}", flush=True)
    rival = wrap(plain_model(args.model)[0], len(TASKS))
    jobs = our_jobs(base, batches)
    sweeps = [products(base, width) for width in micro[0]]
    config = TrainConfig(rounds=1, steps=args.steps, micro_tokens=MICRO)

    def ours() -> None:
        train(base, jobs, config)

    def peft() -> None:
        for device, mine in enumerate(batches):
            train_device(rival, device, mine)

    def gemm() -> None:
        for sweep in sweeps:
            sweep()

    gemm()
    train(base, our_jobs(base, [device[:1] for device in batches]), config)  # warm
    train_device(rival, 0, batches[0][:1])
    times = turns({"ours": ours, "peft": peft, "products": gemm}, args.runs)
    done = 4 * weights * sum(micro[0])
    rates = [done / seconds for seconds in times["products"]]
    floors = [4 * weights * tokens / rate for rate in rates]
    told(times, rates, floors, tokens)
    rows = [
        at_least("training tokens/s, 10 devices: ours / stock PEFT loop", over(times["peft"], times["ours"]), 2),
        at_least("training tokens/s, 10 devices: ours / floor", over(floors, times["ours"]), 0.6),
    ]
    if args.breakdown:
        one = [device[:1] for device in batches]
        show(*measure(base, lambda: train(base, our_jobs(base, one), config)))
    report(rows, args.json)


def on_gpu(model: str, steps: int, runs: int) -> Row:
    """Return the first row as it is on a GPU, both sides in bfloat16 and without micro-batches."""
    base = load(ModelConfig(name=model, device="cuda", dtype="bfloat16"))
    batches = rows_of(base.tokenizer, len(TASKS), steps, SIZE)
    rival = wrap(plain_model(model, torch.bfloat16)[0].to("cuda"), len(TASKS))
    jobs = our_jobs(base, batches)
    config = TrainConfig(rounds=1, steps=steps, micro_tokens=1 << 20)

    def ours() -> None:
        train(base, jobs, config)
        torch.cuda.synchronize()

    def peft() -> None:
        for device, mine in enumerate(batches):
            train_device(rival, device, mine)
        torch.cuda.synchronize()

    times = turns({"ours": ours, "peft": peft}, runs, warm=True)
    return at_least("training tokens/s on a GPU: ours / stock PEFT loop", over(times["peft"], times["ours"]), 8)


def told(times: dict[str, list[float]], rates: Sequence[float], floors: Sequence[float], tokens: int) -> None:
    middle = {name: float(np.median(values)) for name, values in times.items()}
    floor = float(np.median(floors))
    print(f"products: {np.median(rates) / 1e9:.0f} GFLOP/s ({min(rates) / 1e9:.0f} to {max(rates) / 1e9:.0f})")
    for name, seconds in (("ours", middle["ours"]), ("peft", middle["peft"]), ("floor", floor)):
        print(f"{name:6} {seconds:7.2f} s, {tokens / seconds:6.0f} real tokens/s")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
