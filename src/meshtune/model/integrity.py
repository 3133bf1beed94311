"""Checks of a loaded base before training: that it is the model in its files.

Missing weights would be initialised at random, giving a different model on every start. A non-finite weight makes every
answer non-finite. A token without an embedding row crashes in mid-run. Each fault is refused in one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from meshtune.errors import UserError
from meshtune.model.architecture import first_line
from meshtune.model.encoding import opening, plain
from meshtune.printable import printable

NAMED = 3
"""The most names that a sentence lists."""
ORDINARY = "Question: What follows 4?\nAnswer: 5, the next number."
_MASKS = re.compile(r"(rotary_emb\.inv_freq|masked_bias|attn\.bias|attention\.bias)$")


def check_weights(model: nn.Module, found: Mapping[str, Any], name: str) -> None:
    """Raise UserError if the files lacked part of ``model``, or held more blocks than it has.

    Args:
        model: as loaded, not yet adapted.
        found: transformers' loading info: missing, mismatched and unexpected keys.
        name: the user's name for it.
    """
    missing, unknown = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    shapes = sorted(found["mismatched_keys"])
    where = f"model.name={name}"
    if missing:
        raise UserError(
            f"{where}: its weights' files lack {len(missing)} of the model's {len(model.state_dict())} tensors "
            f"({_some(missing)}){_reason(missing, unknown)}: get the whole model again, or the config.json of its "
            "weights"
        )
    if shapes:
        key, theirs, ours = shapes[0]
        more = f" (and {len(shapes) - 1} more differ)" if len(shapes) > 1 else ""
        raise UserError(
            f"{where}: {printable(key, 100)} has the shape {tuple(theirs)} in its weights' file and {tuple(ours)} by "
            f"its config.json{more}: get the config.json of its weights"
        )
    extra = [key for key in unknown if _of_a_block(key, model)]
    if extra:
        raise UserError(
            f"{where}: its weights' files hold tensors of blocks ({len(extra)}) that its config.json has no place for "
            f"({_some(extra)}): get the config.json of its weights"
        )


def check_finite(model: nn.Module, name: str) -> None:
    """Raise UserError if a weight of ``model`` is not a finite number; names its tensor.

    It takes one pass over the weights without a copy: NaN and infinity show in the minimum or the maximum.
    """
    for key, weight in model.named_parameters():
        if not weight.is_floating_point() or weight.numel() == 0:
            continue
        lowest, highest = torch.aminmax(weight.detach())
        if bool(torch.isfinite(lowest) & torch.isfinite(highest)):
            continue
        tensor = printable(key, 100)
        if weight.dtype == torch.float16 and not bool(torch.isnan(lowest)):
            raise UserError(
                f"model.name={name}: {tensor} is beyond 65,504, the largest number of model.dtype=float16: set "
                "model.dtype=bfloat16 or float32"
            )
        what = "not a number (NaN)" if bool(torch.isnan(lowest)) else "infinite"
        raise UserError(f"model.name={name}: {tensor} holds a weight that is {what}: get the model again")


def check_tokenizer(tokenizer: Any, model: Any, name: str) -> None:
    """Raise UserError if ``tokenizer`` cannot encode ordinary text, or produces tokens that ``model`` has no row for.

    A model may have more rows than its tokenizer has tokens. Special tokens beyond the rows are accepted if nothing
    here uses them: text never becomes one (:func:`meshtune.model.encoding.plain`).
    """
    try:
        text = plain(tokenizer, ORDINARY)
        front = opening(tokenizer)
    except Exception as error:
        raise UserError(
            f"model.name={name}: its tokenizer cannot read text ({first_line(error)}): get the tokenizer of the model"
        ) from error
    if not set(text) - {tokenizer.unk_token_id}:
        what = "only unknown tokens" if text else "no token"
        raise UserError(
            f"model.name={name}: its tokenizer makes {what} of ordinary text: get the tokenizer of the model "
            "(tokenizer.json)"
        )
    rows = min(_rows(model.get_input_embeddings(), name), _rows(model.get_output_embeddings(), name))
    written = {*text, *front, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])}
    unwritten = set(tokenizer.all_special_ids) | _special_among_added(tokenizer)
    vocabulary = tokenizer.get_vocab()
    beyond = {number for number in vocabulary.values() if number >= rows and number not in unwritten}
    beyond |= {number for number in written if number >= rows}
    if beyond:
        highest = max(beyond)
        token = next((token for token, number in vocabulary.items() if number == highest), "")
        raise UserError(
            f"model.name={name}: its tokenizer gives token {highest} ({printable(token, 40)}), and the model has rows "
            f"for {rows} tokens, from 0: get the tokenizer of the model"
        )


def _rows(layer: Any, name: str) -> int:
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor):
        raise UserError(f"model.name={name} has no table of tokens at its input or its output: take another model")
    return int(weight.shape[0])


def _special_among_added(tokenizer: Any) -> set[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {number for number, token in added.items() if getattr(token, "special", False)}


def _some(keys: Collection[str]) -> str:
    shown = ", ".join(printable(key, 100) for key in list(keys)[:NAMED])
    return shown + (", …" if len(keys) > NAMED else "")


def _reason(missing: Collection[str], unknown: Collection[str]) -> str:
    """Return what the unknown tensors reveal about the missing ones, if anything."""
    if not unknown:
        return ""
    first = next(iter(missing))
    for key in unknown:
        ahead = key.removesuffix(first)
        if ahead != key and {ahead + one for one in missing} <= set(unknown):
            return f", and hold them under names that begin with {printable(ahead, 60)}"
    return f", and hold {len(unknown)} that it does not know ({_some(unknown)})"


def _of_a_block(key: str, model: nn.Module) -> bool:
    """Return whether a tensor belongs to a block, so that the model would leave out a trained part.

    In some files, blocks for multi-token prediction follow the others; they are not needed.
    """
    lists = {name: len(module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    if not lists or _MASKS.search(key):
        return False
    blocks = max(lists, key=lambda name: lists[name])
    if not key.startswith(f"{blocks}."):
        return False
    number = key[len(blocks) + 1 :].split(".")[0]
    ahead = getattr(model.config.get_text_config(), "num_nextn_predict_layers", None) or 0  # type: ignore[operator, union-attr]
    return not number.isdigit() or not lists[blocks] <= int(number) < lists[blocks] + ahead
