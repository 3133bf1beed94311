"""The parts of benchmarks/gpu.py. Each yields a line to print and the facts to keep, as soon as they are known."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import evidence
import torch
from peft_loop import train_device, wrap
from record import at_least, over, turns
from training_speed import linear_parameters
from work import LIMIT, SIZE, TASKS, VARIABLE, Batches, our_jobs, plain_model, rows_of, tokens_in

from meshtune.config.learning_config import TINY, ModelConfig, TrainConfig
from meshtune.data.partition import DeviceData
from meshtune.model.base import Base
from meshtune.model.loading import byte_tokenizer, load, tiny_shape
from meshtune.simulator import run_inputs
from meshtune.tasks.loader import load as load_task
from meshtune.training.trainer import train
from meshtune.version import __version__

Found = Iterator[tuple[str, dict[str, Any] | None]]
CLOSE, GAIN = 1e-4, 8
"""Targets: adapters differ by this much at most; tokens per second over those of the PEFT loop."""
GENERATED = ("sums", "animals")
"""Tasks where there are no real ones."""
WHOLE = 1 << 20
"""Tokens of a micro-batch: on a GPU a step is one."""


class Spent(BaseException):
    """The time is up; no library should take it for an error of its own."""


def facts(args: argparse.Namespace) -> dict[str, Any]:
    """Return what all results are kept with: the card, and versions."""
    card = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    found: dict[str, str | None] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    found["meshtune"] = __version__
    for name in ("torch", "transformers", "peft"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return {"card": card, "model": Path(args.model).stem, "versions": found}


def folder_of(args: argparse.Namespace) -> Path:
    """Return where convert puts the model."""
    return Path(args.out) / f"{Path(args.model).stem}-folder"


def name_of(args: argparse.Namespace) -> str:
    """Return the model to load: what convert made of it, if that is there."""
    made = folder_of(args)
    return str(made) if (made / "done").is_file() else str(args.model)


def convert(args: argparse.Namespace) -> Found:
    """Write the model of a GGUF file, which takes a minute or so to read, as a folder in float32."""
    began, folder = time.perf_counter(), folder_of(args)
    if (folder / "done").is_file():
        yield f"{folder} is there", None
        return
    model, tokenizer = plain_model(args.model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "done").touch()
    seconds = time.perf_counter() - began
    yield f"the GGUF file became {folder} in {seconds:.0f} s", {"seconds": round(seconds, 1)}


def rows(tokenizer: Any, steps: int) -> Batches:
    """Return the rows of ten devices on ten real tasks, or on generated ones if no data are named."""
    if os.environ.get(VARIABLE):
        return rows_of(tokenizer, len(TASKS), steps, SIZE)
    found = []
    for device in range(len(TASKS)):
        own = load_task(GENERATED[device % len(GENERATED)], "train")[device :: len(TASKS)]
        data = DeviceData(device, str(device), own, 0, LIMIT, tokenizer)
        found.append([data.batch(step, SIZE) for step in range(steps)])
    return found


def same(args: argparse.Namespace) -> Found:
    """Train one round of ten devices on the CPU and on the GPU, in float32, and compare all adapters' values."""
    torch.set_float32_matmul_precision("highest")
    adapters: dict[str, list[torch.Tensor]] = {}
    losses: dict[str, float] = {}
    where = ("cpu", args.device if args.device != "cpu" else "cpu again")
    config = TrainConfig(rounds=1, steps=args.steps, micro_tokens=WHOLE)
    for place in where:
        base = load(ModelConfig(name=name_of(args), device=place.split()[0]))
        jobs = our_jobs(base, rows(base.tokenizer, args.steps))
        train(base, jobs, config)
        adapters[place] = [job.expert.values.detach().cpu().double() for job in jobs]
        losses[place] = statistics.fmean(job.losses[-1] for job in jobs)
    one, other = (torch.cat(adapters[place]) for place in where)
    gap = (one - other).abs()
    over_it = int((gap > CLOSE + CLOSE * one.abs()).sum())
    relative = float((one - other).norm() / one.norm())
    yield (
        f"{'equal' if not over_it else 'NOT equal'}: of {len(one)} adapter values, largest {one.abs().max():.1e}, the "
        f"largest difference is {gap.max():.1e}; {over_it} differ by more than {CLOSE:g} (1 + |value|); relative "
        f"difference of all {relative:.1e}; last losses {losses[where[0]]:.6f} and {losses[where[1]]:.6f}",
        {
            "steps": args.steps, "values": len(one), "largest_value": float(one.abs().max()),
            "largest_difference": float(gap.max()), "differing": over_it, "relative": relative,
            "losses": list(losses.values()), "tolerance": CLOSE, "met": not over_it,
        },
    )  # fmt: skip


def settle(device: str) -> None:
    """Wait until the GPU has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def rate_of(device: str, size: int, repeats: int = 10) -> float:
    """Return the operations per second of square bfloat16 products of random numbers."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(a)
    for _ in range(3):
        torch.mm(a, b, out=out)
    settle(device)
    began = time.perf_counter()
    for _ in range(repeats):
        torch.mm(a, b, out=out)
    settle(device)
    return 2 * size**3 * repeats / (time.perf_counter() - began)


def rate_at(base: Base, tokens: int, repeats: int = 5) -> float:
    """Return the operations per second of the frozen products of a step, forward and backward, alone."""
    weights = [base.adapters.weight(layer) for layer in base.adapters.layers]
    new = {"device": base.device, "dtype": base.dtype}
    wide = {n: torch.randn(tokens, n, **new) for weight in weights for n in weight.shape}
    device = base.device.type
    began = 0.0
    with torch.no_grad():
        for turn in range(repeats + 1):
            if turn == 1:  # the first warms up
                settle(device)
                began = time.perf_counter()
            for weight in weights:
                torch.mm(wide[weight.shape[1]], weight.T)
                torch.mm(wide[weight.shape[0]], weight)
    settle(device)
    return 4 * linear_parameters(base) * tokens * repeats / (time.perf_counter() - began)


def rival_of(name: str) -> Any:
    """Return the model for the PEFT loop, in bfloat16."""
    if name != TINY:
        return plain_model(name, torch.bfloat16)[0]
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM(tiny_shape(len(byte_tokenizer()))).to(torch.bfloat16)


def speed(args: argparse.Namespace) -> Found:
    """Time ten devices trained together, and one adapter after the other by PEFT, in bfloat16, by turns."""
    base = load(ModelConfig(name=name_of(args), device=args.device, dtype="bfloat16"))
    card = rate_of(args.device, 8192 if args.device == "cuda" else 512)
    yield f"the card multiplies at {card / 1e12:.4g} TFLOP/s in bfloat16", {"card_flops": card}
    batches = rows(base.tokenizer, args.steps)
    tokens, weights = tokens_in(batches), linear_parameters(base)
    step = tokens // args.steps
    shapes = rate_at(base, step)
    yield f"the frozen products of a step of {step} tokens alone: {shapes / 1e12:.4g} TFLOP/s", {"step_flops": shapes}
    jobs = our_jobs(base, batches)
    config = TrainConfig(rounds=1, steps=args.steps, micro_tokens=WHOLE)

    def ours() -> None:
        train(base, jobs, config)
        settle(args.device)

    cases = {"ours": ours}
    if find_spec("peft") is None:
        yield "PEFT loop: left out, there is no peft here (make .venv-rivals/.installed)", None
    else:
        rival = wrap(rival_of(name_of(args)).to(args.device), len(TASKS))

        def peft() -> None:
            for device, mine in enumerate(batches):
                train_device(rival, device, mine)
            settle(args.device)

        cases["peft"] = peft
    times = turns(cases, args.runs, warm=True)
    for name, seconds in times.items():
        pace = tokens / statistics.median(seconds)
        done = 4 * weights * pace
        yield (
            f"{name}: {pace:.0f} tokens/s, {done / card:.2%} of the card's rate, {done / shapes:.2%} of the step's",
            {
                "loop": name, "steps": args.steps, "tokens": tokens, "seconds": seconds, "tokens_per_second": pace,
                "share_of_card": done / card, "share_of_step": done / shapes,
            },
        )  # fmt: skip
    if "peft" in times:
        row = at_least("training tokens/s: ours / stock PEFT loop", over(times["peft"], times["ours"]), GAIN)
        yield f"{row.name}: {row.ratio:.2f} ({row.low:.2f} to {row.high:.2f}), target {row.target}", asdict(row)


def study_of(args: argparse.Namespace) -> evidence.Study:
    """Return the study of seven tasks with this model and device, in float32 as on a CPU."""
    settings = [f"model.name={name_of(args)}", f"model.device={args.device}"]
    if args.device == "cuda":
        settings += ["train.micro_tokens=16384", "eval.micro_tokens=16384"]
    if not os.environ.get(VARIABLE):
        settings.append(f"tasks=[{','.join(GENERATED)}]")
    return evidence.Study(evidence.STUDIES["seven"].config, tuple(settings))


def key_of(args: argparse.Namespace, job: evidence.Job) -> list[Any]:
    """Return what tells one piece of the curve from all others."""
    return [args.device, job.model, job.rows, job.seed, list(job.methods), list(job.rates)]


def curve(args: argparse.Namespace) -> Found:
    """Train and score longer and longer, three seeds each, until the time is up; skip what the results hold."""
    known = json.loads(args.results.read_text(encoding="utf-8")) if args.results.is_file() else []
    done = [one["key"] for one in known if "key" in one]
    evidence.STUDIES[args.device] = study_of(args)
    label = Path(args.model).stem
    evidence.MODELS[label] = []
    run_inputs.load = cache(load)  # hundreds of runs on one base: it is loaded once
    wanted = argparse.Namespace(**{**vars(args), "model": label, "settings": []})
    jobs = list(evidence.jobs(args.device, wanted))
    signal.signal(signal.SIGALRM, up)
    for number, job in enumerate(jobs):  # short ones first
        if key_of(args, job) in done:
            continue
        began = time.perf_counter()
        what = f"{number + 1}/{len(jobs)} {job.rows} rows, seed {job.seed}, {job.methods[0]}"
        try:
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, args.until - time.time()))
            found = job.done()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Spent:
            yield f"stopped at the budget with {number} of {len(jobs)} done; the same command goes on", None
            return
        except Exception as error:  # the next length may work
            signal.setitimer(signal.ITIMER_REAL, 0)
            yield f"{what}: failed: {error}", {"failed": f"{what}: {type(error).__name__}: {error}"}
            continue
        means = [f"{one['method']} {evidence.averaged(one['scores']['nll']):.3f}" for one in found]
        seconds = time.perf_counter() - began
        yield (
            f"{what}: NLL {', '.join(means)} ({seconds:.0f} s)",
            {"key": key_of(args, job), "seconds": round(seconds, 1), "found": found},
        )
    yield "all lengths were tried", None


def up(*_: object) -> None:
    """End what is being done: a run keeps its finished rounds."""
    raise Spent
