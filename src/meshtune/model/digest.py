"""A digest of a base model: equal for equal weights, element types and tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import xxhash
from torch import Tensor, nn


def base_digest(model: nn.Module, tokenizer: Any) -> str:
    """Return 32 hexadecimal digits over ``tokenizer`` and all parameters and buffers of ``model``.

    Names, shapes and element types count too. It reveals a mistake or damage, not malice: xxh3 is fast, not
    cryptographic.
    """
    state = xxhash.xxh3_128()
    _add(state, sorted([*model.named_parameters(), *model.named_buffers()], key=lambda pair: pair[0]))
    state.update(_tokenizer_text(tokenizer).encode())
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


def _tokenizer_text(tokenizer: Any) -> str:
    """Return the content of ``tokenizer``, without the location of its files, which its ``repr`` includes."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return str(backend.to_str())
    if hasattr(tokenizer, "get_vocab"):
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: (pair[1], pair[0]))
        return repr((type(tokenizer).__name__, vocabulary, sorted(tokenizer.special_tokens_map.items())))
    return repr(tokenizer)


def _bytes(tensor: Tensor) -> bytes | memoryview:
    flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    return flat.numpy().data
