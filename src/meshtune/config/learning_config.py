"""Settings of the base model, of local training and of scoring. No heavy imports, so that help texts are fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from meshtune.errors import UserError
from meshtune.settings import Count, Settings, Within
from meshtune.worded import Worded

AUTO: Final = "auto"
Rate = Annotated[
    float | Literal["auto"],
    Worded(AUTO, "give a learning rate, 1e-12 to 1e+06, or auto", ge=1e-12, le=1e6, allow_inf_nan=False),
]
"""A learning rate, or ``auto``: one is searched for before the first round."""
LR_KEYS = {"sparse": "lr", "lora": "lora_lr", "core": "core_lr", "full": "full_lr"}
"""The key of the highest learning rate, by kind of expert."""
EMBEDDED = "embedded"
TINY = "tiny-random"

COLDEST = 1e-3
"""The lowest temperature above 0 that logits are divided by."""
HOTTEST = 1e3
"""The highest."""


def check_temperature(value: float) -> None:
    """Make sure that ``value`` is a usable divisor of logits, or 0.

    Raises:
        UserError: it is not.
    """
    if value and not COLDEST <= value <= HOTTEST:
        raise UserError(f"`temperature` {value:g} is out of range: give 0, or {COLDEST:g} to {HOTTEST:g}")


Rounds = Annotated[int, Within(1, 1_000_000)]


def lower_rate(key: str, rate: float, found: bool) -> str:
    """Return the setting that fixes a too high ``rate`` of the key ``key``: a lower rate, or ``auto`` unless it was
    ``found`` that way.
    """
    if key == "train.full_lr":  # it has no search
        return f"{key}={rate / 10:.2g}"
    return f"{key}={rate / 3:.2g}" if found else f"{key}={AUTO}"


class ModelConfig(Settings):
    """The base model, and how it is stored.

    Attributes:
        name: ``embedded``, hub id, folder, ``.gguf`` file or ``tiny-random``; ``$VARIABLES`` are expanded.
        dtype: element type of the frozen weights and activations.
        products: ``bfloat16`` rounds the products with frozen float32 weights, and only these, to bfloat16: faster on
            processors with AVX-512 BF16 or AMX. ``model`` computes them in ``dtype``.
        bits: 8 or 4 store the blocks' frozen weights in this many bits, through bitsandbytes; None leaves them
            unchanged.
        device: ``auto`` uses a GPU if there is one.
        compile: let ``torch.compile`` fuse the operations between the linear layers; for GPUs.
    """

    name: str = EMBEDDED
    dtype: str = "float32"
    products: Literal["model", "bfloat16"] = "model"
    bits: Literal[8, 4] | None = None
    device: str = "auto"
    compile: bool = False


class TrainConfig(Settings):
    """How a device trains.

    Attributes:
        rounds: rounds of local training and exchange.
        steps: optimiser steps per round.
        batch: rows per step and device.
        lr: learning rate of sparse experts; lora_lr: of LoRA experts; core_lr: of r x r cores; full_lr: of all weights.
            ``auto`` searches for one of the first three on training rows (:mod:`meshtune.training.learning_rate`).
        rates: learning rates of single methods by name, overriding that of their kind.
        optimizer: ``adam`` (no weight decay) or plain ``sgd``.
        warmup: optimiser steps over which the rate rises linearly from 0; then it falls linearly to
            ``final_lr`` times its peak at the end of the run.
        max_tokens: longest row; prompts are truncated from the left.
        micro_tokens: most tokens of one micro-batch, over all devices: the main control of memory. On a CPU as many
            micro-batches are in memory as torch uses threads.
        memory: GiB that the process may take, on a GPU of GPU memory; micro-batches are made smaller, then activations
            recomputed, until the forecast fits. None for no bound.
        checkpoint: recompute activations in the backward pass instead of keeping them: a third slower.
        rows: most training rows a device uses; None for all it holds.
    """

    rounds: Rounds = 4
    steps: Rounds = 20
    batch: Annotated[int, Within(1, 100_000)] = 4
    lr: Rate = AUTO
    lora_lr: Rate = AUTO
    core_lr: Rate = AUTO
    full_lr: Annotated[float, Within(1e-12, 1e6)] = 1e-4
    rates: dict[str, Rate] = {}  # noqa: RUF012 (frozen)
    optimizer: Literal["adam", "sgd"] = "adam"
    warmup: Annotated[int, Within(0, 10**9)] = 4
    final_lr: float = Field(0.1, ge=0, le=1)
    max_tokens: Annotated[int, Within(8, 10**7)] = 256
    micro_tokens: Count = 1024
    memory: Annotated[float, Within(1e-3, 1e6, "GiB")] | None = None
    checkpoint: bool = False
    rows: Count | None = None

    def peak(self, kind: str, method: str = "") -> float:
        """Return the highest learning rate of ``method``, which trains experts of ``kind``.

        Raises:
            UserError: it has not been found yet.
        """
        found = self._asked(kind, method)
        if isinstance(found, str):
            raise UserError(f"{self.key(kind, method)}=auto is found when a run starts: give a number here")
        return found

    def key(self, kind: str, method: str = "") -> str:
        """Return the key that sets :meth:`peak`."""
        return f"train.rates.{method}" if method in self.rates else f"train.{LR_KEYS[kind]}"

    def unsettled(self, kind: str, method: str = "") -> bool:
        """Return whether the rate of ``method``, which trains experts of ``kind``, has not been found yet."""
        return self._asked(kind, method) == AUTO

    def settled(self, found: Mapping[str, float], kinds: Mapping[str, Sequence[str]]) -> TrainConfig:
        """Return these settings with ``auto`` replaced by the rates ``found`` for each kind of expert.

        ``kinds`` gives the kinds of each method in the run, by name; a rate set for the method itself is one for all
        its parts, the lowest.
        """
        usual = {LR_KEYS[kind]: rate for kind, rate in found.items() if getattr(self, LR_KEYS[kind]) == AUTO}
        own = {
            name: min(found[kind] for kind in kinds[name])
            for name, rate in self.rates.items()
            if rate == AUTO and name in kinds
        }
        return self.model_copy(update={**usual, "rates": {**self.rates, **own}})

    def _asked(self, kind: str, method: str) -> float | Literal["auto"]:
        usual: float | Literal["auto"] = getattr(self, LR_KEYS[kind])
        return self.rates.get(method, usual)

    def rate(self, peak: float, step: int) -> float:
        """Return the learning rate at optimiser step ``step`` of the whole run, given its highest."""
        if step < self.warmup:
            return peak * (step + 1) / (self.warmup + 1)
        left = 1 - (step - self.warmup) / max(1, self.rounds * self.steps - self.warmup)
        return peak * (self.final_lr + (1 - self.final_lr) * max(0.0, left))


class EvalConfig(Settings):
    """What is scored.

    Attributes:
        questions: test questions per task.
        every: also score after every so many rounds, for curves; None for only once, at the end.
        elsewhere: questions that a device without exchange (``local``) is asked of each other task; None for all. Fewer
            are faster, but no longer comparable with the other methods.
        split: ``test``, or ``validation``: rows held out from the training split, for choosing settings.
        micro_tokens: most tokens of one scoring pass.
        write: generate and grade answers for tasks with written answers; else only the NLL of their references is
            measured, which takes a fraction of the time.
        samples: answers generated per question with a written answer.
        temperature: divides the logits before a token is sampled; 0 takes the likeliest token.
        top_p: sample from the likeliest tokens that together have this probability.
        pass_at: the k of ``pass@k``, for tasks whose answers are programs, with several samples.
        unsafe_code: run programs that the model has written without isolation.
        one_group: tasks that count as one when router accuracy is given as one figure.
    """

    questions: Count = 100
    every: Count | None = None
    elsewhere: Count | None = None
    split: Literal["test", "validation"] = "test"
    micro_tokens: Count = 2048
    write: bool = True
    samples: Annotated[int, Within(1, 10_000)] = 1
    temperature: Annotated[float, Within(0, HOTTEST)] = 0.0
    top_p: float = Field(1.0, ge=1e-6, le=1)
    pass_at: tuple[Annotated[int, Within(1, 10_000)], ...] = (1,)
    unsafe_code: bool = False
    one_group: tuple[str, ...] = ("arc_easy", "arc_challenge", "scienceqa")

    @field_validator("temperature")
    @classmethod
    def _divides(cls, value: float) -> float:
        if 0 < value < COLDEST:
            raise ValueError(f"give 0, which takes the likeliest token, or {COLDEST:g} to {HOTTEST:g}")
        return value

    @model_validator(mode="after")
    def _samples_differ(self) -> EvalConfig:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"{self.samples} samples at temperature 0 would all be the same: set eval.temperature=0.8")
        if self.samples < max(self.pass_at, default=1):
            warm = "" if self.temperature else " and eval.temperature=0.8"
            raise ValueError(
                f"pass@{max(self.pass_at)} needs as many samples: set eval.samples={max(self.pass_at)}{warm}"
            )
        return self
