"""How a node wraps its messages in envelopes."""

from __future__ import annotations

from meshtune.methods.state import Member
from meshtune.node.envelope import Envelope
from meshtune.node.updates import UpdateRules, write_update
from meshtune.wire.payload import Message, byte_split, encode


def update_envelope(member: Member, receiver: int, source: int, known: int, rules: UpdateRules) -> Envelope:
    """Return the newest update of ``source`` that ``member`` holds, for a neighbour that holds version ``known``."""
    update = member.held[source]
    rules.cache.once(("values", update.digest), lambda: update.values)
    data, split = write_update(update, member, known, rules)
    return Envelope(member.device, receiver, source, update.version, data, split)


def control_envelope(receiver: int, message: Message) -> Envelope:
    """Return an envelope with one of the node's own messages that carries no update."""
    data = encode(message)
    return Envelope(message.sender, receiver, message.sender, 0, data, byte_split(message, data))
