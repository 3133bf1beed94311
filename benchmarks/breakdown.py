"""Where the seconds of one training step go: by part of the step, and by operator.

Parts are labelled while the step runs under torch.profiler: the adapted layers, the frozen products inside them,
attention, the rest of the decoder, the loss and the optimiser. An operator of the backward pass counts for the part
whose forward pass made its node. What no operator covers is Python. All of it runs in one thread, whatever --threads
says: the profiler follows no others.

    python benchmarks/breakdown.py --model $MESHTUNE_MODELS/smollm2
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from record import options
from torch.autograd.profiler_util import EventList
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile, record_function

from meshtune.adapter.layer import AdaptedLinear, decoder_of
from meshtune.errors import UserError
from meshtune.model.base import Base

MARK = "part: "
NODE = "autograd::engine::evaluate_function: "
NAMES = {
    "linear": "base linear",
    "attention": "attention",
    "decoder": "norm, activation, rotary, residual",
    "adapter": "adapter",
    "loss": "loss and logits",
    "optimiser": "optimiser",
    "other": "other",
}


@contextmanager
def labelled(base: Base) -> Iterator[None]:
    """Label the parts of every pass inside the block."""
    with ExitStack() as stack:
        decoder = decoder_of(base.model)
        parts: list[tuple[Any, str]] = [(decoder, "decoder")]
        for adapted in decoder.modules():
            if isinstance(adapted, AdaptedLinear):
                parts += [(adapted, "adapter"), (adapted.base, "linear")]
        for module, part in parts:
            stack.enter_context(mock.patch.object(module, "forward", _marked(module.forward, part)))
        whole = functional.scaled_dot_product_attention
        stack.enter_context(mock.patch.object(functional, "scaled_dot_product_attention", _marked(whole, "attention")))
        for name in ("token_losses", "logits"):
            if hasattr(base, name):
                stack.enter_context(mock.patch.object(base, name, _marked(getattr(base, name), "loss")))
        yield


def _marked(call: Callable[..., Any], part: str) -> Callable[..., Any]:
    def inside(*args: Any, **kwargs: Any) -> Any:
        with record_function(MARK + part):
            return call(*args, **kwargs)

    return inside


def measure(base: Base, step: Callable[[], object]) -> tuple[dict[str, float], str]:
    """Return the seconds of every part of ``step``, forward and backward apart, and the table of its operators."""
    torch.set_num_threads(1)
    step()
    with labelled(base), profile(activities=[ProfilerActivity.CPU]) as prof:
        started = time.perf_counter()
        step()
        wall = time.perf_counter() - started
    events = sorted(prof.events(), key=lambda event: event.time_range.start)
    made: dict[int, str] = {}  # node's number -> part of its forward pass
    for event in events:
        if event.sequence_nr >= 0 and _root(event) is None:
            made[event.sequence_nr] = _part(event)[0]  # the last to begin with a number is the one that makes the node
    seconds: dict[str, float] = {}
    for event in events:
        part, node = _part(event)
        if node is not None:
            part = made.get(node.sequence_nr, "other")
        key = f"{NAMES[part]}, {'forward' if node is None else 'backward'}"
        if part in ("optimiser", "other"):
            key = NAMES[part]
        if not event.name.startswith(MARK):
            seconds[key] = seconds.get(key, 0.0) + event.self_cpu_time_total / 1e6
    seconds["Python and profiler, outside operators"] = wall - sum(seconds.values())
    operators = EventList(event for event in prof.key_averages() if not event.key.startswith(MARK))
    table = operators.table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=45)
    return dict(sorted(seconds.items(), key=lambda item: -item[1])), table


def _root(event: Any) -> Any:
    """Return the backward node that runs ``event``, if one does."""
    while event is not None:
        if event.name.startswith(NODE):
            return event
        event = event.cpu_parent
    return None


def _part(event: Any) -> tuple[str, Any]:
    """Return the nearest label around ``event``, and the backward node around it."""
    at = event
    while at is not None:
        if at.name.startswith(NODE):
            return "other", at
        if at.name.startswith(MARK):
            return at.name.removeprefix(MARK), None
        if at.name.startswith("Optimizer."):
            return "optimiser", None
        at = at.cpu_parent
    return "other", None


def show(seconds: dict[str, float], table: str) -> None:
    """Print both."""
    whole = sum(seconds.values())
    print(table)
    for name, value in seconds.items():
        print(f"{name:50} {value:7.2f} s  {100 * value / whole:5.1f} %")
    print(f"{'one step under the profiler':50} {whole:7.2f} s")


def main() -> None:
    from work import MICRO, SIZE, TASKS, our_jobs, rows_of, tokens_in

    from meshtune.config.learning_config import ModelConfig, TrainConfig
    from meshtune.model.loading import load
    from meshtune.training.trainer import train

    args = options(__doc__).parse_args()
    base = load(ModelConfig(name=args.model, device="cpu"))
    batches = rows_of(base.tokenizer, len(TASKS), 1, SIZE)
    print(f"{tokens_in(batches)} real tokens, one thread")
    config = TrainConfig(rounds=1, steps=1, micro_tokens=MICRO)
    show(*measure(base, lambda: train(base, our_jobs(base, batches), config)))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
