"""How a node comes to know others: it asks neighbours for the announcements that they have and it lacks.

An announcement is asked of its source where that is a neighbour, else of the lowest neighbour that has it, and each is
brought once. Whoever passes one on says what the source would: what it has trained since then follows from what all
know (:meth:`meshtune.methods.base.Method.reintroduces`).
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
"""What ``have`` and ``want`` messages are of that speak of announcements."""


class Introductions:
    """Who a node knows, and who of its neighbours knows whom.

    Args:
        member: the node's; what it learns is added to ``known``.
        masks: masks that it was told before, by device: they are not sent to it again.

    Attributes:
        near: by neighbour whom that one hears, as far as it said so.
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
        """Begin to ask neighbours, those that there are now."""
        self._links = tuple(sorted(links))
        self._inventory.open(dict.fromkeys(self._member.known, 1), self._links)

    def news(self, round_: int) -> list[tuple[int, Message]]:
        """Return for each neighbour what it has yet to be told: whom this node knows and, at first, whom it hears."""
        found = []
        for neighbour in self._links:
            entries = self._inventory.news(neighbour, hearsay=False)
            if entries:
                message = have_message(self._member.device, round_, entries, {"of": OF, "near": list(self._links)})
                found.append((neighbour, message))
        return found

    def wants(self, round_: int) -> list[tuple[int, Message]]:
        """Return for each neighbour that has something to be asked for what it is asked."""
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
        """Return what was asked for: each message of an announcement, as its source would send it."""
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

    def take(self, message: Message, data: bytes, rules: UpdateRules) -> None:
        """Take in a part of an announcement.

        Raises:
            PayloadError: it is not what devices may announce, or nobody asked for it.
        """
        source = message.source
        begun = self._parts.get(source, [])
        if source == self._member.device or data in begun or (source in self._member.known and not begun):
            return  # it came twice
        if source not in self._pending:
            raise ForeignError(f"device {source} is announced, which nobody asked for")
        parts = [data] if message.kind == "announce" else [*begun, data]
        masks, own = self._masks.get(source, ()), self._member.own
        width = None if own.statistics is None else own.statistics.mean.size
        shared = replace(own.recipe, block=0)  # what all have in common; a source names its own block

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
        """Take in what a neighbour knows."""
        entries = entries_of(message, Receiver(rules.round, self._member.device), newest=1)
        near = message.meta.get("near", [])
        if not isinstance(near, list) or len(near) > MOST_ROWS:
            raise MalformedError(f"device {message.sender} says no list of whom it hears")
        heard = frozenset(whole(one, f"a neighbour of device {message.sender}", 0, None) for one in near)
        self._inventory.on_have(message.sender, entries)
        self.near[message.sender] = heard

    def on_want(self, message: Message, rules: UpdateRules) -> None:
        """Take note of what a neighbour asks for."""
        sources = sources_of(message, Receiver(rules.round, self._member.device))
        masks = message.meta.get("masks", [])
        if not isinstance(masks, list):
            raise MalformedError(f"device {message.sender} says no list of masks that it knows")
        for source in sources:
            if source not in self._member.known:
                raise ForeignError(f"device {message.sender} asks for device {source}, which is not known here")
            self._asked.append((message.sender, source, source in masks))

    def _said(self, source: int, rules: UpdateRules) -> Announcement:
        known = self._member.known
        if rules.round == 0:
            return known[source]
        return rules.method.reintroduces(known[source], known, rules.factory)


def as_told(own: Announcement, rules: UpdateRules) -> Announcement:
    """Return a device's announcement as it arrives at others, which is how it counts for the device itself.

    Raises:
        PayloadError: it is not what devices may announce.
    """
    messages = [decode(encode(message)) for message in to_messages(own, rules.method, rules.factory.layers)]
    width = None if own.statistics is None else own.statistics.mean.size
    return from_messages(messages, rules.factory.layers, own.recipe, method=rules.method, width=width)
