"""How a node's values become bytes for its neighbours, and how bytes become values again.

A receiver gets what the payload decodes to, so a device's own copy is rounded like everybody else's. In int8 and int4
an update is the difference to the version before it. A neighbour that is not known to hold that version gets a
keyframe: the reconstruction itself.
Updates with a summed part are :mod:`meshtune.node.summed_updates`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from meshtune.adapter.expert import Expert
from meshtune.config.federation_config import ExchangeConfig
from meshtune.errors import DivergedError, PayloadError, UserError
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member, Update
from meshtune.node.summed_updates import coded_values, publish_largest
from meshtune.wire.codec import apply_difference, encode_difference, encode_keyframe
from meshtune.wire.content_cache import ContentCache
from meshtune.wire.payload import Message, byte_split, byte_tensor, decode, encode


@dataclass(frozen=True)
class UpdateRules:
    """What all devices of a federation know about each other's updates in a round.

    Attributes:
        method: the method whose experts are sent.
        factory: builds the experts that devices start from, and shares those it has already built.
        settings: how values are coded.
        round: the round being exchanged; nobody has anything newer.
        relay: whether devices relay others' updates, if the method allows it.
        ahead: how many rounds ahead a neighbour may be; its messages then wait for their round.
        behind: how many rounds old an accepted update may be; None for any age, as over many hops.
        cache: what a host of many devices has encoded and decoded in this exchange.
    """

    method: Method
    factory: ExpertFactory
    settings: ExchangeConfig
    round: int
    relay: bool = True
    ahead: int = 0
    behind: int | None = None
    cache: ContentCache = field(default_factory=ContentCache)

    @property
    def relays(self) -> bool:
        """Whether devices relay others' updates."""
        return self.relay and self.method.sharing.relays

    def start(self, member: Member, source: int) -> Expert:
        """Return the expert that ``source`` starts from; every device with its announcement knows it."""

        def begin() -> Expert:
            return self.method.begin(member.known[source], member.known, self.factory)

        if not self.method.kind.projected:  # all devices start from the same expert
            return self.cache.once(("start",), begin)
        if source not in member.starts:
            member.starts[source] = begin()
        return member.starts[source]

    def origin(self, member: Member, source: int) -> Tensor:
        """Return the values that ``source`` starts from, bf16 (n,): the base of its first difference."""
        return self.start(member, source).values.detach().cpu().bfloat16()

    def base(self, member: Member, source: int) -> Tensor:
        """Return the values of ``source`` that ``member`` holds, or what they start from (n,)."""
        held = member.held.get(source)
        return self.origin(member, source) if held is None else held.values

    def count(self, member: Member, source: int) -> int:
        """Return how many values ``source`` trains."""
        if not self.method.kind.projected:  # the same shape for all devices
            return member.expert.count
        return self.start(member, source).count


def publish(member: Member, version: int, rules: UpdateRules) -> Update:
    """Return the member's values as everybody will hold them; the rounding error becomes its ``residual``.

    Raises:
        DivergedError: a value is NaN, infinite, or out of range for the value type sent.
    """
    settings = rules.settings
    if member.expert.summed is not None:
        return publish_largest(member, member.expert.summed, version, rules.base(member, member.device), settings)
    turn = member.expert.turn(version)
    values = member.expert.values.detach().to("cpu")[turn]
    if not settings.differences:
        sent = values.clone().to(getattr(torch, settings.values))
        if not torch.isfinite(sent).all():
            raise DivergedError(f"its values are beyond what {settings.values} holds", member.device)
        return Update(member.device, version, completed(sent, member, member.device, version, rules))
    if member.residual is not None:
        values = values + member.residual[turn]
    base = rules.base(member, member.device)[turn]
    try:
        coded = encode_difference(values, base, settings.values, settings.block)
    except PayloadError as error:
        raise DivergedError("its values are not finite", member.device) from error
    held = apply_difference(coded, base)
    if len(member.expert.turns) == 1:
        member.residual = values - held
    else:  # the other parts' errors wait for their turn
        before = torch.zeros(member.expert.count) if member.residual is None else member.residual.clone()
        before[turn] = values - held
        member.residual = before
    whole = completed(held, member, member.device, version, rules)
    return Update(member.device, version, whole, _bytes(coded, held))


def completed(part: Tensor, member: Member, source: int, version: int, rules: UpdateRules) -> Tensor:
    """Return all values of ``source`` (count,), of which ``part`` came in round ``version``.

    Of values without a turn, differences are taken to what everybody holds of them, the version before. Plain values
    may come to whoever lacks that version, and nothing is made of the rest: it is where ``source`` started, so that all
    who hold a version hold the same.
    """
    if len(member.expert.turns) == 1:
        return part
    before = rules.base if rules.settings.differences else rules.origin
    whole = before(member, source).to(part.dtype, copy=True)
    whole[member.expert.turn(version)] = part
    return whole


def write_update(update: Update, member: Member, known: int, rules: UpdateRules) -> tuple[bytes, dict[str, int]]:
    """Return ``update`` as ``member`` sends it, and its bytes by kind; equal messages are encoded once.

    Args:
        update: the update to send.
        member: the device that sends it.
        known: the version that the receiver is known to hold; 0 for none, which means the source's starting values.
        rules: the rules of this round.

    Raises:
        UserError: it has more values than one message may hold.
    """
    sender = member.device
    difference = update.coded is not None and known == update.version - 1

    def make() -> tuple[bytes, dict[str, int]]:
        meta: dict[str, int] = {} if update.source == sender else {"version": update.version}
        values = update.values
        if update.changed is not None:
            more, values = coded_values(update, known)
            meta |= more
        elif update.coded is not None and difference:
            meta["since"] = known
            values = update.coded
        elif rules.settings.differences:  # whole: the next difference may be to any part of it
            values = _bytes(encode_keyframe(values), values)
        else:
            values = values[member.expert.turn(update.version)]
        message = Message("update", sender, rules.round, update.source, meta, {"values": values})
        try:
            data = encode(message)
        except PayloadError as error:
            raise UserError(
                f"{rules.method.name} sends {update.values.numel()} values at once, more than a message may hold "
                f"({error}): leave it out of methods, or take a smaller model"
            ) from error
        return data, byte_split(message, data)

    base = difference if update.changed is None else known
    key = ("encoded", sender, update.source, update.version, base, update.digest, update.changed_digest)
    return rules.cache.once(key, make)


def read_message(data: bytes, rules: UpdateRules) -> Message:
    """Return the message in ``data``; equal bytes are decoded once.

    Raises:
        PayloadError: it is damaged, of another version, or too large.
    """
    return rules.cache.once(("decoded", data), lambda: decode(data))


def _bytes(data: bytes | None, otherwise: Tensor) -> Tensor:
    """Return ``data`` as a tensor (bytes,), or ``otherwise`` if ``data`` is None."""
    return otherwise if data is None else byte_tensor(data)
