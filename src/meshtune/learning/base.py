"""The frozen base model: loaded once per process, never copied per device.

A name is a hub id, a local folder in Hugging Face layout, a GGUF file, ``embedded``: the small model that comes with
the package and knows the generated tasks' world, or ``tiny-random``: a random four-block Llama over bytes, for tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import meshtune
from meshtune.adapter.layer import Adapters, decoder_of
from meshtune.errors import UserError
from meshtune.files import check_file
from meshtune.learning.checkpointing import again_in_backward, make_checkpointed
from meshtune.learning.compiling import compile_blocks
from meshtune.learning.config import EMBEDDED, TINY, ModelConfig
from meshtune.learning.digest import base_digest
from meshtune.learning.heap import keep_freed_memory
from meshtune.learning.norms import quicken_norms
from meshtune.learning.packing import Packed, hang_in, reading
from meshtune.learning.products import multiply, quicken_products
from meshtune.learning.quantised import check_bits, in_bits

CONFIG_BYTES = 2**24
"""Most bytes of a model's config.json."""
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

    def block_input(self, packed: Packed, block: int) -> Tensor:
        """Return the input (tokens, width) of block ``block`` of the frozen model; later blocks are not run."""
        with torch.no_grad(), _stop_at(self.blocks[block]) as caught, suppress(_Reached):
            self.read(packed)
        return caught[0][0] if self.packs else packed.of_padded(caught[0])


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


@contextmanager
def _stop_at(block: nn.Module) -> Iterator[list[Tensor]]:
    caught: list[Tensor] = []

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.append(args[0] if args else kwargs["hidden_states"])
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


def locate(config: ModelConfig, weights: bool = True) -> str:
    """Return the hub id or path that ``config`` names, its variables filled in.

    Args:
        config: names the model.
        weights: whether its weights are needed; without them a folder with nothing but a config.json, or such a file
            itself, is a model too.

    Raises:
        UserError: what can be seen without loading anything: a variable is not set, a file or folder is missing, a
            folder holds no model.
    """
    if config.name == EMBEDDED:
        return str(Path(meshtune.__file__).parent / "assets" / "base")
    name = os.path.expandvars(os.path.expanduser(config.name))
    path = Path(name)
    if "$" in name:
        raise UserError(
            f"model.name={config.name} names an environment variable that is not set: set it or give a path"
        )
    if name.endswith(".gguf"):
        if not path.is_file():
            raise UserError(f"model.name={name}: there is no such GGUF file")
    elif path.suffix == ".json" and not weights:
        if not path.is_file():
            raise UserError(f"model.name={name}: there is no such file; it should be a model's config.json")
    elif path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"model.name={name}: the folder has no config.json, so it is not a Hugging Face model folder"
            )
        check_file(path / "config.json", CONFIG_BYTES, "model configuration")
        held = any(path.glob("*.safetensors")) or any(path.glob("pytorch_model*.bin"))
        if weights and not held:
            raise UserError(f"model.name={name}: the folder holds no weights (model.safetensors): download them first")
    elif path.is_absolute() or name.startswith("."):
        raise UserError(f"model.name={name}: there is no such file or folder")
    return name


def load(config: ModelConfig, per_layer: bool = False) -> Base:
    """Load the base model that ``config`` names.

    Raises:
        UserError: the model, its weights or its tokenizer cannot be had, or the element type is unknown.
    """
    dtype = getattr(torch, config.dtype, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise UserError(f"model.dtype={config.dtype} is not a floating-point type: use float32, bfloat16 or float16")
    name = locate(config)
    keep_freed_memory()
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if config.bits is not None:
        check_bits(config.bits, name)
    more = {} if config.bits is None else in_bits(config.bits, dtype, device)
    model, tokenizer = _tiny(dtype) if name == TINY else _pretrained(name, dtype, more)
    try:
        model = model.to(device) if config.bits is None else model
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"model.device={config.device} cannot be used ({reason}): cpu always can") from error
    return Base(model, tokenizer, config.name, per_layer, config.compile)


def _pretrained(name: str, dtype: torch.dtype, more: Mapping[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    target = name
    where: dict[str, Any] = {}
    if name.endswith(".gguf"):
        target, where = str(Path(name).parent), {"gguf_file": Path(name).name}
    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(target, dtype=dtype, **where, **more)
        tokenizer = AutoTokenizer.from_pretrained(target, **where)
    except Exception as error:  # the libraries behind these two lines raise whatever a damaged file leads them to
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"model.name={name} cannot be loaded ({reason}): check the name, the files or the network"
        ) from error
    finally:
        logging.enable_progress_bar()
    return model, tokenizer


def _tiny(dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import LlamaForCausalLM

    tokenizer = byte_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(tiny_shape(len(tokenizer)))
    return model.to(dtype), tokenizer


def tiny_shape(vocabulary: int) -> Any:
    """Return the configuration of ``tiny-random`` over so many tokens."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=2048,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip


def byte_tokenizer() -> Any:
    """Return a tokenizer whose tokens are the 256 bytes: no training, no download."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)
