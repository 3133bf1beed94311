"""``torch.compile`` for the blocks of the base model: norms, rotary embeddings and activations are fused.

Parts that differ between passes are excluded: the adapted layers, which look up their route, and attention within rows.
Compiling takes minutes. It pays off on a GPU, where each small operation costs a kernel launch; on a CPU it needs a C++
compiler and gains little.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from meshtune.adapter.layer import AdaptedLinear


def compile_blocks(blocks: Iterable[nn.Module]) -> None:
    """Compile the forward pass of every block, whatever the number of its tokens."""
    for block in blocks:
        for module in block.modules():
            if isinstance(module, AdaptedLinear):
                left: Any = module
                left.forward = torch.compiler.disable(module.forward)  # type: ignore[no-untyped-call]
        block.forward = torch.compile(block.forward, dynamic=True)
