"""One device under one method, without I/O: what it sends, how it handles what it receives, and how it advances.

A node knows its own announcement, what it has received, and what each neighbour is known to hold. It never reads
another node's memory and never waits. Its host runs its training jobs, carries its envelopes and delivers what
arrives. A simulation hosts thousands of nodes in one process; a peer hosts one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from meshtune.errors import EarlyError, ForeignError, PayloadError
from meshtune.methods.base import Answer, Method, Prompts
from meshtune.methods.state import Masks, Member, Update
from meshtune.model.encoding import Row
from meshtune.node.direct_links import ALL, DirectLinks
from meshtune.node.early_messages import EarlyMessages
from meshtune.node.envelope import Envelope
from meshtune.node.introductions import OF, Introductions
from meshtune.node.inventory import entries_of, sources_of
from meshtune.node.outgoing import control_envelope
from meshtune.node.receiving import checked_version, receive
from meshtune.node.relay import Relay
from meshtune.node.snapshot import (
    Put,
    Take,
    pack_early,
    pack_member,
    pack_versions,
    unpack_early,
    unpack_member,
    unpack_versions,
)
from meshtune.node.summed_updates import rebase
from meshtune.node.updates import UpdateRules, publish, read_message
from meshtune.training.trainer import Job
from meshtune.wire.payload import INVENTORY, Message
from meshtune.wire.validation import Receiver


class Node:
    """One device under one method.

    Args:
        member: what it knows, holds and trains.
        rules: what all devices know about each other's updates before the first round.
        reliable: whether everything sent arrives, so that a neighbour is known to hold what was sent to it.
        masks: masks it already has, by device.

    Attributes:
        rules: what all devices know about this round's updates; see :meth:`begin_round`.
        links: the neighbours it can currently send to.
        introductions: the devices it knows.
        relay: exchange over unreliable links, by request.
        direct: exchange over reliable links.
        early: messages from neighbours for future rounds.
        refused: number of refused messages, by the name of the error.
    """

    def __init__(
        self, member: Member, rules: UpdateRules, reliable: bool = True, masks: Mapping[int, Masks] | None = None
    ) -> None:
        self.member, self.rules, self.reliable = member, rules, reliable
        self.links: tuple[int, ...] = ()
        self.introductions = Introductions(member, masks)
        self.relay, self.direct = Relay(member), DirectLinks(member)
        self.early = EarlyMessages()
        self.refused: Counter[str] = Counter()

    @property
    def device(self) -> int:
        """Its id."""
        return self.member.device

    @property
    def method(self) -> Method:
        """How it learns, mixes and answers."""
        return self.rules.method

    def meet(self, links: Collection[int]) -> None:
        """Start learning which devices the neighbours know."""
        self.introductions.open(links)

    def announcement_news(self) -> list[Envelope]:
        """Return unsent news for neighbours about the devices it knows."""
        return [control_envelope(*one) for one in self.introductions.news(self.rules.round)]

    def announcement_requests(self) -> list[Envelope]:
        """Return requests to neighbours for the announcements it lacks."""
        return [control_envelope(*one) for one in self.introductions.wants(self.rules.round)]

    def requested_announcements(self) -> list[Envelope]:
        """Return the announcements that were requested from it."""
        return self.introductions.serve(self.rules)

    def begin(self) -> None:
        """Start from the expert determined by the devices it knows."""
        member = self.member
        member.expert = self.method.begin(member.own, member.known, self.rules.factory)

    def begin_round(self, rules: UpdateRules) -> None:
        """Adopt the rules of the round, and process messages that arrived early for it."""
        self.rules = rules
        for sender, data in self.early.due(rules.round):
            self.receive(sender, data)

    def job(self, batches: Sequence[Sequence[Row]], lr: float | Sequence[float], first_step: int) -> Job:
        """Return its training job for this round; a host may train it together with the jobs of other nodes.

        Args:
            batches: its rows, step by step.
            lr: the peak learning rate of the run, or one for each of the expert's parts.
            first_step: the number within the run of the first of these steps.
        """
        member = self.member
        expert, own = member.expert, member.held.get(self.device)
        if expert.kind != "full":  # full weights are trained in place in the model; other values in a copy
            expert = expert.trainee(1 if own is None else own.version + 1)
        moments = {name: tensor.clone() for name, tensor in member.moments.items()}
        return Job(expert, batches, lr, first_step, moments)

    def trained(self, job: Job) -> None:
        """Take over the result of its job, or of an equal one."""
        member = self.member
        member.history = (*member.history, member.expert.digest)
        one_turn = len(member.expert.turns) == 1
        member.expert = member.expert.taught(job.expert)
        member.moments = job.moments if one_turn else {}  # the next round trains other values

    def publish(self) -> Update:
        """Turn the trained values into the update of this round, and hold it.

        Raises:
            DivergedError: a value is NaN, infinite, or out of range for the value type sent.
        """
        update = publish(self.member, self.rules.round, self.rules)
        self.member.held[self.device] = update
        return update

    def exchange(self) -> list[Envelope]:
        """Return what to send over reliable links; see :meth:`meshtune.node.direct_links.DirectLinks.exchange`."""
        return self.direct.exchange(self.links, self.introductions.near, self.rules)

    def corrections(self) -> list[Envelope]:
        """Tell neighbours that had a message refused what this node really holds."""
        return self.direct.corrections(self.links, self.rules)

    def own_updates(self, receivers: Sequence[int], one_copy: bool) -> list[Envelope]:
        """Return its own update for neighbours, over links that may lose it.

        Args:
            receivers: the neighbours present.
            one_copy: whether to broadcast one message that all of them can decode.
        """
        return self.relay.own_updates(receivers, one_copy, self.rules)

    def open(self, links: Collection[int], own: bool) -> None:
        """Start relaying what it holds.

        Args:
            links: the neighbours present.
            own: whether its own update is ready.
        """
        self.links = tuple(sorted(links))
        self.relay.open(self.links, own)

    def news(self, hearsay: bool = True) -> list[Envelope]:
        """Return unsent news for neighbours: what it holds and, with ``hearsay``, what it has heard of."""
        return self.relay.news(hearsay, self.rules)

    def wants(self) -> list[Envelope]:
        """Return requests for what it lacks; see :meth:`meshtune.node.relay.Relay.wants`."""
        return self.relay.wants(self.rules)

    def serve(self, one_copy: bool) -> list[Envelope]:
        """Return the requested updates; in a broadcast only that of the lowest source."""
        return self.relay.serve(one_copy, self.rules)

    def missed(self, neighbour: int, source: int) -> None:
        """Record that ``neighbour`` did not deliver the update of ``source``; it is not asked for it again."""
        self.relay.missed(neighbour, source)

    def unlink(self, neighbour: int) -> None:
        """Request nothing more from ``neighbour`` during this relaying phase."""
        self.relay.unlink(neighbour)

    def receive(self, sender: int, data: bytes, now: float = 0.0) -> None:
        """Process a message. An invalid message is refused and counted, and changes nothing.

        Args:
            sender: the neighbour whose link it came over.
            data: the message.
            now: seconds on the host's clock.
        """
        try:
            self.process(sender, data)
        except PayloadError as error:
            self.refused[type(error).__name__] += 1
            self.direct.refuse(sender)

    def process(self, sender: int, data: bytes) -> None:
        """Process a message as :meth:`receive` does, but raise what is wrong with it.

        Raises:
            PayloadError: it is damaged or invalid; nothing is changed.
        """
        message = read_message(data, self.rules)
        if self.rules.round < message.round <= self.rules.round + self.rules.ahead:
            if not self.early.wait(sender, message, data):
                raise EarlyError(f"device {sender} sent more messages of future rounds than are kept")
            return
        passed_on = message.kind in ("announce", "router")  # relayed unchanged: the sender named is the source
        if message.sender != (message.source if passed_on else sender):
            raise ForeignError(f"device {sender} sent a message that names device {message.sender} as its sender")
        if message.meta.get("of") == OF and message.kind in INVENTORY:
            {"have": self.introductions.on_have, "want": self.introductions.on_want}[message.kind](message, self.rules)
        elif passed_on:
            self.introductions.process(message, data, self.rules)
        else:
            {"have": self._on_have, "want": self._on_want}.get(message.kind, self._on_update)(message, data)

    def end_round(self) -> None:
        """Mix the received updates into the expert that the next round starts from."""
        mixed = self.method.mix(self.member, self.rules.factory)
        if mixed is None:  # it keeps its unrounded values, which still contain what rounding left out
            self.member.residual = None
        else:
            self.member.expert = mixed
            rebase(self.member)

    def answer(self, prompts: Prompts) -> Answer:
        """Return which expert answers each prompt; see :meth:`meshtune.methods.base.Method.answer`."""
        return self.method.answer(self.member, prompts, self.rules.factory)

    def snapshot(self, put: Put) -> dict[str, Any]:
        """Return its state as plain values, without its announcement and the devices it knows.

        Args:
            put: stores a tensor and returns its name.
        """
        return {
            **pack_member(self.member, put),
            "sent": pack_versions(self.direct.sent),
            "came": pack_versions(self.direct.came),
            **self.relay.inventory.snapshot(),
            **pack_early(self.early, put),
            "refused": dict(self.refused),
        }

    def restore(self, data: Mapping[str, Any], take: Take) -> None:
        """The inverse of :meth:`snapshot`, for a node that has just begun.

        Args:
            data: what :meth:`snapshot` returned.
            take: returns a tensor by name; given a source, a version and the names of its parts, it returns that
                update.
        """
        unpack_member(self.member, data, take)
        self.direct.sent, self.direct.came = unpack_versions(data["sent"]), unpack_versions(data["came"])
        self.relay.inventory.restore(data)
        unpack_early(self.early, data, take)
        self.refused.update(data["refused"])

    def _on_update(self, message: Message, data: bytes) -> None:
        member, rules = self.member, self.rules
        version = checked_version(member, message, rules)
        held = member.held.get(message.source)
        if held is None or held.version < version:
            base = "" if held is None else (held.digest, held.changed_digest)
            found = rules.cache.once(("opened", data, base), lambda: receive(member, message, rules))
            values = rules.cache.once(("values", found.digest), lambda: found.values)
            member.held[message.source] = replace(found, values=values)
            self.relay.inventory.hold(message.source, version)
        if self.reliable:
            self.direct.on_update(message.sender, message.source, version)

    def _on_have(self, message: Message, data: bytes) -> None:
        entries = entries_of(message, self._receiver())
        self.relay.inventory.on_have(message.sender, entries)
        if message.meta.get("of") == ALL:  # it holds nothing else of what was sent to it
            self.direct.on_have_all(message.sender, entries)

    def _on_want(self, message: Message, data: bytes) -> None:
        self.relay.on_want(message.sender, sources_of(message, self._receiver()))

    def _receiver(self) -> Receiver:
        return Receiver(self.rules.round, self.device, None, self.rules.relays)
