"""What a Flower client does in a worker of the engine: the stock PEFT loop on its device's rows.

Kept out of the script that starts the engine, so that a worker imports it once and keeps its model between calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from peft_loop import train_device, wrap
from work import plain_model, restore

_kept: dict[str, Any] = {}


def train_client(
    model: str, rows: Path, threads: int, device: int, given: dict[str, Any]
) -> tuple[dict[str, Any], int, float]:
    """Train from the parameters that were ``given``; return the new ones, the number of rows and the loss."""
    torch.set_num_threads(threads)
    if model not in _kept:
        _kept[model] = (wrap(plain_model(model)[0], 1), restore(rows))
    wrapped, batches = _kept[model]
    set_peft_model_state_dict(wrapped, given, adapter_name="0")
    losses = train_device(wrapped, 0, batches[device])
    count = sum(len(batch) for batch in batches[device])
    return get_peft_model_state_dict(wrapped, adapter_name="0"), count, sum(losses) / len(losses)
