"""The frozen base model: loaded once per process (:mod:`meshtune.learning.loading`), never copied per device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from meshtune.adapter.layer import Adapters, decoder_of
from meshtune.learning.checkpointing import again_in_backward, make_checkpointed
from meshtune.learning.compiling import compile_blocks
from meshtune.learning.digest import base_digest
from meshtune.learning.norms import quicken_norms
from meshtune.learning.packing import Packed, hang_in, reading
from meshtune.learning.products import multiply, quicken_products

LOGITS = 64 << 20
"""Bytes of logits that are held at a time, in float32."""


class Base:
    """A frozen causal language model with adapters hung into it, and its tokenizer.

    Args:
        model: the Hugging Face model; its weights are frozen and its linear layers wrapped in place.
        tokenizer: the matching tokenizer.
        name: what the user called it.
        per_layer: see :class:`meshtune.adapter.layer.Adapters`.
        compiled: have torch compile the blocks; the first passes then take minutes.

    Attributes:
        digest: of weights and tokenizer, as they were loaded.
        packs: whether rows are read as one stream without padding.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, per_layer: bool = False, compiled: bool = False) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.digest = base_digest(model, tokenizer)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.adapters = Adapters(model, per_layer)
        self._decoder = decoder_of(model)
        self.blocks = blocks_of(self._decoder)
        if compiled:
            compile_blocks(self.blocks)
        for block in self.blocks:
            make_checkpointed(block, self.adapters)
        self._head = model.get_output_embeddings()
        text = model.config.get_text_config()
        self.width = int(text.hidden_size)
        self._cap = getattr(text, "final_logit_softcapping", None)
        # Cohere multiplies its logits, Granite divides them.
        self._scale = (getattr(text, "logit_scale", None) or 1.0) / (getattr(text, "logits_scaling", None) or 1.0)
        self.longest = int(getattr(text, "max_position_embeddings", None) or 1 << 30)
        self.window = int(getattr(text, "sliding_window", None) or 1 << 30)
        quicken_norms(model)
        quicken_products(model)
        self.packs = hang_in(model)
        if self.packs and not _agrees(self):
            self.packs = False

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

    def read(self, packed: Packed, checkpoint: bool = False) -> Tensor:
        """Return the last hidden states (tokens, width) of a stream of rows.

        A model that cannot read streams reads a rectangle padded on the right; causal attention never looks there.

        Args:
            packed: the rows.
            checkpoint: keep only every block's input for the backward pass, which computes the rest again.
        """
        with again_in_backward(checkpoint):
            return self._read(packed)

    def _read(self, packed: Packed) -> Tensor:
        if self.packs:
            anything = torch.empty(1, 1, 1, 1, dtype=self.dtype, device=self.device)  # keeps the model from making one
            with reading(packed), self.adapters.streamed(packed.lengths):
                out: Tensor = self._decoder(
                    input_ids=packed.tokens[None],
                    position_ids=packed.positions[None],
                    attention_mask=anything,
                    use_cache=False,
                ).last_hidden_state
            return out[0]
        tokens, positions, mask = packed.padded()
        more: dict[str, Tensor] = {}
        if mask is not None:
            shut = torch.zeros(mask.shape, dtype=self.dtype, device=self.device)
            more["attention_mask"] = shut.masked_fill_(~mask, torch.finfo(self.dtype).min)[:, None]
        if positions is not None:
            more["position_ids"] = positions
        return packed.of_padded(self._decoder(input_ids=tokens, use_cache=False, **more).last_hidden_state)

    def extend(self, tokens: Tensor, cache: Any, positions: Tensor | None = None, real: Tensor | None = None) -> Tensor:
        """Return the last hidden states (rows, tokens, width) of ``tokens`` behind what ``cache`` holds; it grows.

        Args:
            tokens: (rows, tokens), padding on the left.
            cache: keys and values of what was read before, of :meth:`fresh_cache`.
            positions: position (rows, tokens) of every token, where they do not just count up.
            real: (rows, cached + tokens) false where a token is padding, where some is.
        """
        more: dict[str, Tensor] = {}
        if positions is not None:
            more["position_ids"] = positions
        if real is not None:
            more["attention_mask"] = real.long()
        out: Tensor = self._decoder(input_ids=tokens, past_key_values=cache, use_cache=True, **more).last_hidden_state
        return out

    def fresh_cache(self) -> Any:
        """Return an empty cache for :meth:`extend`."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config.get_text_config(decoder=True))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits (..., vocabulary), at least fp32, of hidden states (..., width)."""
        raw: Tensor = self._head(hidden)
        logits = raw.to(torch.promote_types(raw.dtype, torch.float32))
        if self._scale != 1:
            logits = logits * self._scale
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap

    def slope(self, logits: Tensor) -> Tensor | float:
        """Return the derivative of the logits by the head's output: its scale, and the slope of the soft cap."""
        scale: float = self._scale
        return scale if self._cap is None else (1.0 - (logits / self._cap).square_()).mul_(scale)

    def token_losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return -log p (n,) of ``labels`` (n,) under the hidden states (n, width) before them, chunk by chunk."""
        found: Tensor = _TokenLosses.apply(hidden, labels, self)  # type: ignore[no-untyped-call]
        return found

    def chunk(self) -> int:
        """Return how many hidden states get their logits at a time: :data:`LOGITS` bytes of them."""
        return max(1, LOGITS // (4 * self.head.shape[0]))

    @property
    def head(self) -> Tensor:
        """The output head's weight (vocabulary, width)."""
        weight: Tensor = self._head.weight
        return weight

    @contextmanager
    def stopped_at(self, block: int) -> Iterator[Callable[[Packed], Tensor]]:
        """Yield a function that returns the input (tokens, width) of block ``block`` for a stream of rows.

        Later blocks are not run, and nothing is differentiated. Threads may call the function side by side.
        """
        with _stop_at(self.blocks[block]) as caught:

            def read(packed: Packed) -> Tensor:
                with torch.no_grad(), suppress(_Reached):
                    self.read(packed)
                return caught.value[0] if self.packs else packed.of_padded(caught.value)

            yield read


class _TokenLosses(torch.autograd.Function):
    """-log p of labels and its gradient by the hidden state in one go, so that logits live for one chunk only.

    With l the logits and p = softmax(l), d(-log p_label)/dl = p - onehot(label); what lies between the head's output
    and l (a scale, a soft cap) multiplies it.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, labels: Tensor, base: Base) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        losses, slopes = [], []
        for start in range(0, len(labels), base.chunk()):
            states, chosen = hidden[start : start + base.chunk()], labels[start : start + base.chunk()]
            logits = base.logits(states)
            slope = base.slope(logits) if wanted else 1.0
            top = logits.amax(dim=1, keepdim=True)
            right = logits.gather(1, chosen[:, None])
            shares = logits.sub_(top).exp_()
            whole = shares.sum(dim=1, keepdim=True)
            losses.append((whole.log() + top - right)[:, 0])
            if wanted:
                shares.div_(whole).scatter_add_(1, chosen[:, None], torch.full_like(whole, -1.0))
                if isinstance(slope, Tensor) or slope != 1.0:
                    shares.mul_(slope)
                slopes.append(multiply(shares.to(states.dtype), base.head.T))
        if wanted:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(losses)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (slopes,) = ctx.saved_tensors
        return slopes * grads[0][:, None].to(slopes.dtype), None, None


def _agrees(base: Base) -> bool:
    """Return whether the model reads a stream as it reads padded rows; layers that look past a row's end do not."""
    rows = Packed([(1, 2, 3, 4, 5), (3, 4, 5), (5, 1)], base.device)
    found = []
    with torch.no_grad():
        for base.packs in (True, False):
            found.append(base.read(rows).double())
    base.packs = True
    error = float((found[0] - found[1]).norm() / found[1].norm())
    return error < (0.05 if base.dtype in (torch.bfloat16, torch.float16) else 1e-3)


class _Reached(Exception):
    """The pass got to the block that was asked for."""


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


def blocks_of(decoder: nn.Module) -> nn.ModuleList:
    """Return the decoder's blocks: the longest module list in it."""
    lists = [module for module in decoder.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len)
