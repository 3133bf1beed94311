"""Tensors bit by bit, and where they are kept by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from meshtune.methods.state import Update


def bits(values: Tensor) -> Tensor:
    """Return the bits of 16-bit or 32-bit values as whole numbers, which tell zeros of either sign apart."""
    return values.view({2: torch.int16, 4: torch.int32}[values.element_size()])


class Shelf:
    """Keeps tensors by name, and hands them out again."""

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def put(self, tensor: Tensor) -> str:
        name = f"n{len(self.kept)}"
        self.kept[name] = tensor.clone()
        return name

    def take(self, first: Any, *more: Any) -> Any:
        if isinstance(first, str):
            return self.kept[first].clone()
        version, *names = more
        return Update(first, version, *(self.kept[name].clone() for name in names))
