"""Exchange over links that always deliver: what was sent is known to be held, and nobody has to ask.

All nodes send at the same time. What is passed on was held before the round, and goes to neighbours that cannot hear
its source themselves. A message that was refused all the same is told of, and sent again when it is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from meshtune.methods.state import Member
from meshtune.node.envelope import Envelope
from meshtune.node.inventory import Entry, have_message
from meshtune.node.outgoing import control_envelope, update_envelope
from meshtune.node.updates import UpdateRules

ALL = "all"
"""What a ``have`` message is of that tells everything that its sender holds."""


class DirectLinks:
    """One node's reliable links.

    Args:
        member: the node's.

    Attributes:
        sent: by neighbour and source the version that was sent there.
        came: likewise what came from there.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self.sent: dict[int, dict[int, int]] = {}
        self.came: dict[int, dict[int, int]] = {}
        self._unsettled: set[int] = set()

    def exchange(self, links: Sequence[int], near: Mapping[int, frozenset[int]], rules: UpdateRules) -> list[Envelope]:
        """Return the node's own update for every neighbour, and what a neighbour cannot hear directly.

        Args:
            links: the neighbours.
            near: by neighbour whom that one hears.
            rules: of the round.
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
        """Take note that a message of ``neighbour`` was refused, which thinks that it was taken."""
        self._unsettled.add(neighbour)

    def corrections(self, links: Sequence[int], rules: UpdateRules) -> list[Envelope]:
        """Return, for neighbours of whom a message was refused, what is really held."""
        unsettled, self._unsettled = self._unsettled, set()
        if not unsettled:
            return []
        entries = [(source, update.version, 0) for source, update in sorted(self._member.held.items())]
        said = have_message(self._member.device, rules.round, entries, {"of": ALL})
        return [control_envelope(neighbour, said) for neighbour in links if neighbour in unsettled]

    def on_update(self, neighbour: int, source: int, version: int) -> None:
        """Take note that an update came from ``neighbour``."""
        self.came.setdefault(neighbour, {})[source] = version

    def on_have_all(self, neighbour: int, entries: Iterable[Entry]) -> None:
        """Take in that nothing but ``entries`` of what was sent to ``neighbour`` is held there."""
        self.sent[neighbour] = {source: version for source, version, _ in entries}
