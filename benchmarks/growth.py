"""How a round grows with the number of devices: 40 against 5, the joint batch of 40 sequences in both.

    python benchmarks/growth.py --model $MESHTUNE_MODELS/smollm2

The same rows, one a step and device or eight; r = 8, a task group a device, a full graph. Whole rounds, exchange
included. The row is (t40 / t5) / 8: 1 is linear growth in devices, 0.125 no growth at all.
"""

from __future__ import annotations

import torch
from record import at_most, options, over, report, turns
from work import Batches, federation, rows_of, tokens_in

from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.model.loading import load

MANY, FEW, RANK = 40, 5, 8


def gathered(batches: Batches, devices: int) -> Batches:
    """Return the same rows of every step, dealt out over fewer devices."""
    share = len(batches) // devices
    return [
        [
            [row for mine in batches[n * share : (n + 1) * share] for row in mine[step]]
            for step in range(len(batches[0]))
        ]
        for n in range(devices)
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--steps", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    base = load(ModelConfig(name=args.model, device="cpu"))
    many = rows_of(base.tokenizer, MANY, args.steps, 1)
    few = gathered(many, FEW)
    print(f"{tokens_in(many)} real tokens a round", flush=True)
    cases = {f"{len(rows)} devices": federation(base, rows, rank=RANK) for rows in (many, few)}
    times = turns(cases, args.runs, warm=True)
    slow, quick = times.values()
    ratios = [ratio * FEW / MANY for ratio in over(slow, quick)]
    report([at_most("(t40/t5)/8: a round of 40 and of 5 devices, joint batch of 40", ratios, 0.3)], args.json)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
