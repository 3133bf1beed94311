"""The frozen base model: loaded once per process (:mod:`meshtune.model.loading`), never copied per device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from meshtune.adapter.coverage import adapted_share
from meshtune.adapter.layer import Adapters, blocks_of, decoder_of
from meshtune.model.architecture import window_of
from meshtune.model.checkpointing import again_in_backward, make_checkpointed
from meshtune.model.compiling import compile_blocks
from meshtune.model.frozen_products import quicken_products
from meshtune.model.head import Head, LinearHead, NoHead, OwnHead, TokenLosses, states_of
from meshtune.model.norms import quicken_norms
from meshtune.model.packing import NAME, Packed, hang_in, reading
from meshtune.model.paths import Paths

LOGITS = 64 << 20
"""Bytes of float32 logits held at a time."""


class Base:
    """A frozen causal language model with adapters attached, and its tokenizer.

    It uses the execution paths in ``paths``; :func:`meshtune.model.probes.probed_base.open_base` finds which are
    correct.

    Args:
        model: the Hugging Face model, in evaluation mode; its blocks, norms and products are accelerated in place.
        tokenizer: the matching tokenizer.
        name: the user's name for it.
        digest: of weights and tokenizer, as loaded.
        adapters: attached to ``model``.
        paths: the execution paths that may be used.
        compiled: let torch compile the blocks; the first passes then take minutes.

    Attributes:
        share: how much of the blocks is adapted.
        packs: whether rows are packed in one stream without padding; pads: else in a padded rectangle.
        window: the longest row, in tokens, in which every token is known to see all earlier ones.
        longest: the longest row, in tokens, that may be read.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        digest: str,
        adapters: Adapters,
        paths: Paths,
        compiled: bool = False,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.digest = digest
        self.adapters = adapters
        self.parameters = sum(p.numel() for p in model.parameters())
        self.decoder = decoder_of(model)
        self.blocks = blocks_of(self.decoder)
        text = model.config.get_text_config()
        self.width = int(getattr(text, "hidden_size", None) or model.get_input_embeddings().weight.shape[1])
        self.longest = self._positions = int(getattr(text, "max_position_embeddings", None) or 1 << 30)
        self.window = window_of(text)
        self._layer = model.get_output_embeddings()
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])
        self.share = adapted_share(self.blocks, adapters.layers)
        self._quicken(compiled)
        self.go_by(paths)

    def _quicken(self, compiled: bool) -> None:
        if compiled:
            compile_blocks(self.blocks)
        for block in self.blocks:
            make_checkpointed(block, self.adapters)
        quicken_norms(self.model)
        quicken_products(self.model)
        self._attention = self.model.config.get_text_config(decoder=True)._attn_implementation
        self.streams = hang_in(self.model)

    def go_by(self, paths: Paths) -> None:
        """Use the execution paths in ``paths``."""
        self.paths = paths
        if self.streams:  # the other paths were probed with the model's own attention
            self.model.set_attn_implementation(NAME if paths.read == "stream" else self._attention)
        self.longest = min(self._positions, paths.reach or 1 << 30)
        self.packs = paths.read == "stream"
        self.pads = paths.read != "alone"
        self.beside, self.threads, self.caches = paths.beside, paths.threads, paths.cache
        if paths.whole:
            self.head: Head = NoHead()
        elif paths.linear:
            self.head = LinearHead(self._layer, paths.scale, paths.cap)
        else:
            self.head = self.own_head

    @cached_property
    def own_head(self) -> OwnHead:
        """The model's own head, from hidden states to logits."""
        return OwnHead(self.model, self.decoder)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        device: torch.device = next(iter(self.model.parameters())).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The element type of the frozen weights."""
        dtype: torch.dtype = next(iter(self.model.parameters())).dtype
        return dtype

    def notes(self) -> list[str]:
        """Return the notes on the base: how much of it is adapted, and which fast paths are not used."""
        return [self.share.text(), *self.paths.notes()]

    def read(self, packed: Packed, checkpoint: bool = False) -> Tensor:
        """Return the last hidden states (tokens, width) of a stream of rows.

        A model that cannot read streams reads a rectangle padded on the right, where causal attention never looks, or
        one row at a time. A model whose head cannot be called separately returns logits (tokens, vocabulary).

        Args:
            packed: the rows.
            checkpoint: keep only every block's input for the backward pass, which recomputes the rest.
        """
        with again_in_backward(checkpoint):
            if self.packs:
                return self._read_stream(packed)
            return self._read_padded(packed) if self.pads else self._read_alone(packed)

    def _read_stream(self, packed: Packed) -> Tensor:
        anything = torch.empty(1, 1, 1, 1, dtype=self.dtype, device=self.device)  # keeps the model from building one
        with reading(packed), self.adapters.streamed(packed.lengths):
            return self._run(
                input_ids=packed.tokens[None], position_ids=packed.positions[None], attention_mask=anything
            )[0]

    def _read_padded(self, packed: Packed) -> Tensor:
        tokens, positions, mask = packed.padded()
        more: dict[str, Tensor] = {}
        if mask is not None:
            shut = torch.zeros(mask.shape, dtype=self.dtype, device=self.device)
            more["attention_mask"] = shut.masked_fill_(~mask, torch.finfo(self.dtype).min)[:, None]
        if positions is not None:
            more["position_ids"] = positions
        return packed.of_padded(self._run(input_ids=tokens, **more))

    def _read_alone(self, packed: Packed) -> Tensor:
        found = []
        route, _ = self.adapters.current()
        for number, row in enumerate(packed.rows):
            with self.adapters.routed(None if route is None else route.row(number)):
                found.append(self._run(input_ids=torch.tensor([row], device=self.device))[0])
        return torch.cat(found)

    def _run(self, **inputs: Tensor) -> Tensor:
        if self.paths.whole:
            logits: Tensor = self.model(use_cache=False, **inputs).logits
            return logits
        return states_of(self.decoder(use_cache=False, **inputs))

    def extend(self, tokens: Tensor, cache: Any, positions: Tensor | None = None, real: Tensor | None = None) -> Tensor:
        """Return the last hidden states (rows, tokens, width) of ``tokens`` after those in ``cache``, which grows.

        Args:
            tokens: (rows, tokens), padded on the left.
            cache: keys and values of earlier tokens, from :meth:`fresh_cache`.
            positions: position (rows, tokens) of every token, unless they simply count up.
            real: (rows, cached + tokens), false for padding; needed only if there is some.
        """
        more: dict[str, Tensor] = {}
        if positions is not None:
            more["position_ids"] = positions
        if real is not None:
            more["attention_mask"] = real.long()
        return states_of(self.decoder(input_ids=tokens, past_key_values=cache, use_cache=True, **more))

    def fresh_cache(self) -> Any:
        """Return an empty cache for :meth:`extend`."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config.get_text_config(decoder=True))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits (..., vocabulary), at least fp32, of the output of :meth:`read` (..., width)."""
        return self.head.logits(hidden)

    def token_losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return -log p (n,) of ``labels`` (n,) under the hidden states (n, width) before them, chunk by chunk."""
        found: Tensor = TokenLosses.apply(hidden, labels, self.head, self.chunk())  # type: ignore[no-untyped-call]
        return found

    def chunk(self) -> int:
        """Return how many hidden states get their logits at a time: :data:`LOGITS` bytes of them."""
        return max(1, LOGITS // (4 * self.vocabulary))

    @contextmanager
    def stopped_at(self, block: int) -> Iterator[Callable[[Packed], Tensor]]:
        """Yield a function that returns the input (tokens, width) of block ``block`` for a stream of rows.

        Later blocks are not run, and no gradients are kept. Threads may call the function in parallel.
        """
        with _stop_at(self.blocks[block]) as caught:

            def stopped(packed: Packed) -> Tensor:
                with torch.no_grad(), suppress(_Reached):
                    self.read(packed)
                return caught.value[0] if self.packs else packed.of_padded(caught.value)

            def alone(packed: Packed) -> Tensor:
                return torch.cat([stopped_alone(row) for row in packed.rows])

            def stopped_alone(row: Sequence[int]) -> Tensor:
                with torch.no_grad(), suppress(_Reached):
                    self._read_alone(Packed([row], self.device))
                return caught.value[0]

            yield stopped if self.pads else alone


class _Reached(Exception):
    """The pass reached the requested block."""


class _Caught(threading.local):
    """The input of the block at which a thread's last pass stopped."""

    value: Tensor


@contextmanager
def _stop_at(block: nn.Module) -> Iterator[_Caught]:
    caught = _Caught()

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.value = args[0] if args else kwargs["hidden_states"]
        raise _Reached

    handle = block.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield caught
    finally:
        handle.remove()
