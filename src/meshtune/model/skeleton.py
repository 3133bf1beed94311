"""The structure of a model without its weights: the adapted layers and sizes that planning needs.

The model is built from its configuration on torch's meta device, where tensors have shapes but no memory, so that a
model of any size takes less than a second. Only the configuration is read: ``config.json``, the header of a GGUF file,
or, for a few well-known models, the shapes in ``assets/models``, which need no network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from meshtune.adapter.sites import LayerSpec
from meshtune.config.learning_config import TINY, ModelConfig
from meshtune.errors import UserError
from meshtune.model.architecture import UnreadError, outline, shape_of

SHIPPED = Path(__file__).parents[1] / "assets" / "models"


@dataclass(frozen=True)
class Skeleton:
    """The shape of one model.

    Attributes:
        name: the user's name for it.
        layers: the adapted layers, as in :attr:`meshtune.model.base.Base.adapters`.
        parameters: how many weights it has, tied ones counted once.
        width: k of the hidden states between blocks.
        blocks: how many blocks it has.
    """

    name: str
    layers: tuple[LayerSpec, ...]
    parameters: int
    width: int
    blocks: int


@dataclass(frozen=True)
class Known:
    """A published model whose shape comes with the package.

    Attributes:
        hub: its ids on the hub.
        parameters: the publisher's count of weights.
        config: the keys of its config.json that determine shapes, with ``model_type``.
    """

    hub: tuple[str, ...]
    parameters: int
    config: Mapping[str, Any]


def skeleton(config: ModelConfig, per_layer: bool = False) -> Skeleton:
    """Return the shape of the model that ``config`` names; no weight is read, created or downloaded.

    It accepts whatever :func:`meshtune.model.loading.load` does, and also a folder with only a config.json, that file
    itself, and the short names of :func:`known`. A model of :func:`known`, by its short name or its hub id, comes from
    the package without asking the hub, so that a plan needs no network and gives the same result everywhere. A local
    folder of that name takes precedence. Any other hub id is looked up on the hub, or among earlier downloads.

    Args:
        config: names the model; the storage of its weights does not matter.
        per_layer: see :class:`meshtune.adapter.layer.Adapters`.

    Raises:
        UserError: there is no such file, the configuration is unavailable, or it does not describe a causal language
            model with linear layers.
    """
    from meshtune.adapter.layer import Adapters, blocks_of, decoder_of

    shape = _shape(config)
    model = outline(shape, config.name)
    parameters = sum(p.numel() for p in model.parameters())
    layers = tuple(Adapters(model, per_layer).layers)
    width = int(shape.get_text_config().hidden_size)
    return Skeleton(config.name, layers, parameters, width, len(blocks_of(decoder_of(model))))


@cache
def known() -> dict[str, Known]:
    """Return the models whose shapes come with the package, by short name (``qwen2.5-7b``), sorted."""
    found = {}
    for file in sorted(SHIPPED.glob("*.json")):
        facts = json.loads(file.read_text(encoding="utf-8"))
        found[file.stem] = Known(tuple(facts["hub"]), int(facts["parameters"]), facts["config"])
    return found


def _shape(config: ModelConfig) -> Any:
    """Return the configuration, a transformers one, of the model that ``config`` names."""
    from meshtune.model.loading import byte_tokenizer, locate, tiny_shape

    if config.name == TINY:
        return tiny_shape(len(byte_tokenizer()))
    name = locate(config, weights=False)
    facts = None if Path(name).exists() else _known_as(name)
    if facts is not None:
        from transformers import AutoConfig

        return AutoConfig.for_model(**facts.config)
    try:
        return shape_of(name, config.bits)
    except UnreadError as error:
        if Path(name).exists():
            raise
        raise UserError(f"{error}; without a network, meshtune knows {', '.join(known())}") from error


def _known_as(name: str) -> Known | None:
    wanted = name.lower()
    for short, facts in known().items():
        if wanted == short or wanted in (id_.lower() for id_ in facts.hub):
            return facts
    return None
