"""Updates whose values are sums of what their source has contributed so far, sent where they have changed most.

An expert's ``summed`` part, what all devices average, is large and changes a little everywhere. A round sends its
largest changes, and what they leave out is added to the next change: top-k with error feedback (Stich, Cordonnier,
Jaggi 2018, arXiv:1809.07599). With y the update, x what the round started from, x' what it was trained to, and e what
was left out:

    y <- y + top_k(x' - x + e),   e <- x' - x + e - top_k(x' - x + e).

A neighbour that holds the version before gets these changes. One that holds an older version, or none, gets all
values that have changed since, whichever form values are sent in; for this every update knows when its values last
changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from meshtune.config.federation_config import ExchangeConfig
from meshtune.errors import DivergedError, PayloadError, StaleError
from meshtune.methods.state import Member, Update
from meshtune.wire.chosen_values import apply_chosen, chosen_in, encode_chosen, largest
from meshtune.wire.payload import Message, byte_tensor
from meshtune.wire.plain_values import whole
from meshtune.wire.validation import packed

AFTER = "after"
"""In the meta of an update: it has all values that changed after this version (0: where the source started)."""
_LATEST = torch.iinfo(torch.int16).max
"""Versions from this one on are not told apart: what changed in any of them is sent again."""


def publish_largest(member: Member, summed: slice, version: int, base: Tensor, settings: ExchangeConfig) -> Update:
    """Return the member's values as everybody will hold them; of ``summed``, only its largest changes are in them.

    Args:
        member: has been trained.
        summed: the part of its values.
        version: of the update.
        base: what everybody holds of it so far, or where it started (count,).
        settings: how values are coded.

    Raises:
        DivergedError: a value is NaN, infinite, or out of range for the value type sent.
    """
    values = member.expert.values.detach().to("cpu")
    if member.residual is not None:
        values = values + member.residual
    base = base.to(held_type(settings))
    chosen = largest(values - base.float(), member.expert.largest, summed)
    try:
        coded = encode_chosen(values, base, chosen, settings.values, settings.block)
    except PayloadError as error:
        raise DivergedError(f"its values are beyond what {settings.values} holds", member.device) from error
    held = apply_chosen(coded, base, settings.values)
    member.residual = values - held.float()
    changed = _changed(member.held.get(member.device), held.numel(), chosen, version)
    return Update(member.device, version, held, byte_tensor(coded), changed)


def rebase(member: Member) -> None:
    """Add y - x to the residual of the summed part, so that publishing x' + residual publishes y + (x' - x) + e."""
    summed = member.expert.summed
    if summed is not None and member.residual is not None:
        start = member.expert.values.detach().to("cpu")[summed]
        member.residual[summed] += member.held[member.device].values[summed].float() - start


def coded_values(update: Update, known: int) -> tuple[dict[str, int], Tensor]:
    """Return what is sent of ``update`` to a neighbour that holds version ``known`` (0 for none): meta, and bytes (n,).

    Raises:
        PayloadError: a value is not finite.
    """
    assert update.changed is not None
    if update.coded is not None and known == update.version - 1:
        return {"since": known}, update.coded
    chosen = (update.changed >= min(known + 1, _LATEST)).nonzero().view(-1)
    return {AFTER: known}, byte_tensor(encode_chosen(update.values, update.values, chosen, _name(update.values), 0))


def read_update(member: Member, message: Message, version: int, base: Tensor, settings: ExchangeConfig) -> Update:
    """Return the update in ``message``, of which the meta says what it is a difference to.

    Args:
        member: receives it.
        message: the message.
        version: of the update in it.
        base: what ``member`` holds of its source, or where the source started (count,).
        settings: how values are coded.

    Raises:
        PayloadError: it is damaged, or ``member`` does not hold the version that it is a difference to.
    """
    source, held = message.source, member.held.get(message.source)
    values = packed(message, "values", None, ["uint8"])
    has, plain = 0 if held is None else held.version, AFTER in message.meta
    since = whole(message.meta.get(AFTER if plain else "since"), "the version that an update goes on from", 0, version)
    if (since > has) if plain else (since != has or version != has + 1):
        came = "changes after" if plain else "difference to"
        raise StaleError(
            f"version {version} of device {source} came as the {came} version {since}, device {member.device} holds "
            f"version {has}"
        )
    base = base.to(held_type(settings))
    form = _name(base) if plain else settings.values
    data = values.numpy().tobytes()
    found = apply_chosen(data, base, form)
    changed = _changed(held, found.numel(), chosen_in(data, found.numel()), version)
    return Update(source, version, found, None if plain else values, changed)


def held_type(settings: ExchangeConfig) -> torch.dtype:
    """Return the type of the values that devices hold of each other."""
    found: torch.dtype = torch.bfloat16 if settings.differences else getattr(torch, settings.values)
    return found


def _changed(held: Update | None, count: int, chosen: Tensor, version: int) -> Tensor:
    """Return the version in which each value last changed (count,), after ``chosen`` have changed in ``version``."""
    before = None if held is None else held.changed
    found = torch.zeros(count, dtype=torch.int16) if before is None else before.clone()
    found[chosen] = min(version, _LATEST)
    return found


def _name(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
