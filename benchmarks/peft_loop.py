"""The rival: a stock PEFT LoRA loop, one device after the other on one base model, as good as it gets without tricks.

One adapter a device, by name. Rows are grouped by length within a device and padded to the longest of their batch only;
right padding under causal attention needs no mask, so none is passed. Answer-only labels, the model's own loss, sdpa
attention, fused AdamW, no dropout. Same rank, layers and rows as ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from work import ALPHA, RANK, grouped

from meshtune.model.encoding import Row, pad

IGNORED = -100


def lora(rank: int = RANK) -> Any:
    """Return the adapter's settings: every linear layer of the blocks."""
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=int(ALPHA / RANK * rank),
        target_modules="all-linear",
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def wrap(model: Any, devices: int, rank: int = RANK) -> Any:
    """Return ``model`` with one adapter a device, named by its number."""
    from peft import get_peft_model

    wrapped = get_peft_model(model, lora(rank), adapter_name="0")
    for device in range(1, devices):
        wrapped.add_adapter(str(device), lora(rank))
    return wrapped.train()


def train_device(model: Any, device: int, batches: Sequence[Sequence[Row]], rate: float = 1e-3) -> list[float]:
    """Train the adapter of ``device`` on its batches, grouped by length; return the losses."""
    model.set_adapter(str(device))
    mine = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(mine, lr=rate, fused=True)
    losses = []
    for batch in grouped(batches):
        tokens = pad([row.tokens for row in batch], model.device)
        width = tokens.shape[1]
        labels = torch.tensor(
            [
                [IGNORED] * row.prompt + list(row.tokens[row.prompt :]) + [IGNORED] * (width - len(row.tokens))
                for row in batch
            ],
            device=model.device,
        )
        loss = model(input_ids=tokens, labels=labels, use_cache=False).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return losses
