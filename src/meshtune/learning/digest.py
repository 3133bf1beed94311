"""A digest of a base model: equal where the weights, the element types and the tokenizer are the same."""

from __future__ import annotations

from typing import Any

import torch
import xxhash
from torch import Tensor, nn


def base_digest(model: nn.Module, tokenizer: Any) -> str:
    """Return 32 hexadecimal digits over ``tokenizer`` and all parameters and buffers of ``model``.

    Names, shapes and element types count too. It reveals a mistake or damage, not malice: xxh3 is quick, not
    cryptographic.
    """
    state = xxhash.xxh3_128()
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()], key=lambda pair: pair[0]):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        state.update(_bytes(tensor))
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state.update((repr(tokenizer) if backend is None else backend.to_str()).encode())
    return state.hexdigest()


def _bytes(tensor: Tensor) -> bytes | memoryview:
    flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    return flat.numpy().data
