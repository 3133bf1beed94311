"""One device of decentralised clustering: it knows only its neighbours' messages, and ends in the clusters of `agnes`.

A cluster is led by its lowest-numbered member. A leader proposes to its best candidate, the cluster it would merge with
first. If two clusters propose to each other, they merge and tell everyone in range. No other message can change that:
a cluster that a leader has not heard of yet is a superset of ones it has, so merging with it would not come earlier
(the key is monotone). For the same reason it does not matter which mutually best pair merges first, nor when and in
which order messages arrive. They must arrive, though: the layer below retransmits lost ones. All messages carry an
epoch; leftovers of an earlier clustering run, before devices moved or joined, are dropped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meshtune.errors import MalformedError, PayloadError
from meshtune.topology.bounds import crossing, distance
from meshtune.topology.collision import CollisionState, alone, merged, order, rate, replay
from meshtune.topology.hearing import Terms, check_claim, check_hello, check_message, check_reports
from meshtune.topology.messages import Announced, ClusterMessage, FormedCluster, Hello, Proposal, Reports


@dataclass(frozen=True, eq=False)
class _Set:
    """A cluster as a device knows it."""

    merges: tuple[tuple[int, int], ...]
    members: tuple[int, ...]
    state: CollisionState
    load: Mapping[int, int]

    @property
    def spent(self) -> int:
        return sum(self.load.values())


class Peer:
    """One device.

    Attributes:
        device: its id.
        members: ids of the cluster it knows itself to be in, ascending.
        merges: how that cluster was formed.

    Args:
        device: its id.
        hello: what it says about itself.
        losses: ticks to each device in range, as it measures them.
        terms: what all devices have in common.
    """

    def __init__(self, device: int, hello: Hello, losses: Mapping[int, int], terms: Terms) -> None:
        self.device, self.terms = device, terms
        self.hellos, self.losses = {device: hello}, {device: losses}
        self.members: tuple[int, ...] = (device,)
        self.merges: tuple[tuple[int, int], ...] = ()
        self.sets: dict[int, _Set] = {}
        self._links: dict[int, dict[int, int]] = {}
        self._size: dict[int, int] = {}  # per device, the size of its largest cluster heard of
        self._offers: set[tuple[int, Proposal]] = set()
        self._made: tuple[int, Proposal] | None = None
        self._early: list[ClusterMessage] = []

    @property
    def leads(self) -> bool:
        """Whether it leads its cluster."""
        return self.members[0] == self.device

    def start(self) -> list[ClusterMessage]:
        """Return its first messages: its hello and its reports."""
        return [*self._say(self.hellos[self.device], Reports(dict(self.losses[self.device]))), *self._open()]

    def receive(self, message: ClusterMessage) -> list[ClusterMessage]:
        """Process ``message``; return what to send next.

        Raises:
            PayloadError: the message is impossible given what this device knows; it is ignored.
        """
        check_message(message, self.device, self.losses[self.device])
        body = message.body
        if message.epoch != self.terms.epoch:
            return []
        if isinstance(body, Hello | Reports):
            if isinstance(body, Hello):
                check_hello(message.sender, body, self.hellos.get(message.sender), self.terms)
                self.hellos[message.sender] = body
            else:
                check_reports(message.sender, body, self.losses.get(message.sender))
                self.losses[message.sender] = body.ticks
            return self._open()
        check_claim(message.sender, body, self.terms)
        if not self.sets:  # others may have heard all their neighbours before this device has
            self._early.append(message)
            return []
        return self._heed(message.sender, body)

    def _open(self) -> list[ClusterMessage]:
        """Start clustering once everyone in range has sent its hello and its reports."""
        near = self.losses[self.device].keys()
        if self.sets or not (near <= self.hellos.keys() and near <= self.losses.keys()):
            return []
        known = [self.device, *near]
        where = np.array([self.hellos[device].position for device in known])
        apart = distance(where[:, None], where[None, :])
        self._links = {device: {} for device in known}
        for i, j in np.argwhere(apart <= self.terms.reach).tolist():
            a, b = known[i], known[j]
            if a != b and b in self.losses[a] and a in self.losses[b]:
                self._links[a][b] = max(self.losses[a][b], self.losses[b][a])  # the higher of both ends' reports
        for device in known:
            self._size[device] = 1
            self.sets[device] = self._build((), (device,))
        said = self._step()
        early, self._early = self._early, []
        for message in early:
            with contextlib.suppress(PayloadError):  # the sender of the current message is not to blame
                said += self.receive(message)
        return said

    def _heed(self, sender: int, body: Announced) -> list[ClusterMessage]:
        if isinstance(body, Proposal):
            self._offers.add((sender, body))
            return self._step()
        if not isinstance(body, FormedCluster):
            return []
        members = body.members
        self._check_links(sender, members)
        if all(self._size.get(device, 0) >= len(members) for device in members):
            return []  # older than what is already known
        if self.device in members:
            return self._join(body.merges) if self.leads else self._follow(body.merges)
        self._learn(body.merges)
        return self._step()

    def _check_links(self, sender: int, members: tuple[int, ...]) -> None:
        """Refuse a cluster of devices in range that do not hear each other, or one that splits this device's own."""
        near = [device for device in members if device in self._links]
        for device in near:
            deaf = [other for other in near if other != device and other not in self._links[device]]
            if deaf:
                raise MalformedError(
                    f"device {sender} reports a cluster of {device} and {deaf[0]}, which do not hear each other"
                )
        shared = len(set(members) & set(self.members))
        if shared not in (0, len(self.members), len(members)):
            raise MalformedError(f"device {sender} reports a cluster that splits the cluster of device {self.device}")

    def _learn(self, merges: tuple[tuple[int, int], ...]) -> None:
        members = FormedCluster(merges).members
        for device in members:
            self._size[device] = max(len(members), self._size.get(device, 0))
            self.sets.pop(device, None)
        if all(device in self._links for device in members):  # else a member, and so the cluster, is out of range
            self.sets[members[0]] = self._build(merges, members)

    def _follow(self, merges: tuple[tuple[int, int], ...]) -> list[ClusterMessage]:
        self._learn(merges)
        self.merges, self.members = merges, FormedCluster(merges).members
        return []

    def _join(self, merges: tuple[tuple[int, int], ...]) -> list[ClusterMessage]:
        """Adopt a larger cluster and tell everyone in range: some of them may not hear its leader."""
        self._follow(merges)
        return self._say(FormedCluster(merges)) + self._step()

    def _step(self) -> list[ClusterMessage]:
        """Propose to the best candidate, and merge if it has proposed too."""
        best = self._best() if self.leads else None
        if best is None:
            return []
        ours, theirs = self.sets[self.device], self.sets[best]
        proposal = Proposal(len(ours.members), len(theirs.members))
        said = []
        if self._made != (best, proposal):
            self._made = (best, proposal)
            said.append(ClusterMessage(self.device, (best,), self.terms.epoch, proposal))
        if (best, Proposal(len(theirs.members), len(ours.members))) in self._offers:
            pair = (min(self.device, best), max(self.device, best))
            first, second = (self.sets[head].merges for head in pair)
            said += self._join((*first, *second, pair))
        return said

    def _best(self) -> int | None:
        keys = {head: self._key(head) for head in self.sets if head != self.device}
        allowed = [(key, head) for head, key in keys.items() if key is not None]
        return min(allowed)[1] if allowed else None

    def _key(self, head: int) -> tuple[int, float, int, int] | None:
        """Return the key of merging with the cluster of ``head``; None if that is not allowed."""
        terms, ours, theirs = self.terms, self.sets[self.device], self.sets[head]
        u = len(ours.members) + len(theirs.members) - 1
        if terms.most is not None and u + 1 > terms.most:
            return None
        one = CollisionState(theirs.state.none[None], theirs.state.clear[None])
        collisions = merged(ours.state, one, terms.weights)[0]
        if rate(collisions, terms.weights) > terms.s_max:
            return None
        extra = 0
        for a, b in ((ours, theirs), (theirs, ours)):
            caps = {device: terms.scale.cap(self.hellos[device].power, u) for device in a.members}
            cost = crossing(a.members, b.members, self._links, a.load, caps)
            if cost is None:
                return None
            extra += cost
        energy = terms.scale.ratio(u) * (ours.spent + theirs.spent + extra) if terms.tie_break == "energy" else 0.0
        first = int(order(collisions, terms.weights, terms.tie_break))
        return first, energy, min(self.device, head), max(self.device, head)

    def _build(self, merges: tuple[tuple[int, int], ...], members: tuple[int, ...]) -> _Set:
        states = {device: alone(self.hellos[device].announced, self.terms.whole) for device in members}
        load = {a: sum(self._links[a][b] for b in members if b != a) for a in members}
        return _Set(merges, members, replay(states, merges, members[0]), load)

    def _say(self, *bodies: Announced) -> list[ClusterMessage]:
        near = tuple(sorted(self.losses[self.device]))
        return [ClusterMessage(self.device, near, self.terms.epoch, body) for body in bodies] if near else []
