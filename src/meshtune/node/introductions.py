"""How a node learns of others: it asks neighbours for the announcements that they have and it lacks.

A node requests an announcement from its source if that is a neighbour, otherwise from the lowest-numbered neighbour
that has it. Each announcement arrives once. A relaying device says what the source itself would say: what the source
has trained since then follows from what all devices know (:meth:`meshtune.methods.base.Method.reintroduces`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from meshtune.errors import ForeignError, MalformedError
from meshtune.methods.state import Announcement, Masks, Member
from meshtune.node.announcements import to_messages
from meshtune.node.envelope import Envelope
from meshtune.node.inventory import Inventory, entries_of, have_message, sources_of, want_message
from meshtune.node.receiving import from_messages
from meshtune.node.updates import UpdateRules, read_message
from meshtune.wire.payload import Message, byte_split, decode, encode
from meshtune.wire.plain_values import whole
from meshtune.wire.validation import MOST_ROWS, Receiver

OF = "announcements"
"""Value of ``of`` in ``have`` and ``want`` messages about announcements."""


class Introductions:
    """Which devices a node knows, and which of its neighbours know which devices.

    Args:
        member: the node's member; devices it learns of are added to ``known``.
        masks: masks it already has, by device; they are not sent to it again.

    Attributes:
        near: per neighbour, the devices that neighbour says it hears.
    """

    def __init__(self, member: Member, masks: Mapping[int, Masks] | None = None) -> None:
        self._member, self._masks = member, masks or {}
        self.near: dict[int, frozenset[int]] = {}
        self._inventory = Inventory()
        self._parts: dict[int, list[bytes]] = {}
        self._pending: set[int] = set()
        self._asked: list[tuple[int, int, bool]] = []
        self._links: tuple[int, ...] = ()

    def open(self, links: Collection[int]) -> None:
        """Start asking ``links``, the current neighbours."""
        self._links = tuple(sorted(links))
        self._inventory.open(dict.fromkeys(self._member.known, 1), self._links)

    def news(self, round_: int) -> list[tuple[int, Message]]:
        """Return the unsent news for each neighbour: which devices this node knows and, at first, which it hears."""
        found = []
        for neighbour in self._links:
            entries = self._inventory.news(neighbour, hearsay=False)
            if entries:
                message = have_message(self._member.device, round_, entries, {"of": OF, "near": list(self._links)})
                found.append((neighbour, message))
        return found

    def wants(self, round_: int) -> list[tuple[int, Message]]:
        """Return the requests to send, per neighbour that has something this node lacks."""
        asked: dict[int, list[int]] = {}
        for source in sorted(self._inventory.newest.keys() - self._member.known.keys()):
            having = [one for one in self._links if self._inventory.hears(one, source)]
            if having:
                asked.setdefault(source if source in having else having[0], []).append(source)
                self._pending.add(source)
        found = []
        for neighbour, sources in sorted(asked.items()):
            masks = [source for source in sources if source in self._masks]
            message = want_message(self._member.device, round_, sources, {"of": OF, "masks": masks})
            found.append((neighbour, message))
        return found

    def serve(self, rules: UpdateRules) -> list[Envelope]:
        """Return the requested announcements, each message as its source would send it."""
        asked, self._asked = self._asked, []
        found = []
        for receiver, source, told in asked:
            said = self._said(source, rules)

            def make(said: Announcement = said, told: bool = told) -> list[tuple[bytes, dict[str, int]]]:
                messages = to_messages(said, rules.method, rules.factory.layers, told)
                return [(data, byte_split(message, data)) for message in messages for data in [encode(message)]]

            for data, split in rules.cache.once(("said", said.digest, told), make):
                found.append(Envelope(self._member.device, receiver, source, 0, data, split))
        return found

    def process(self, message: Message, data: bytes, rules: UpdateRules) -> None:
        """Read a part of an announcement.

        Raises:
            PayloadError: it is not a valid announcement, or nobody asked for it.
        """
        source = message.source
        begun = self._parts.get(source, [])
        if source == self._member.device or data in begun or (source in self._member.known and not begun):
            return  # a duplicate
        if source not in self._pending:
            raise ForeignError(f"device {source} was announced, but nobody requested it")
        parts = [data] if message.kind == "announce" else [*begun, data]
        masks, own = self._masks.get(source, ()), self._member.own
        width = None if own.statistics is None else own.statistics.mean.size
        shared = replace(own.recipe, block=0)  # common to all devices; each source names its own block

        def read() -> Announcement:
            messages = [read_message(part, rules) for part in parts]
            return from_messages(
                messages, rules.factory.layers, shared, masks, rules.method, width, Receiver(rules.round)
            )

        digests = b"".join(mask.tobytes() for mask in masks)
        found = rules.cache.once(("announced", shared, width, digests, *parts), read)
        self._parts[source] = parts
        self._member.known[source] = found
        self._member.starts.clear()
        self._inventory.hold(source, 1)

    def on_have(self, message: Message, rules: UpdateRules) -> None:
        """Record which devices a neighbour knows."""
        entries = entries_of(message, Receiver(rules.round, self._member.device), newest=1)
        near = message.meta.get("near", [])
        if not isinstance(near, list) or len(near) > MOST_ROWS:
            raise MalformedError(f"device {message.sender} did not send a valid list of the devices it hears")
        heard = frozenset(whole(one, f"a neighbour of device {message.sender}", 0, None) for one in near)
        self._inventory.on_have(message.sender, entries)
        self.near[message.sender] = heard

    def on_want(self, message: Message, rules: UpdateRules) -> None:
        """Record a neighbour's request."""
        sources = sources_of(message, Receiver(rules.round, self._member.device))
        masks = message.meta.get("masks", [])
        if not isinstance(masks, list):
            raise MalformedError(f"device {message.sender} did not send a valid list of the masks it knows")
        for source in sources:
            if source not in self._member.known:
                raise ForeignError(f"device {message.sender} requests device {source}, which is not known here")
            self._asked.append((message.sender, source, source in masks))

    def _said(self, source: int, rules: UpdateRules) -> Announcement:
        known = self._member.known
        if rules.round == 0:
            return known[source]
        return rules.method.reintroduces(known[source], known, rules.factory)


def as_told(own: Announcement, rules: UpdateRules) -> Announcement:
    """Return a device's announcement as others receive it; the device itself uses this version too.

    Raises:
        PayloadError: it is not a valid announcement.
    """
    messages = [decode(encode(message)) for message in to_messages(own, rules.method, rules.factory.layers)]
    width = None if own.statistics is None else own.statistics.mean.size
    return from_messages(messages, rules.factory.layers, own.recipe, method=rules.method, width=width)
