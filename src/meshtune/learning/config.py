"""Settings of the base model, of local training and of scoring. No heavy imports, so that help texts are quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from meshtune.errors import UserError
from meshtune.worded import Worded

AUTO: Final = "auto"
Rate = Annotated[
    float | Literal["auto"], Worded(AUTO, "give a learning rate above 0, or auto", gt=0, allow_inf_nan=False)
]
"""A learning rate, or ``auto``: one is looked for before the first round."""
LR_KEYS = {"sparse": "lr", "lora": "lora_lr", "full": "full_lr"}
"""By kind of expert the key of its highest learning rate."""
EMBEDDED = "embedded"
TINY = "tiny-random"


def lower_rate(key: str, rate: float, found: bool) -> str:
    """Return the setting that mends a ``rate`` of the key ``key`` that is too high: a lower one, or one that is looked
    for where it was not ``found`` that way.
    """
    if key == "train.full_lr":  # nothing looks for it
        return f"{key}={rate / 10:.2g}"
    return f"{key}={rate / 3:.2g}" if found else f"{key}={AUTO}"


class ModelConfig(BaseModel):
    """Which base model, and how it is held.

    Attributes:
        name: ``embedded``, hub id, folder, ``.gguf`` file or ``tiny-random``; ``$VARIABLES`` are expanded.
        dtype: element type of the frozen weights and activations.
        bits: 8 or 4 hold the blocks' frozen weights in so many bits, through bitsandbytes; None as they are.
        device: ``auto`` takes a GPU where there is one.
        compile: have ``torch.compile`` fuse what lies between the linear layers; for GPUs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = EMBEDDED
    dtype: str = "float32"
    bits: Literal[8, 4] | None = None
    device: str = "auto"
    compile: bool = False


class TrainConfig(BaseModel):
    """How a device learns.

    Attributes:
        rounds: rounds of local training and exchange.
        steps: optimiser steps a round.
        batch: rows a step and device.
        lr: learning rate of sparse experts; lora_lr: of LoRA experts; full_lr: of all weights. ``auto`` looks for
            one of the first two on rows set aside (:mod:`meshtune.engine.rates`).
        rates: a method's own learning rate, by its name, where it is not its kind's.
        optimizer: ``adam`` (no weight decay) or plain ``sgd``.
        warmup: optimiser steps over which the rate rises linearly from 0; then it falls linearly to
            ``final_lr`` times its peak at the end of the run.
        max_tokens: longest row; prompts are cut from their left.
        micro_tokens: most tokens of one micro-batch, over all devices: the memory dial. On a CPU as many are in
            memory as torch uses threads.
        memory: GiB that the process may take, on a GPU that it may take there; micro-batches are made smaller, then
            activations computed twice, until the forecast keeps it. None for no bound.
        checkpoint: compute activations a second time in the backward pass instead of keeping them: a third slower.
        rows: most training rows a device uses; None for all it holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rounds: int = Field(4, ge=1)
    steps: int = Field(20, ge=1)
    batch: int = Field(4, ge=1)
    lr: Rate = AUTO
    lora_lr: Rate = AUTO
    full_lr: float = Field(1e-4, gt=0, allow_inf_nan=False)
    rates: dict[str, Rate] = {}
    optimizer: Literal["adam", "sgd"] = "adam"
    warmup: int = Field(4, ge=0)
    final_lr: float = Field(0.1, ge=0, le=1)
    max_tokens: int = Field(256, ge=8)
    micro_tokens: int = Field(1024, ge=1)
    memory: float | None = Field(None, gt=0)
    checkpoint: bool = False
    rows: int | None = Field(None, ge=1)

    def peak(self, kind: str, method: str = "") -> float:
        """Return the highest learning rate of ``method``, which trains experts of ``kind``.

        Raises:
            UserError: it has yet to be found.
        """
        found = self._asked(kind, method)
        if isinstance(found, str):
            raise UserError(f"{self.key(kind, method)}=auto is found when a run starts: give a number here")
        return found

    def key(self, kind: str, method: str = "") -> str:
        """Return the key that says what :meth:`peak` is."""
        return f"train.rates.{method}" if method in self.rates else f"train.{LR_KEYS[kind]}"

    def unsettled(self, kind: str, method: str = "") -> bool:
        """Return whether the rate of ``method``, which trains experts of ``kind``, has yet to be found."""
        return self._asked(kind, method) == AUTO

    def settled(self, found: Mapping[str, float], kinds: Mapping[str, str]) -> TrainConfig:
        """Return these settings with the rates that were ``found``, by kind of expert, in the place of ``auto``.

        ``kinds`` are those of the methods that run, by name.
        """
        usual = {LR_KEYS[kind]: rate for kind, rate in found.items() if getattr(self, LR_KEYS[kind]) == AUTO}
        own = {name: found[kinds[name]] for name, rate in self.rates.items() if rate == AUTO and name in kinds}
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


class EvalConfig(BaseModel):
    """What is scored.

    Attributes:
        questions: test questions a task.
        every: sit the exam behind every so many rounds as well, for curves; None for once, at the end.
        elsewhere: questions a task that a device without exchange (``local``) is asked of the others' tasks; None for
            all. Fewer are quicker, but no longer to be compared with the other methods.
        split: ``test``, or ``validation``: rows cut from the training split, for choosing settings.
        micro_tokens: most tokens of one scoring pass.
        write: write answers to the questions whose answers are written, and grade them; else only the NLL of their
            references is measured, which takes a fraction of the time.
        samples: answers written to every question whose answers are written.
        temperature: divides the logits before a token is drawn; 0 takes the likeliest token.
        top_p: draw from the likeliest tokens that have so much probability together.
        pass_at: the k of ``pass@k``, of tasks whose answers are run, where there are several samples.
        unsafe_code: run what the model has written without isolation.
        one_group: tasks that count as one where router accuracy is quoted as one figure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    questions: int = Field(100, ge=1)
    every: int | None = Field(None, ge=1)
    elsewhere: int | None = Field(None, ge=1)
    split: Literal["test", "validation"] = "test"
    micro_tokens: int = Field(2048, ge=1)
    write: bool = True
    samples: int = Field(1, ge=1)
    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    pass_at: tuple[Annotated[int, Field(ge=1)], ...] = (1,)
    unsafe_code: bool = False
    one_group: tuple[str, ...] = ("arc_easy", "arc_challenge", "scienceqa")

    @model_validator(mode="after")
    def _samples_differ(self) -> EvalConfig:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"{self.samples} samples at temperature 0 would all be the same: set eval.temperature=0.8")
        if self.samples < max(self.pass_at, default=1):
            raise ValueError(f"pass@{max(self.pass_at)} needs as many samples: set eval.samples={max(self.pass_at)}")
        return self
