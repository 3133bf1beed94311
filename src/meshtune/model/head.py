"""From last hidden states to logits, as the model itself does it, and the gradient back.

Most models multiply by the output layer's weight and at most scale the product or apply a soft cap. Whether a model
does, and with which numbers, is found by trial (:func:`fitted`), because configurations name such numbers in many ways:
Cohere multiplies by ``logit_scale``, Granite divides by ``logits_scaling``, HyperCLOVAX multiplies by it. Any other
head runs through the model's own code, with its decoder replaced by the given hidden states.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from meshtune.model.frozen_products import multiply

Back = Callable[[Tensor], Tensor]
LOUDER = 8.0
"""Hidden states are also tried at this multiple, where a soft cap shows."""


class Head(Protocol):
    """Computes logits."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits (..., vocabulary), at least fp32, of hidden states (..., width)."""
        ...

    def both(self, hidden: Tensor) -> tuple[Tensor, Back]:
        """Return the logits (n, vocabulary) of hidden states (n, width), and a function that maps a gradient for the
        logits to one for the hidden states.
        """
        ...


def states_of(out: Any) -> Tensor:
    """Return the last hidden states from a decoder's output."""
    states: Any = getattr(out, "last_hidden_state", None)
    found: Tensor = states if states is not None else out[0]
    return found


class LinearHead:
    """l = s W h + b, or c tanh(s (W h + b) / c).

    Args:
        layer: the output layer.
        scale: s.
        cap: c; None for no cap.
    """

    def __init__(self, layer: nn.Linear, scale: float = 1.0, cap: float | None = None) -> None:
        self.layer = layer
        self.scale = scale
        self.cap = cap

    def logits(self, hidden: Tensor) -> Tensor:
        raw: Tensor = self.layer(hidden)
        logits = raw.to(torch.promote_types(raw.dtype, torch.float32))
        if self.scale != 1:
            logits = logits * self.scale
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap

    def slope(self, logits: Tensor) -> Tensor | float:
        """Return the derivative of the logits by the layer's output: its scale, and the slope of the soft cap."""
        return self.scale if self.cap is None else (1.0 - (logits / self.cap).square_()).mul_(self.scale)

    def both(self, hidden: Tensor) -> tuple[Tensor, Back]:
        logits = self.logits(hidden)
        slope = self.slope(logits)

        def back(grad: Tensor) -> Tensor:
            if isinstance(slope, Tensor) or slope != 1.0:
                grad = grad.mul_(slope)
            return multiply(grad.to(hidden.dtype), self.layer.weight.T)

        return logits, back


class _Given(tuple[Any, ...]):
    """A decoder's output with only its last hidden states."""

    last_hidden_state: Tensor

    def __new__(cls, states: Tensor) -> _Given:
        made = super().__new__(cls, (states,))
        made.last_hidden_state = states
        return made

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class _StatesSlot(threading.local):
    states: Tensor | None = None


class OwnHead:
    """The model's own head, from hidden states to logits, with gradients by autograd.

    Args:
        model: the causal language model.
        decoder: the part of it whose output the head reads.
    """

    def __init__(self, model: nn.Module, decoder: nn.Module) -> None:
        self._model = model
        self._slot = slot = _StatesSlot()
        inner = decoder.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            return inner(*args, **kwargs) if slot.states is None else _Given(slot.states)

        decoder.forward = forward

    def logits(self, hidden: Tensor) -> Tensor:
        flat = hidden.reshape(-1, 1, hidden.shape[-1])
        tokens = torch.ones(flat.shape[:2], dtype=torch.int64, device=hidden.device)
        with self._given(flat):
            found: Tensor = self._model(input_ids=tokens, use_cache=False).logits
        return found.to(torch.promote_types(found.dtype, torch.float32)).view(*hidden.shape[:-1], found.shape[-1])

    def both(self, hidden: Tensor) -> tuple[Tensor, Back]:
        return _by_autograd(self.logits, hidden)

    @contextmanager
    def _given(self, states: Tensor) -> Iterator[None]:
        self._slot.states = states
        try:
            yield
        finally:
            self._slot.states = None


class NoHead:
    """For passes that end in logits."""

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden.to(torch.promote_types(hidden.dtype, torch.float32))

    def both(self, hidden: Tensor) -> tuple[Tensor, Back]:
        return _by_autograd(lambda states: states.clone(), hidden)


def _by_autograd(logits_of: Callable[[Tensor], Tensor], hidden: Tensor) -> tuple[Tensor, Back]:
    with torch.enable_grad():
        states = hidden.detach().requires_grad_()
        logits = logits_of(states)

    def back(grad: Tensor) -> Tensor:
        return torch.autograd.grad(logits, states, grad.to(logits.dtype))[0].to(hidden.dtype)

    return logits.detach().clone(), back


class TokenLosses(torch.autograd.Function):
    """-log p of labels and its gradient for the hidden state in one pass, so that logits exist for only one chunk.

    With l the logits and p = softmax(l), d(-log p_label)/dl = p - onehot(label); the head maps it back to the hidden
    state.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, labels: Tensor, head: Head, chunk: int) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        losses, slopes = [], []
        for start in range(0, len(labels), chunk):
            states, chosen = hidden[start : start + chunk], labels[start : start + chunk]
            back: Back | None = None
            if wanted:
                logits, back = head.both(states)
            else:
                logits = head.logits(states)
            top = logits.amax(dim=1, keepdim=True)
            right = logits.gather(1, chosen[:, None])
            shares = logits.sub_(top).exp_() if logits is not states else (logits - top).exp_()
            whole = shares.sum(dim=1, keepdim=True)
            losses.append((whole.log() + top - right)[:, 0])
            if back is not None:
                shares.div_(whole).scatter_add_(1, chosen[:, None], torch.full_like(whole, -1.0))
                slopes.append(back(shares))
        if wanted:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(losses)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (slopes,) = ctx.saved_tensors
        return slopes * grads[0][:, None].to(slopes.dtype), None, None, None


def fitted(
    own: OwnHead,
    layer: Any,
    config: Any,
    hidden: Tensor,
    logits: Tensor,
    error: Callable[[Tensor, Tensor], float],
    limit: float,
) -> LinearHead | None:
    """Return the product, scale and cap that reproduce the model's own head, or None if there are none.

    Args:
        own: the model's own head.
        layer: its output layer.
        config: of the text model; its numbers are tried as scale and cap.
        hidden: hidden states (n, width) to test on.
        logits: the model's logits (n, vocabulary) of them.
        error: how far logits (n, vocabulary) are from others.
        limit: the largest error that counts as equal.
    """
    if type(layer) is not nn.Linear:  # a subclass may do more than the product
        return None
    scales, caps = candidates(config)
    tries = [hidden, hidden * LOUDER]
    with torch.no_grad():
        expected = [logits, own.logits(tries[1])]
        best: tuple[float, LinearHead] | None = None
        for cap in caps:
            for scale in scales:
                head = LinearHead(layer, scale, cap)
                off = max(error(head.logits(s), e) for s, e in zip(tries, expected, strict=True))
                if best is None or off < best[0] / 2:  # among candidates that differ only by rounding, the first wins
                    best = (off, head)
    assert best is not None
    return best[1] if best[0] <= limit else None


def candidates(config: Any) -> tuple[list[float], list[float | None]]:
    """Return the candidate scales and caps among a configuration's numbers, the trivial ones first."""
    scales: list[float] = [1.0]
    caps: list[float | None] = [None]
    for name, value in config.to_dict().items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < abs(value) < float("inf"):
            continue
        if "cap" in name:
            caps.append(float(value))
        elif any(part in name for part in ("logit", "lm_head", "output_mult")):
            scales += [float(value), 1.0 / value]
    return scales, caps
