"""The frozen base model: loaded once per process, never copied per device.

A name is a hub id, a local folder in Hugging Face layout, a GGUF file, ``embedded``: the small model that comes with
the package and knows the generated tasks' world, or ``tiny-random``: a random four-block Llama over bytes, for tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import meshtune
from meshtune.adapter.coverage import adapted_share
from meshtune.adapter.layer import Adapters, blocks_of, decoder_of
from meshtune.adapter.quantised import any_rounded
from meshtune.errors import UserError
from meshtune.learning.checkpointing import again_in_backward, make_checkpointed
from meshtune.learning.compiling import compile_blocks
from meshtune.learning.config import EMBEDDED, TINY, ModelConfig
from meshtune.learning.digest import base_digest
from meshtune.learning.head import Head, LinearHead, NoHead, OwnHead, TokenLosses
from meshtune.learning.heap import keep_freed_memory
from meshtune.learning.norms import quicken_norms
from meshtune.learning.packing import NAME, Packed, hang_in, reading
from meshtune.learning.paths import Paths
from meshtune.learning.probe_cache import key_of, recall, remember
from meshtune.learning.probing import learn, probe
from meshtune.learning.products import quicken_products
from meshtune.learning.quantised import check_bits, in_bits
from meshtune.learning.survey import states_of, survey, window_of

LOGITS = 64 << 20
"""Bytes of logits that are held at a time, in float32."""


class Base:
    """A frozen causal language model with adapters hung into it, and its tokenizer.

    Every quick way of reading it is tried against the model itself first (:mod:`meshtune.learning.probing`), unless a
    verdict on this very base lies on disk.

    Args:
        model: the Hugging Face model; its weights are frozen and its linear layers wrapped in place.
        tokenizer: the matching tokenizer.
        name: what the user called it.
        per_layer: see :class:`meshtune.adapter.layer.Adapters`.
        compiled: have torch compile the blocks; the first passes then take minutes.

    Attributes:
        digest: of weights and tokenizer, as they were loaded.
        paths: what the probes found.
        share: how much of the blocks is adapted.
        packs: whether rows are read as one stream without padding; pads: else in a padded rectangle.
        window: the longest row, in tokens, of which all tokens are known to see all before them.
        longest: the longest row, in tokens, that may be read.

    Raises:
        UserError: the model looks ahead, computes no finite numbers, or cannot be read as transformers reads it.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, per_layer: bool = False, compiled: bool = False) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.digest = base_digest(model, tokenizer)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.decoder = decoder_of(model)
        self.blocks = blocks_of(self.decoder)
        text = model.config.get_text_config()
        self.width = int(getattr(text, "hidden_size", None) or model.get_input_embeddings().weight.shape[1])
        self.longest = self._positions = int(getattr(text, "max_position_embeddings", None) or 1 << 30)
        self.window = window_of(text)
        self._layer = model.get_output_embeddings()
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])
        key = key_of(model, self.digest, per_layer, compiled)
        paths = recall(key)
        if paths is not None:
            self.adapters = Adapters(model, per_layer, paths.left_out)
            self._quicken(compiled)
        else:
            rounded = any_rounded(model)
            if rounded:  # right is what our own products over rounded weights give, not what bitsandbytes' do
                self.adapters = Adapters(model, per_layer)
            seen = survey(model, tokenizer, name)
            if rounded:
                seen.left_out = ()
            else:
                self.adapters = Adapters(model, per_layer, seen.left_out)
            learnt = learn(self, seen)  # before anything is quickened
            self._quicken(compiled)
            paths = probe(self, seen, learnt)
            remember(key, paths)
        self.share = adapted_share(self.blocks, self.adapters.layers)
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
        """Read as ``paths`` says."""
        self.paths = paths
        if self.streams:  # what was found out about the other ways goes by the model's own attention
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
        """The model's own way from hidden states to logits."""
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
        """Return what a run says about its base: how much of it is adapted, and which quick ways are not taken."""
        return [self.share.text(), *self.paths.notes()]

    def read(self, packed: Packed, checkpoint: bool = False) -> Tensor:
        """Return the last hidden states (tokens, width) of a stream of rows.

        A model that cannot read streams reads a rectangle padded on the right, where causal attention never looks, or
        one row after the other. A model whose head cannot be called by itself returns logits (tokens, vocabulary).

        Args:
            packed: the rows.
            checkpoint: keep only every block's input for the backward pass, which computes the rest again.
        """
        with again_in_backward(checkpoint):
            if self.packs:
                return self._read_stream(packed)
            return self._read_padded(packed) if self.pads else self._read_alone(packed)

    def _read_stream(self, packed: Packed) -> Tensor:
        anything = torch.empty(1, 1, 1, 1, dtype=self.dtype, device=self.device)  # keeps the model from making one
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
        return states_of(self.decoder(input_ids=tokens, past_key_values=cache, use_cache=True, **more))

    def fresh_cache(self) -> Any:
        """Return an empty cache for :meth:`extend`."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config.get_text_config(decoder=True))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits (..., vocabulary), at least fp32, of what :meth:`read` returned (..., width)."""
        return self.head.logits(hidden)

    def token_losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return -log p (n,) of ``labels`` (n,) under the hidden states (n, width) before them, chunk by chunk."""
        found: Tensor = TokenLosses.apply(hidden, labels, self.head, self.chunk())  # type: ignore[no-untyped-call]
        return found

    def chunk(self) -> int:
        """Return how many hidden states get their logits at a time: :data:`LOGITS` bytes of them."""
        return max(1, LOGITS // (4 * self.vocabulary))

    def block_input(self, packed: Packed, block: int) -> Tensor:
        """Return the input (tokens, width) of block ``block`` of the frozen model; later blocks are not run."""
        with torch.no_grad(), _stop_at(self.blocks[block]) as caught:
            if not self.pads:
                for row in packed.rows:
                    with suppress(_Reached):
                        self._read_alone(Packed([row], self.device))
                return torch.cat([found[0] for found in caught])
            with suppress(_Reached):
                self.read(packed)
        return caught[0][0] if self.packs else packed.of_padded(caught[0])


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
