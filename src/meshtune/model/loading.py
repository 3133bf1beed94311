"""A base model from its name: found, loaded, and checked against its files.

A name is a hub id, a local folder in Hugging Face layout, a GGUF file, ``embedded`` (the small model that comes with
the package and knows the generated tasks' world) or ``tiny-random`` (a random four-block Llama over bytes, for tests).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from meshtune.config.learning_config import EMBEDDED, TINY, ModelConfig
from meshtune.errors import UserError
from meshtune.model.architecture import check_room, first_line, is_gguf, shape_of, source, unread
from meshtune.model.base import Base
from meshtune.model.frozen_products import round_products
from meshtune.model.heap import keep_freed_memory
from meshtune.model.integrity import check_finite, check_tokenizer, check_weights
from meshtune.model.probes.probed_base import open_base
from meshtune.model.quantisation import check_bits, in_bits
from meshtune.printable import printable

DTYPES = ("float32", "bfloat16", "float16", "float64")
TOKENIZERS = ("tokenizer*.json", "*.model", "vocab*", "tekken.json", "*.tiktoken")
"""The file names of tokenizers."""


def locate(config: ModelConfig, weights: bool = True) -> str:
    """Return the hub id or path that ``config`` names, with variables expanded.

    Args:
        config: names the model.
        weights: whether its weights are needed; if not, a folder with only a config.json, or such a file, is enough.

    Raises:
        UserError: a fault that shows without loading: a variable is not set, a file or folder is missing, or a folder
            holds no model.
    """
    if config.name == EMBEDDED:
        return str(Path(__file__).parents[1] / "assets" / "base")
    name = os.path.expandvars(os.path.expanduser(config.name))
    if "$" in name:
        raise UserError(
            f"model.name={config.name} names an environment variable that is not set: set it or give a path"
        )
    if name != printable(name, 1000) or not name.strip():
        raise UserError(f"model.name={printable(name, 100)} is not a model name: give a hub id or a path")
    try:
        _look(Path(name), name, weights)
    except OSError as error:
        raise UserError(f"model.name={printable(name, 300)} cannot be opened ({first_line(error)})") from error
    return name


def _look(path: Path, name: str, weights: bool) -> None:
    if is_gguf(name):
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
        if (path / "adapter_config.json").exists():
            raise UserError(f"model.name={name}: the folder holds an adapter: merge it into its base model first")
        if not weights:
            return
        if not any(path.glob("*.safetensors")) and not any(path.glob("pytorch_model*.bin")):
            raise UserError(f"model.name={name}: the folder holds no weights (model.safetensors): download them first")
        if not any(file.name != "tokenizer_config.json" for form in TOKENIZERS for file in path.glob(form)):
            raise UserError(
                f"model.name={name}: the folder holds no tokenizer (tokenizer.json): get the one of the model"
            )
    elif path.exists() and weights:
        raise UserError(f"model.name={name} is a file: give the folder that holds the model, or a .gguf file")
    elif path.is_absolute() or name.startswith("."):
        raise UserError(f"model.name={name}: there is no such file or folder")


def load(config: ModelConfig, per_layer: bool = False) -> Base:
    """Load the base model that ``config`` names.

    Raises:
        UserError: the model, its weights or its tokenizer are unavailable, incomplete or do not belong together, or the
            element type is unknown.
    """
    if config.dtype not in DTYPES:
        raise UserError(
            f"model.dtype={printable(config.dtype, 40)} is not a floating-point type that can be learnt on: use "
            "float32, bfloat16 or float16"
        )
    if config.products != "model" and (config.dtype != "float32" or config.bits is not None):
        raise UserError(
            f"model.products={config.products} rounds products of float32 weights: leave model.dtype=float32 and set "
            "no model.bits"
        )
    dtype: torch.dtype = getattr(torch, config.dtype)
    name = locate(config)
    keep_freed_memory()
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if config.bits is not None:
        check_bits(config.bits, name)
    more = {} if config.bits is None else in_bits(config.bits, dtype, device)
    model, tokenizer = _tiny(dtype) if name == TINY else _pretrained(name, dtype, config.bits, more)
    try:
        model = model.to(device) if config.bits is None else model
        placed = next(iter(model.parameters())).device.type != "meta"
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"model.device={config.device} cannot be used ({first_line(error)}): cpu always can") from error
    if not placed:
        raise UserError(f"model.device={config.device} cannot be used (it holds no numbers): cpu always can")
    check_finite(model, name)
    base = open_base(model, tokenizer, config.name, per_layer, config.compile)
    if config.products == "bfloat16":  # only now: the fast paths are checked in the model's own arithmetic
        round_products(base.model)
    return base


def _pretrained(name: str, dtype: torch.dtype, bits: int | None, more: Mapping[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target, how = source(name)
    with _quietly():
        shape = shape_of(name, bits)
        known = {"config": deepcopy(shape)} if is_gguf(name) else {}
        check_room(shape, name, dtype.itemsize if bits is None else bits / 8)
        with _told(name, "its tokenizer cannot be loaded"):
            tokenizer = AutoTokenizer.from_pretrained(target, **how)
        with _told(name, "its weights cannot be loaded"):
            # Tensors of the wrong shape are reported below in one sentence, with the missing ones.
            model, found = AutoModelForCausalLM.from_pretrained(
                target, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, **known, **how, **more
            )
        check_weights(model, found, name)
        check_tokenizer(tokenizer, model, name)
    return model, tokenizer


@contextmanager
def _told(name: str, what: str) -> Iterator[None]:
    """Turn whatever the libraries raise on a damaged file into one sentence."""
    try:
        yield
    except BaseException as error:
        if (
            not isinstance(error, Exception) and type(error).__name__ != "PanicException"
        ):  # a Rust panic is not an Exception
            raise
        raise unread(name, what, error) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers' progress bars and reports off the terminal: the relevant parts are checked here."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.enable_progress_bar()
        logging.set_verbosity(level)


def _tiny(dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import LlamaForCausalLM

    tokenizer = byte_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(tiny_shape(len(tokenizer)))
    return model.to(dtype), tokenizer


def tiny_shape(vocabulary: int) -> Any:
    """Return the configuration of ``tiny-random`` with a vocabulary of this size."""
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
