"""The adapted linear layer, and how it is inserted into any Hugging Face causal language model.

The base model's linear modules stay unchanged and frozen inside a thin wrapper that asks the current route for an
update. The route is set for one forward pass at a time, so one base model serves every device of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from meshtune.adapter.rounded_weights import QuantisedLinear, whole
from meshtune.adapter.route import Route
from meshtune.adapter.sites import LayerSpec, describe
from meshtune.errors import UserError


class _Slot(threading.local):
    """State shared by all adapted layers of one model: the route of the running pass, one pass per thread."""

    route: Route | None = None
    lengths: Sequence[int] | None = None
    watch: Callable[[LayerSpec, Tensor], None] | None = None


class AdaptedLinear(nn.Module):
    """A frozen linear module plus the current route's update: y = W0 x + delta(x)."""

    def __init__(self, base: nn.Module, layer: LayerSpec, slot: _Slot) -> None:
        super().__init__()
        self.base = base
        self.layer = layer
        self._slot = slot

    def forward(self, x: Tensor) -> Tensor:
        """Return the adapted output (..., d) for x (..., k); some models flatten rows and tokens before it."""
        if self._slot.watch is not None:
            self._slot.watch(self.layer, x if x.dim() == 3 else x[None])
        y: Tensor = self.base(x)
        route = self._slot.route
        return y if route is None else route.apply(self.layer, x, y, self._slot.lengths)

    def __getattr__(self, name: str) -> Any:
        """Return the frozen module's own ``weight``, ``bias`` and sizes, which other modules may read."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base":
                raise
            return getattr(self.base, name)


class Adapters:
    """The adapted layers of one model.

    Args:
        model: a causal language model; its linear modules inside the decoder blocks are wrapped in place and every
            weight is frozen.
        per_layer: give every layer its own projection instead of one per input site.
        left_out: names of linear modules to leave unchanged.

    Raises:
        UserError: no linear layer was found inside the model's blocks.
    """

    def __init__(self, model: nn.Module, per_layer: bool = False, left_out: Collection[str] = ()) -> None:
        model.requires_grad_(False)
        self._slot = _Slot()
        self._modules: list[AdaptedLinear] = []
        found = [(name, module) for name, module in find_linear(model) if name not in left_out]
        if not found:
            raise UserError(
                f"the model {type(model).__name__} sends its tokens through none of its linear layers in the open: use "
                "a causal language model built from torch.nn.Linear or Conv1D"
            )
        for name, module in found:
            inputs, outputs = _shape(module)
            layer = describe(len(self._modules), name, inputs, outputs, per_layer)
            frozen = module if whole(module) is None else QuantisedLinear(module)
            adapted = AdaptedLinear(frozen, layer, self._slot)
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, adapted)
            self._modules.append(adapted)
        self.layers = [module.layer for module in self._modules]

    def weight(self, layer: LayerSpec) -> Tensor:
        """Return the frozen W0 (d, k) of ``layer``."""
        base = self._modules[layer.index].base
        if isinstance(base, QuantisedLinear):
            held = whole(base.held)
            assert held is not None
            return held
        weight = base.weight
        assert isinstance(weight, Tensor)
        return weight.T if isinstance(base, Conv1D) else weight

    @contextmanager
    def routed(self, route: Route | None) -> Iterator[None]:
        """Apply ``route`` to every forward pass inside the block."""
        before, self._slot.route = self._slot.route, route
        try:
            yield
        finally:
            self._slot.route = before

    @contextmanager
    def streamed(self, lengths: Sequence[int]) -> Iterator[None]:
        """Interpret the tokens of every pass inside the block as concatenated rows of these lengths."""
        before, self._slot.lengths = self._slot.lengths, lengths
        try:
            yield
        finally:
            self._slot.lengths = before

    def current(self) -> tuple[Route | None, Sequence[int] | None]:
        """Return the route and row lengths of this thread's pass, for :meth:`resumed`."""
        return self._slot.route, self._slot.lengths

    @contextmanager
    def resumed(self, current: tuple[Route | None, Sequence[int] | None]) -> Iterator[None]:
        """Use the route and row lengths returned by :meth:`current`, possibly in another thread, inside the block."""
        before = self.current()
        self._slot.route, self._slot.lengths = current
        try:
            yield
        finally:
            self._slot.route, self._slot.lengths = before

    @contextmanager
    def watched(self, watch: Callable[[LayerSpec, Tensor], None]) -> Iterator[None]:
        """Call ``watch(layer, x)`` with every adapted layer's input inside the block."""
        self._slot.watch = watch
        try:
            yield
        finally:
            self._slot.watch = None


def decoder_of(model: nn.Module) -> Any:
    """Return the stack of decoder blocks of a causal language model, or the model itself if it contains none."""
    known: Any = model
    named = [known.get_decoder() if hasattr(known, "get_decoder") else None, getattr(known, "base_model", None)]
    for found in [*named, *model.children()]:  # get_decoder may name the output layer, the model itself, or nothing
        if isinstance(found, nn.Module) and found is not model and _has_blocks(found):
            return found
    return model


def _has_blocks(module: nn.Module) -> bool:
    return any(isinstance(inner, nn.ModuleList) for inner in module.modules())


def blocks_of(decoder: nn.Module) -> nn.ModuleList:
    """Return the decoder's blocks: the longest module list in it that is not inside another one.

    Raises:
        UserError: there is no module list.
    """
    lists = {name: module for name, module in decoder.named_modules() if isinstance(module, nn.ModuleList)}
    outer = [
        module for name, module in lists.items() if not any(name.startswith(f"{other}.") for other in lists if other)
    ]
    if not outer:
        raise UserError(
            f"the model {type(decoder).__name__} is not made of a list of blocks: use a causal language model that is"
        )
    return max(outer, key=len)


def find_linear(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return (name, module) of every linear module inside the model's decoder blocks, in order.

    Raises:
        UserError: there is none.
    """
    inside = set(decoder_of(model).modules())  # a multimodal model has other towers
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module in inside and any(p.isdigit() for p in name.split("."))
    ]
    if not found:
        kinds = sorted({type(m).__name__ for m in model.modules() if isinstance(getattr(m, "weight", None), Tensor)})
        raise UserError(
            f"the model {type(model).__name__} has no linear layers inside its blocks to adapt "
            f"(it has {', '.join(kinds)}): use a causal language model built from torch.nn.Linear or Conv1D"
        )
    return found


def _shape(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    assert isinstance(module.weight, torch.Tensor)
    return int(module.weight.shape[0]), int(module.weight.shape[1])
