"""Exchange over unreliable links: neighbours tell each other what they hold, and each requests what it lacks.

A node requests the newest version of an update that any reachable device holds, from one neighbour at a time, and never
twice from the same one. It learns what a neighbour holds only from that neighbour's messages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from meshtune.errors import ForeignError
from meshtune.methods.state import Member
from meshtune.node.envelope import Envelope
from meshtune.node.inventory import Inventory, have_message, want_message
from meshtune.node.outgoing import control_envelope, update_envelope
from meshtune.node.updates import UpdateRules


class Relay:
    """What one node announces, requests and relays.

    Args:
        member: the node's member.

    Attributes:
        inventory: who holds what.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self.inventory = Inventory()
        self._links: tuple[int, ...] = ()
        self._asked: list[tuple[int, int]] = []
        self._given_up: set[tuple[int, int]] = set()
        self._unlinked: set[int] = set()

    def own_updates(self, receivers: Sequence[int], one_copy: bool, rules: UpdateRules) -> list[Envelope]:
        """Return the node's own update for ``receivers``; with ``one_copy`` one message that all of them can decode."""
        member = self._member
        known = {receiver: self.inventory.hears(receiver, member.device) for receiver in receivers}
        least = min(known.values(), default=0)
        return [
            update_envelope(member, one, member.device, least if one_copy else known[one], rules) for one in receivers
        ]

    def open(self, links: Collection[int], own: bool) -> None:
        """Start relaying to the neighbours in ``links``; ``own`` says whether the node's own update is included."""
        self._links = tuple(sorted(links))
        held = {source: update.version for source, update in self._member.held.items()}
        if not own:
            held.pop(self._member.device, None)
        self.inventory.open(held, self._links)
        self._given_up, self._unlinked = set(), set()

    def news(self, hearsay: bool, rules: UpdateRules) -> list[Envelope]:
        """Return unsent news for neighbours: what is held and, with ``hearsay``, what has been heard of."""
        found = []
        for neighbour in self._links:
            entries = self.inventory.news(neighbour, hearsay)
            if entries:
                found.append(control_envelope(neighbour, have_message(self._member.device, rules.round, entries)))
        return found

    def wants(self, rules: UpdateRules) -> list[Envelope]:
        """Request at most one update per neighbour, each from the lowest-numbered neighbour that has it."""
        member = self._member
        free = [one for one in self._links if one not in self._unlinked]
        found = []
        for source in sorted(self.inventory.newest):
            newest = self.inventory.newest[source]
            held = member.held.get(source)
            if source == member.device or newest <= (0 if held is None else held.version):
                continue
            provider = next((one for one in free if self._provides(one, source, newest, rules.relays)), None)
            if provider is not None:
                free.remove(provider)
                found.append(control_envelope(provider, want_message(member.device, rules.round, [source])))
        return found

    def serve(self, one_copy: bool, rules: UpdateRules) -> list[Envelope]:
        """Return the requested updates; in a broadcast only that of the lowest source."""
        asked, self._asked = self._asked, []
        hears, member = self.inventory.hears, self._member
        if one_copy and asked:
            lowest = min(source for _, source in asked)
            asked = [(receiver, source) for receiver, source in asked if source == lowest]
            least = min(hears(receiver, lowest) for receiver, _ in asked)
            return [update_envelope(member, receiver, lowest, least, rules) for receiver, _ in asked]
        return [update_envelope(member, one, source, hears(one, source), rules) for one, source in asked]

    def missed(self, neighbour: int, source: int) -> None:
        """Record that ``neighbour`` did not deliver the update of ``source``; it is not asked for it again."""
        self._given_up.add((neighbour, source))

    def unlink(self, neighbour: int) -> None:
        """Request nothing more from ``neighbour`` until :meth:`open`."""
        self._unlinked.add(neighbour)

    def on_want(self, neighbour: int, sources: Iterable[int]) -> None:
        """Record a neighbour's request.

        Raises:
            ForeignError: a requested update is not held here.
        """
        for source in sources:
            if source not in self._member.held:
                raise ForeignError(f"device {neighbour} requests the update of device {source}, which is not held here")
            self._asked.append((neighbour, source))

    def _provides(self, neighbour: int, source: int, newest: int, relays: bool) -> bool:
        may = source == neighbour or relays
        return may and self.inventory.hears(neighbour, source) == newest and (neighbour, source) not in self._given_up
