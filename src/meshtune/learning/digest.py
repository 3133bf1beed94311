"""A digest of a base model: equal where the weights, the element types and the tokenizer are the same."""

from __future__ import annotations

from collections.abc import Iterable
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
    _add(state, sorted([*model.named_parameters(), *model.named_buffers()], key=lambda pair: pair[0]))
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state.update((repr(tokenizer) if backend is None else backend.to_str()).encode())
    return state.hexdigest()


def tensors_digest(named: Iterable[tuple[str, Tensor]]) -> str:
    """Return 32 hexadecimal digits over names, shapes, element types and bytes of tensors, in any order."""
    state = xxhash.xxh3_128()
    _add(state, sorted(named, key=lambda pair: pair[0]))
    return state.hexdigest()


def _add(state: xxhash.xxh3_128, named: Iterable[tuple[str, Tensor]]) -> None:
    for name, tensor in named:
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        state.update(_bytes(tensor))


def _bytes(tensor: Tensor) -> bytes | memoryview:
    flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    return flat.numpy().data
