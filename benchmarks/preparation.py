"""How much slower preparation and scoring get while another process keeps one core busy.

Preparation is what every device does before the first round: spectral entropies, the calibrated mask, the statistics of
its prompts. Each pass runs on one core, so a busy core should cost about its share of the machine; operations that are
spread over all cores would wait for the busy one thousands of times.

    python benchmarks/preparation.py --model $MESHTUNE_MODELS/smollm2
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from record import at_most, options, over, report, turns
from work import CHOICE, LIMIT, MICRO, data_folder

from meshtune.config.federation_config import TaskConfig
from meshtune.config.learning_config import EvalConfig, ModelConfig, TrainConfig
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import deal, exam_questions, exams
from meshtune.decoding.scoring import Ask, score
from meshtune.errors import UserError
from meshtune.methods.registry import get_method
from meshtune.model.loading import load
from meshtune.node.announcements import announce
from meshtune.runs.observer import Silent

LOAD = "x = 1\nwhile True:\n    x = x * 3 % 1000003"
TARGET = 3.0


@contextmanager
def one_core_busy() -> Iterator[None]:
    """Have another process compute without pause."""
    other = subprocess.Popen([sys.executable, "-c", LOAD])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def main() -> None:
    parser = options(__doc__, runs=3)
    parser.add_argument("--devices", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = RunConfig(
        data=str(data_folder()),
        tasks=tuple(TaskConfig(task=name) for name in CHOICE[: args.devices]),
        model=ModelConfig(name=args.model),
        train=TrainConfig(lr=1e-3, max_tokens=LIMIT, micro_tokens=MICRO),
        eval=EvalConfig(questions=8, micro_tokens=MICRO),
    )
    base = load(config.model)
    devices, methods = deal(config, base.tokenizer), [get_method("bank")]
    asks = [Ask(rows) for exam in exams(config, base.tokenizer, exam_questions(config)) for rows in exam.rows]

    def prepare() -> None:
        announce(base, config, devices, methods, Silent())

    def answer() -> None:
        score(base, asks, MICRO)

    def beside(work: Callable[[], None]) -> None:
        with one_core_busy():
            work()

    seconds = turns(
        {
            "preparation, alone": prepare,
            "preparation, one core busy": lambda: beside(prepare),
            "scoring, alone": answer,
            "scoring, one core busy": lambda: beside(answer),
        },
        args.runs,
        warm=True,
    )
    rows = [
        at_most(
            f"seconds of {name}: one core busy / alone",
            over(seconds[f"{name}, one core busy"], seconds[f"{name}, alone"]),
            TARGET,
        )
        for name in ("preparation", "scoring")
    ]
    report(rows, args.json)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
