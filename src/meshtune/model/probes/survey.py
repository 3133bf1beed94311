"""The unmodified model's output for single rows, which every fast path must reproduce.

It uses two rows with a common beginning and different endings. The survey also finds which linear layers can be adapted
(all of a row's tokens pass through them, once each, by a module call), whether the model looks ahead, whether it keeps
state, and whether its numbers are finite. A model that cannot be used is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from meshtune.adapter.layer import blocks_of, decoder_of, find_linear
from meshtune.errors import UserError
from meshtune.model.architecture import window_of
from meshtune.model.head import states_of
from meshtune.printable import printable
from meshtune.seeds import stream

FAR = 1024
"""The longest window, in tokens, for which rows beyond the window are tested."""
START, END, SHORT = 20, 4, 9
"""Tokens of the two rows' common beginning, of each end, and of the third row."""
_HALF = (torch.bfloat16, torch.float16)


@dataclass
class Survey:
    """The model's own output.

    Attributes:
        rows: the two rows, and the first few tokens of the second as a third.
        start: how many tokens the first two have in common.
        logits: the model's own logits (tokens, vocabulary) of every row, at least fp32.
        hidden: the last hidden states (tokens, width) of the first row; None if they are not accessible.
        entered: the input (tokens, width) of block ``block`` for every row; None if it does not have this shape.
        block: the number of the observed block.
        left_out: linear layers that cannot be adapted.
        far: three rows; the first two share a beginning and are longer than the model's window; empty if it has no
            window, or one that is too long to test.
        far_states: the last hidden states (tokens, width) of each of those.
        far_start: how many tokens the first two of those have in common.
        stateful: whether a pass leaves state in the model's modules.
        half: whether the model computes in 16 bits.
        noise: in 16 bits, how much rounding alone changes logits: the third row alone, against the second's beginning.
    """

    rows: list[tuple[int, ...]]
    start: int
    block: int
    half: bool
    logits: list[Tensor] = field(default_factory=list)
    hidden: Tensor | None = None
    entered: list[Tensor | None] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    far: list[list[int]] = field(default_factory=list)
    far_states: list[Tensor] = field(default_factory=list)
    far_start: int = 0
    stateful: bool = False
    noise: float = 0.0

    @property
    def limit(self) -> float:
        """The largest :func:`far_off` that counts as rounding."""
        return min(0.5, max(0.1, 3 * self.noise)) if self.half else 3e-4


def survey(model: Any, tokenizer: Any, name: str) -> Survey:
    """Return the output of ``model`` itself.

    Raises:
        UserError: it cannot read a row of tokens, gives different logits each time, looks ahead, or computes non-finite
            numbers in its element type.
    """
    config = model.config.get_text_config()
    dtype = next(iter(model.parameters())).dtype
    blocks = blocks_of(decoder_of(model))
    found = Survey(*rows_of(model, tokenizer), round(0.3 * (len(blocks) - 1)), dtype in _HALF)
    watch = _Watch(model, decoder_of(model), blocks[found.block])
    with torch.no_grad(), watch.hooked():
        for number, row in enumerate(found.rows[:2]):
            before = _held(model)
            found.logits.append(_alone(model, row, name))
            found.stateful |= number > 0 and _changed(before, _held(model))
            found.entered.append(watch.entered_as(len(row)))
            if number == 0:
                found.hidden = watch.states_as(len(row))
                found.left_out = watch.left_out(len(row))
        short, entered = len(found.rows[2]), found.entered[1]
        found.logits.append(found.logits[1][:short])
        found.entered.append(None if entered is None else entered[:short])
        if found.half:
            found.noise = far_off(_alone(model, found.rows[2], name), found.logits[2])
        finite = watch.finite and all(bool(torch.isfinite(logits).all()) for logits in found.logits)
    if not finite:
        told = str(dtype).removeprefix("torch.")
        remedy = "hold the model in float32 or bfloat16" if dtype == torch.float16 else "download its weights again"
        raise UserError(f"model.name={name} computes values that are not finite in model.dtype={told}: {remedy}")
    _check_causal(model, found, name)
    longest = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
    if window_of(config) < min(FAR + 1, longest):
        found.far, found.far_start = far_rows(model, min(longest, window_of(config) + 24))
        with torch.no_grad():
            found.far_states = [_states(model, row) for row in found.far]
    return found


def far_rows(model: Any, longest: int) -> tuple[list[list[int]], int]:
    """Return three rows, the first of ``longest`` tokens, and the length of the first two's common beginning."""
    size = model.get_input_embeddings().weight.shape[0]
    draw = stream(0, "probe-far").integers(0, min(size, 4096), longest + 6).tolist()
    start = longest - 5
    return [draw[:longest], [*draw[:start], *draw[longest : longest + 4]], draw[3:13]], start


def far_off(found: Tensor, expected: Tensor) -> float:
    """Return the largest error of a token's logits (tokens, vocabulary), as a share of their spread there."""
    exact = torch.promote_types(found.dtype, torch.float32)
    found, expected = found.to(exact), expected.to(exact)
    spread = expected.std(dim=-1).clamp_min(1e-12)
    error = float(((found - expected).square().mean(dim=-1).sqrt() / spread).max())
    return error if error == error else float("inf")


def rows_of(model: Any, tokenizer: Any) -> tuple[list[tuple[int, ...]], int]:
    """Return the rows, without special tokens, and the length of the common beginning."""
    config = model.config.get_text_config()
    special = _special(model.config) | _special(config) | set(getattr(tokenizer, "all_special_ids", None) or ())
    size = model.get_input_embeddings().weight.shape[0]
    plain = [token for token in range(min(size, 4096)) if token not in special] or list(range(size))
    longest = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
    start = max(2, min(START, longest - END))
    draw = [plain[i] for i in stream(0, "probe").integers(0, len(plain), start + 2 * END).tolist()]
    first = getattr(tokenizer, "bos_token_id", None)
    if isinstance(first, int) and 0 <= first < size:
        draw[0] = first
    common, ends = draw[:start], draw[start:]
    if ends[:END] == ends[END:]:
        ends[-1] = next((token for token in plain if token != ends[-1]), ends[-1])
    rows = [(*common, *ends[:END]), (*common, *ends[END:])]
    return [*rows, rows[1][: min(SHORT, start)]], start


def reason(error: BaseException) -> str:
    """Return the message of a third-party error on one short line."""
    return printable((str(error).strip() or type(error).__name__).splitlines()[0].rstrip("."), 160)


def _special(config: Any) -> set[int]:
    facts = config.to_dict() if hasattr(config, "to_dict") else {}
    named = [value for key, value in facts.items() if key.endswith(("token_id", "token_index", "token_ids"))]
    return {token for value in named for token in (value if isinstance(value, list) else [value]) if token is not None}


def _alone(model: Any, row: Sequence[int], name: str) -> Tensor:
    device = next(iter(model.parameters())).device
    try:
        logits: Tensor = model(input_ids=torch.tensor([row], device=device), use_cache=False).logits[0]
    except Exception as error:  # an architecture that needs other inputs than tokens may fail anywhere
        raise UserError(
            f"model.name={name}: {type(model).__name__} cannot read a row of tokens alone ({reason(error)}): use a "
            "causal language model of text"
        ) from error
    if logits.dim() != 2 or logits.shape[0] != len(row):
        raise UserError(
            f"model.name={name}: {type(model).__name__} gives logits of shape {tuple(logits.shape)} for {len(row)} "
            "tokens: use a causal language model of text"
        )
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _states(model: Any, row: Sequence[int]) -> Tensor:
    tokens = torch.tensor([row], device=next(iter(model.parameters())).device)
    return states_of(decoder_of(model)(input_ids=tokens, use_cache=False))[0]


def _check_causal(model: Any, found: Survey, name: str) -> None:
    """Make sure that later tokens do not change a token's logits."""
    start = found.start
    ahead = far_off(found.logits[1][:start], found.logits[0][:start])
    if ahead <= (0.02 if found.half else 1e-4):
        return
    with torch.no_grad():
        again = far_off(_alone(model, found.rows[0], name), found.logits[0])
    if again > found.limit / 10:
        raise UserError(
            f"model.name={name} gives other logits each time it reads the same row: use a model without chance in it"
        )
    raise UserError(
        f"model.name={name} looks ahead: a row's last tokens change the logits before them, so its scores of answers "
        "would mean nothing: use a causal language model"
    )


def _held(model: nn.Module) -> list[tuple[str, Any, int]]:
    """Return the modules' state besides weights, with the versions of its tensors."""
    held = []
    for where, module in model.named_modules():
        own = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        for key, value in [*own.items(), *module._buffers.items()]:
            held.append((f"{where}.{key}", value, value._version if isinstance(value, Tensor) else 0))
    return held


def _changed(before: Sequence[tuple[str, Any, int]], after: Sequence[tuple[str, Any, int]]) -> bool:
    return len(before) != len(after) or any(
        a[0] != b[0] or a[1] is not b[1] or a[2] != b[2] for a, b in zip(before, after, strict=True)
    )


class _Watch:
    """Observes a model's activations: inputs of its linear layers and of one block, and the decoder's output."""

    def __init__(self, model: nn.Module, decoder: nn.Module, block: nn.Module) -> None:
        self._linear = find_linear(model)
        self._decoder, self._block = decoder, block
        self._tokens: dict[str, list[int]] = {name: [] for name, _ in self._linear}
        self._entered: Tensor | None = None
        self._states: Tensor | None = None
        self._infinite = torch.zeros((), dtype=torch.bool)

    @property
    def finite(self) -> bool:
        """Whether all inputs of linear layers were finite."""
        return not bool(self._infinite)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Observe every pass inside the block."""

        def through(name: str) -> Any:
            def hook(module: nn.Module, args: tuple[Any, ...], y: Any) -> None:
                x = args[0]
                whole = isinstance(y, Tensor) and y.shape[:-1] == x.shape[:-1]  # Llama 4's router returns a pair
                self._tokens[name].append(x.numel() // x.shape[-1] if whole else 0)
                self._infinite = self._infinite.to(x.device) | ~torch.isfinite(x).all()

            return hook

        def entered(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            x = args[0] if args else kwargs.get("hidden_states")
            self._entered = x if isinstance(x, Tensor) else None

        def left(module: nn.Module, args: Any, out: Any) -> None:
            try:
                self._states = states_of(out)
            except (TypeError, KeyError, IndexError):
                self._states = None

        handles = [module.register_forward_hook(through(name)) for name, module in self._linear]
        handles.append(self._block.register_forward_pre_hook(entered, with_kwargs=True))
        handles.append(self._decoder.register_forward_hook(left))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def left_out(self, tokens: int) -> tuple[str, ...]:
        """Return the layers that did not see all tokens of the pass, or that were not called as modules."""
        return tuple(name for name, seen in self._tokens.items() if not seen or any(n != tokens for n in seen))

    def entered_as(self, tokens: int) -> Tensor | None:
        """Return the block's input, if it has the shape of hidden states."""
        found, self._entered = self._entered, None
        return found[0] if found is not None and found.dim() == 3 and found.shape[:2] == (1, tokens) else None

    def states_as(self, tokens: int) -> Tensor | None:
        """Return the last hidden states, if they have the expected shape."""
        found, self._states = self._states, None
        fits = isinstance(found, Tensor) and found.dim() == 3 and found.shape[:2] == (1, tokens)
        return found[0] if found is not None and fits else None
