"""A base model with frozen weights stored in 8 or 4 bits, if bitsandbytes is installed.

Only the blocks' frozen weights are quantised: adapters, norms, embeddings and the output head are unchanged. Every
device must use the same bit width, because an expert is trained on top of the quantised weights.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from meshtune.config.learning_config import TINY
from meshtune.errors import UserError


def check_bits(bits: int, name: str) -> None:
    """Raise UserError if the model called ``name`` cannot be stored in this many bits here."""
    if name == TINY or name.endswith(".gguf"):
        raise UserError(f"model.bits={bits} needs a model in Hugging Face layout, {name} is not: leave model.bits out")
    if find_spec("bitsandbytes") is None:
        raise UserError(f"model.bits={bits} needs bitsandbytes: pip install bitsandbytes, or leave model.bits out")


def in_bits(bits: int, dtype: torch.dtype, device: str) -> dict[str, Any]:
    """Return the arguments for transformers to load a model in ``bits`` bits; products use ``dtype``."""
    from transformers import BitsAndBytesConfig

    if bits == 8:
        settings = BitsAndBytesConfig(load_in_8bit=True)
    else:
        settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": settings, "device_map": {"": device}}
