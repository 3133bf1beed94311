"""The base for a freshly loaded model: surveyed, probed, and restricted to correct paths."""

from __future__ import annotations

from typing import Any

from meshtune.adapter.layer import Adapters, find_linear
from meshtune.adapter.rounded_weights import any_rounded
from meshtune.model.base import Base
from meshtune.model.digest import base_digest
from meshtune.model.paths import PLAINEST
from meshtune.model.probes.probe_cache import key_of, recall, remember
from meshtune.model.probes.probing import learn, probe
from meshtune.model.probes.survey import survey


def open_base(model: Any, tokenizer: Any, name: str, per_layer: bool = False, compiled: bool = False) -> Base:
    """Return the base of ``model``, after checking every fast path against the model itself.

    Nothing is checked if a verdict on this very base is on disk.

    Args:
        model: the Hugging Face model; its weights are frozen and its linear layers wrapped in place.
        tokenizer: the matching tokenizer.
        name: the user's name for it.
        per_layer: see :class:`meshtune.adapter.layer.Adapters`.
        compiled: let torch compile the blocks; the first passes then take minutes.

    Raises:
        UserError: the model looks ahead, computes non-finite numbers, or cannot be run as transformers runs it.
    """
    model = model.eval()
    digest = base_digest(model, tokenizer)
    find_linear(model)  # raises if there is nothing to adapt
    key = key_of(model, digest, per_layer, compiled)
    paths = recall(key)
    if paths is not None:
        return Base(model, tokenizer, name, digest, Adapters(model, per_layer, paths.left_out), paths, compiled)
    if any_rounded(model):  # the reference is our own products over quantised weights, not bitsandbytes'
        adapters = Adapters(model, per_layer)
        seen = survey(model, tokenizer, name)
        seen.left_out = ()
    else:
        seen = survey(model, tokenizer, name)
        adapters = Adapters(model, per_layer, seen.left_out)
    learnt = learn(model, adapters, name, seen)  # before anything is accelerated
    base = Base(model, tokenizer, name, digest, adapters, PLAINEST, compiled)
    remember(key, probe(base, seen, learnt))
    return base
