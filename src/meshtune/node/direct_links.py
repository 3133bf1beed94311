"""Exchange over reliable links: a node knows what its neighbours hold from what it sent, so nobody has to ask.

All nodes send at the same time. A node relays only updates it held before the round, and only to neighbours that cannot
hear the source themselves. If a neighbour nevertheless refuses a message, it reports that, and the message is sent
again when it is next due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from meshtune.methods.state import Member
from meshtune.node.envelope import Envelope
from meshtune.node.inventory import Entry, have_message
from meshtune.node.outgoing import control_envelope, update_envelope
from meshtune.node.updates import UpdateRules

ALL = "all"
"""Value of ``of`` in a ``have`` message that lists everything its sender holds."""


class DirectLinks:
    """One node's reliable links.

    Args:
        member: the node's.

    Attributes:
        sent: per neighbour and source, the version sent to that neighbour.
        came: likewise, the version received from it.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self.sent: dict[int, dict[int, int]] = {}
        self.came: dict[int, dict[int, int]] = {}
        self._unsettled: set[int] = set()

    def exchange(self, links: Sequence[int], near: Mapping[int, frozenset[int]], rules: UpdateRules) -> list[Envelope]:
        """Return this node's update for every neighbour, and updates to relay to those that cannot hear the source.

        Args:
            links: the neighbours.
            near: per neighbour, the devices it hears.
            rules: the rules of the round.
        """
        found: list[Envelope] = []
        member, sharing = self._member, rules.method.sharing
        if not sharing.sends:
            return found
        for receiver in links:
            sent, came = self.sent.setdefault(receiver, {}), self.came.get(receiver, {})
            known = sent.get(member.device, 0) if sharing.holds else 0
            found.append(update_envelope(member, receiver, member.device, known, rules))
            sent[member.device] = rules.round
            for source in sorted(member.held) if rules.relays else ():
                version = member.held[source].version
                known = max(sent.get(source, 0), came.get(source, 0))
                direct = source in (member.device, receiver) or source in near.get(receiver, ())
                if not direct and known < version:
                    found.append(update_envelope(member, receiver, source, known, rules))
                    sent[source] = version
        return found

    def refuse(self, neighbour: int) -> None:
        """Record that a message from ``neighbour`` was refused, which the neighbour believes was accepted."""
        self._unsettled.add(neighbour)

    def corrections(self, links: Sequence[int], rules: UpdateRules) -> list[Envelope]:
        """Return, for neighbours that had a message refused, the list of what this node really holds."""
        unsettled, self._unsettled = self._unsettled, set()
        if not unsettled:
            return []
        entries = [(source, update.version, 0) for source, update in sorted(self._member.held.items())]
        said = have_message(self._member.device, rules.round, entries, {"of": ALL})
        return [control_envelope(neighbour, said) for neighbour in links if neighbour in unsettled]

    def on_update(self, neighbour: int, source: int, version: int) -> None:
        """Record that an update arrived from ``neighbour``."""
        self.came.setdefault(neighbour, {})[source] = version

    def on_have_all(self, neighbour: int, entries: Iterable[Entry]) -> None:
        """Record that of everything sent to ``neighbour``, it holds only ``entries``."""
        self.sent[neighbour] = {source: version for source, version, _ in entries}
