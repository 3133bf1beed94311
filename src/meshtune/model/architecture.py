"""The architecture in a base's configuration, read and checked before anything is built, allocated or run.

A ``config.json`` is untrusted. It is read with bounds, and custom code is never run. Models that cannot be adapted
(encoder-decoders, vision-only models, pre-quantised weights) are refused in one sentence.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshtune.errors import UserError
from meshtune.model.hub import why_local
from meshtune.printable import printable

LONGEST = 8 << 20
"""Bytes of the largest ``config.json`` that is read; a real one has a few thousand."""
MOST = 10_000
"""Layers, heads or experts of the largest model that is built; real ones have hundreds."""
QUICK = 1 << 28
"""The most parameters that are laid out without checking whether the files can hold them."""
PER_BYTE = 8
"""The most parameters per byte of a weights file: one bit each."""

_COUNTS = re.compile(r"(^|_)(layers?|blocks?|heads?|experts?)$|^(encoder_|decoder_)?depth$")


class UnreadError(UserError):
    """The files of a base are unavailable or unreadable."""


def source(name: str) -> tuple[str, dict[str, Any]]:
    """Return the arguments of transformers' ``from_pretrained`` for the base at ``name``: target and keywords.

    Custom model code is never run, and a hub that does not answer is not asked.
    """
    how: dict[str, Any] = {"trust_remote_code": False}
    if is_gguf(name):
        return str(Path(name).parent), {**how, "gguf_file": Path(name).name}
    if not Path(name).exists() and why_local() is not None:
        how["local_files_only"] = True
    return name, how


def is_gguf(name: str) -> bool:
    """Return whether ``name`` names a GGUF file."""
    return name.lower().endswith(".gguf")


def first_line(error: BaseException) -> str:
    """Return the first line of ``error``'s message, safe to show, or its type if the message is empty."""
    said = str(error).strip() or type(error).__name__
    return printable(said.splitlines()[0].rstrip(" .:"), 300)


def shape_of(name: str, bits: int | None = None) -> Any:
    """Return the transformers configuration of the base at ``name``: a folder, ``.json`` or GGUF file, or hub id.

    Args:
        name: where it is.
        bits: ``model.bits``; without it, weights quantised by bitsandbytes are refused.

    Raises:
        UserError: it cannot be read, or does not describe a causal language model that can be adapted here.
    """
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedConfig

    target, how = source(name)
    path = Path(name)
    if path.exists() and not is_gguf(name):
        facts = _read(path / "config.json" if path.is_dir() else path, name)
    else:
        facts = _asked(name, lambda: PreTrainedConfig.get_config_dict(target, **how)[0])
    _check_facts(facts, name, bits)
    if is_gguf(name):  # its header includes the vocabulary: read once, since that takes seconds
        shape = _asked(name, lambda: CONFIG_MAPPING[facts["model_type"]].from_dict(facts))
    else:
        shape = _asked(name, lambda: AutoConfig.from_pretrained(target, **how))
    kind = printable(str(shape.model_type), 60)
    if getattr(shape, "is_encoder_decoder", False):
        raise UserError(
            f"model.name={name} is an encoder-decoder ({kind}): take a decoder that writes text, as Llama is"
        )
    if type(shape) not in AutoModelForCausalLM._model_mapping:
        raise UserError(
            f"model.name={name} is not a causal language model ({kind}): take one that writes text, as Llama is"
        )
    width = getattr(shape.get_text_config(), "hidden_size", None)
    if not isinstance(width, int) or width < 1:
        raise UserError(
            f"model.name={name}: its configuration has no hidden_size above 0 ({kind}): check its config.json"
        )
    return shape


def outline(shape: Any, name: str) -> Any:
    """Return the model of ``shape`` on torch's meta device, where tensors have shapes and no memory.

    Raises:
        UserError: its sizes are impossible.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(shape, trust_remote_code=False)
    except Exception as error:  # transformers may raise anything on impossible values
        raise UserError(
            f"model.name={name}: no causal language model can be built from its configuration "
            f"({first_line(error)}): check its config.json"
        ) from error


def check_room(shape: Any, name: str, width: float) -> None:
    """Raise UserError if weights of ``width`` bytes each cannot be in the files at ``name``, or in memory.

    If a configuration needs more weights than the files hold, transformers would initialise the rest at random.
    """
    model = outline(shape, name)
    parameters = sum(p.numel() for p in model.parameters())
    needed = parameters * width + sum(b.numel() * b.element_size() for b in model.buffers())
    held = _bytes_of_weights(Path(name))
    if held is not None and parameters > max(QUICK, PER_BYTE * held):
        raise UserError(
            f"model.name={name}: its config.json describes {parameters:,} parameters, and its weights' files have "
            f"{held:,} bytes: get the config.json that belongs to the weights"
        )
    memory = _memory()
    if memory is not None and needed > memory:
        raise UserError(
            f"model.name={name} takes {needed / 2**30:,.1f} GiB, and this machine has {memory / 2**30:,.1f} GiB of "
            "memory: set model.dtype=bfloat16 or model.bits=4, or take a smaller model"
        )


def _asked(name: str, ask: Any) -> Any:
    try:
        return ask()
    except Exception as error:  # transformers may raise anything on a damaged file
        raise unread(name, "its configuration cannot be read", error) from error


def unread(name: str, what: str, error: BaseException) -> UnreadError:
    """Return the error that says what went wrong (``what``) with the base at ``name``, and why."""
    if Path(name).exists():
        return UnreadError(f"model.name={name}: {what} ({first_line(error)}): get its files again")
    reason = why_local()
    if reason is not None and isinstance(error, OSError):
        return UnreadError(
            f"model.name={name}: there is no such folder, {reason}, and no complete earlier download of the model "
            "exists: check the name and the network, or give the path of its folder"
        )
    return UnreadError(f"model.name={name}: {what} ({first_line(error)}): check the name and the network")


def _read(file: Path, name: str) -> Any:
    try:
        if file.stat().st_size > LONGEST:
            raise UserError(f"model.name={name}: its {file.name} is larger than {LONGEST >> 20} MiB: get the right one")
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"model.name={name}: its configuration cannot be read ({first_line(error)}): check its {file.name}"
        ) from error


def _check_facts(facts: Any, name: str, bits: int | None) -> None:
    from transformers import CONFIG_MAPPING, __version__

    if not isinstance(facts, dict):
        raise UserError(f"model.name={name}: its configuration cannot be read (no JSON object): check its config.json")
    kind = facts.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        if facts.get("auto_map"):
            raise UserError(
                f"model.name={name} needs code that comes with it, which is not run here: take a model of an "
                "architecture that transformers knows"
            )
        if kind is None:
            raise UserError(f"model.name={name}: its config.json names no model_type: get the one of the model")
        raise UserError(
            f"model.name={name}: model_type={printable(str(kind), 60)} of its config.json is unknown to transformers "
            f"{__version__}: update transformers or take another model"
        )
    for key, value in _numbers(facts):
        if value > MOST and _COUNTS.search(key):
            raise UserError(
                f"model.name={name}: {printable(key, 60)}={value:.3g} of its config.json is beyond {MOST:,}: "
                "check its config.json"
            )
    _check_rounding(facts.get("quantization_config"), name, bits)


def _numbers(facts: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the numbers of a configuration and its sub-configurations, by key; a list counts as its length."""
    found: list[tuple[str, float]] = []
    left = list(facts.items())
    while left:  # no recursion: it may be nested as deeply as JSON allows
        key, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            found.append((f"{key}_layers", len(value)))
        elif isinstance(value, int | float):
            found.append((str(key), float(min(value, 1e300))))
    return found


def _check_rounding(settings: Any, name: str, bits: int | None) -> None:
    """Raise UserError if the weights are pre-quantised, other than as ``model.bits`` would do it."""
    if settings is None:
        return
    method = settings.get("quant_method", "bitsandbytes") if isinstance(settings, dict) else settings
    held = {8: "load_in_8bit", 4: "load_in_4bit"}
    if isinstance(settings, dict) and method in ("bitsandbytes", "bitsandbytes_8bit", "bitsandbytes_4bit"):
        its = next((number for number, key in held.items() if settings.get(key) is True), None)
        if its is not None and its == bits:
            return
        if its is not None:
            raise UserError(
                f"model.name={name} holds weights that bitsandbytes rounded to {its} bits: set model.bits={its}, or "
                "take the model as it was before"
            )
    raise UserError(
        f"model.name={name} holds weights that were rounded ({printable(str(method), 60)}), and only those of "
        "bitsandbytes and of GGUF files can be read: take the model as it was before"
    )


def _bytes_of_weights(path: Path) -> int | None:
    if not path.is_dir():
        return path.stat().st_size if is_gguf(path.name) else None
    files = [*path.glob("*.safetensors"), *path.glob("*.bin")]
    return sum(file.stat().st_size for file in files if file.is_file())


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None


def window_of(config: Any) -> int:
    """Return the smallest window, in tokens, in a text model's configuration.

    In longer rows a token may not see all earlier ones, or its rotary angles may differ.
    """
    numbers = {**config.to_dict()}
    for ropes in (numbers.get("rope_parameters"), numbers.get("rope_scaling")):
        numbers.update(ropes if isinstance(ropes, dict) else {})
    found = [
        value
        for key, value in numbers.items()
        if isinstance(value, int) and not isinstance(value, bool) and value > 0 and _names_a_window(key)
    ]
    return min(found, default=1 << 30)


def _names_a_window(key: str) -> bool:
    if key in ("attention_chunk_size", "local_attention", "index_topk", "original_max_position_embeddings"):
        return True
    return "window" in key and not any(other in key for other in ("layer", "pattern"))  # numbers of layers
