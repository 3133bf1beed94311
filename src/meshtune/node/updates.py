"""One exchange: every device publishes its update to its neighbours and passes on what they cannot hear themselves.

Bytes are those of the encoded payload, counted once per receiver. What arrives is what the payload decodes to, so a
device's own copy is rounded like everybody else's. In int8 and int4 an update is the difference to the version before
it, and a device that is not known to hold that one gets a keyframe: the reconstruction itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from meshtune.config.run_config import ExchangeConfig
from meshtune.errors import DivergedError, PayloadError, UserError
from meshtune.methods.base import Method
from meshtune.methods.experts import Workshop
from meshtune.methods.state import Member, Update
from meshtune.node.receiving import checked_version, receive
from meshtune.wire.codec import apply_difference, encode_difference, encode_keyframe
from meshtune.wire.ledger import Ledger
from meshtune.wire.payload import Message, byte_split, decode, encode

Carried = dict[tuple[int, int], dict[int, int]]
"""Per directed link (sender, receiver): the newest version of each source's update that crossed it, and arrived."""


def exchange(
    method: Method,
    members: Sequence[Member],
    graph: Mapping[int, Sequence[int]],
    version: int,
    settings: ExchangeConfig,
    relay: bool,
    carried: Carried,
    ledger: Ledger,
    workshop: Workshop,
) -> None:
    """Publish every member's values as ``version`` and deliver them over ``graph``; updates ``held`` in place.

    Args:
        method: decides whether anything is sent and relayed.
        members: one per device, by id.
        graph: neighbours by device id.
        version: the number of rounds trained so far.
        settings: how values cross the air.
        relay: whether devices pass on others' updates.
        carried: what crossed each link so far; updated.
        ledger: counts what leaves a device.
        workshop: builds the experts that devices start from.
    """
    post = Post(method, workshop, settings, version, relay)
    published = {member.device: publish(member, version, post) for member in members}
    arriving: list[tuple[int, Message]] = []
    before = {link: dict(crossed) for link, crossed in carried.items()}
    if method.exchanges:
        for sender in members:
            for receiver in graph[sender.device]:
                link = (sender.device, receiver)
                crossed = carried.setdefault(link, {})
                sent = [(published[sender.device], crossed.get(sender.device, 0) if method.keeps else 0)]
                if relay and method.relays:
                    sent += _relayed(sender, receiver, graph, crossed, before.get((receiver, sender.device), {}))
                for update, known in sent:
                    message, split = post.parcel(update, sender.device, version, known)
                    ledger.record(method.name, version, *link, split, relayed=update.source != sender.device)
                    crossed[update.source] = update.version
                    arriving.append((receiver, message))
    for member in members:
        member.held[member.device] = published[member.device]
    for receiver, message in arriving:
        post.deliver(members[receiver], message)


class Post:
    """What is on its way in one exchange: equal messages are encoded once, and opened once over equal bases.

    Args:
        method: whose experts are sent.
        workshop: builds the experts that devices start from.
        settings: how values cross the air.
        round: the round that is exchanged; nobody has anything newer.
        relay: whether devices pass on others' updates, where the method lets them.
    """

    def __init__(
        self, method: Method, workshop: Workshop, settings: ExchangeConfig, round: int, relay: bool = True
    ) -> None:
        self.settings, self.round = settings, round
        self.relays = relay and method.relays
        self._method, self._workshop = method, workshop
        self._origins: dict[int, Tensor] = {}
        self._counts: dict[int, int] = {}
        self._parcels: dict[tuple[int, int, int, bool], tuple[Message, dict[str, int]]] = {}
        self._values: dict[tuple[int, int], Tensor] = {}
        self._opened: dict[tuple[int, int, bool, int], tuple[Update | None, Update]] = {}

    def origin(self, member: Member, source: int) -> Tensor:
        """Return the values that ``source`` starts from, as all know who have its announcement, bf16 (n,)."""
        if source not in self._origins:
            start = self._method.begin(member.known[source], member.known, self._workshop)
            self._origins[source] = start.values.detach().cpu().bfloat16()
        return self._origins[source]

    def count(self, member: Member, source: int) -> int:
        """Return how many values ``source`` trains, and so sends."""
        if self._method.kind != "sparse":  # all have one shape
            return member.expert.count
        if source not in self._counts:
            self._counts[source] = self._method.begin(member.known[source], member.known, self._workshop).count
        return self._counts[source]

    def parcel(self, update: Update, sender: int, round_: int, known: int) -> tuple[Message, dict[str, int]]:
        """Return ``update`` as ``sender``'s message arrives, and its bytes by use.

        ``known`` is the version of it that the receiver surely holds, 0 for none: that the source started from.

        Raises:
            UserError: it has more values than one message may hold.
        """
        difference = update.coded is not None and known == update.version - 1
        key = (sender, update.source, update.version, difference)
        if key not in self._parcels:
            meta: dict[str, int] = {} if update.source == sender else {"version": update.version}
            values = update.values
            if update.coded is not None and difference:
                meta["since"] = known
                values = update.coded
            elif self.settings.differences:
                values = _bytes(encode_keyframe(values), values)
            message = Message("update", sender, round_, update.source, meta, {"values": values})
            try:
                data = encode(message)
            except PayloadError as error:
                raise UserError(
                    f"{self._method.name} sends {update.values.numel()} values at once, more than a message may hold "
                    f"({error}): leave it out of methods, or take a smaller model"
                ) from error
            self._parcels[key] = decode(data), byte_split(message, data)
            self._values[update.source, update.version] = update.values
        return self._parcels[key]

    def deliver(self, member: Member, message: Message) -> None:
        """Let ``member`` hold the update in ``message`` where that is newer than what it holds.

        Raises:
            PayloadError: as :func:`receive`.
        """
        version = checked_version(member, message, self)
        held = member.held.get(message.source)
        if held is not None and held.version >= version:
            return
        key = (message.source, version, "since" in message.meta, 0 if held is None else id(held.values))
        if key not in self._opened:
            found = receive(member, message, self)
            first = self._values.get((message.source, version), found.values)
            if torch.equal(first, found.values):  # one tensor for one version: equal experts are then known to be equal
                found = replace(found, values=first)
            # What it was opened over is kept beside it: while that lives, its id is nobody else's.
            self._opened[key] = held, found
        member.held[message.source] = self._opened[key][1]


def publish(member: Member, version: int, post: Post) -> Update:
    """Return the member's values as everybody will hold them; what those leave out becomes its ``residual``.

    Raises:
        DivergedError: a value is NaN or infinite, or beyond what the form holds.
    """
    values = member.expert.values.detach().to("cpu")
    settings = post.settings
    if not settings.differences:
        sent = values.clone().to(getattr(torch, settings.values))
        if not torch.isfinite(sent).all():
            raise DivergedError(f"its values are beyond what {settings.values} holds", member.device)
        return Update(member.device, version, sent)
    if member.residual is not None:
        values = values + member.residual
    own = member.held.get(member.device)
    base = post.origin(member, member.device) if own is None else own.values
    try:
        coded = encode_difference(values, base, settings.values, settings.block)
    except PayloadError as error:
        raise DivergedError("its values are not finite", member.device) from error
    held = apply_difference(coded, base)
    member.residual = values - held
    return Update(member.device, version, held, _bytes(coded, held))


def _bytes(data: bytes | None, otherwise: Tensor) -> Tensor:
    """Return ``data`` as a tensor (bytes,), or ``otherwise`` where there are none."""
    return otherwise if data is None else torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _relayed(
    sender: Member,
    receiver: int,
    graph: Mapping[int, Sequence[int]],
    crossed: Mapping[int, int],
    back: Mapping[int, int],
) -> list[tuple[Update, int]]:
    """Return what ``sender`` passes on, updates it held before this round that the receiver cannot hear directly.

    Beside each stands the version of it that the receiver is known to hold. Both ends of a link send at the same time:
    ``back`` is what had crossed it the other way when the round began.
    """
    passed = []
    for source in sorted(sender.held):
        update = sender.held[source]
        direct = source in (sender.device, receiver) or receiver in graph[source]
        known = max(crossed.get(source, 0), back.get(source, 0))
        if not direct and known < update.version:
            passed.append((update, known))
    return passed
