"""One device's side of mask negotiation within its part: it knows only the messages it received, and does no I/O.

Its host delivers incoming bytes and carries what it returns, hop by hop. A group with several devices first agrees
internally: each device sends the others its proposal, and all count the same vote. The group's lowest-numbered device
then sends the claim to all other groups (:mod:`meshtune.adapter.mask_claims`). Messages between devices that cannot
hear each other are relayed along a ``RelayTree`` of :mod:`meshtune.node.negotiation.negotiation_schedule`. The schedule
sets the turns. A device whose turn has come waits for what it still lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.mask import vote
from meshtune.adapter.mask_claims import Mask, capped_counts, propose
from meshtune.errors import ForeignError, MalformedError
from meshtune.methods.state import Masks
from meshtune.node.envelope import Envelope
from meshtune.node.negotiation.claim_messages import CodedMask, claim_message, code_mask, coded_claim, kind_of
from meshtune.node.negotiation.negotiation_schedule import Kind, NegotiationSchedule
from meshtune.printable import quoted
from meshtune.wire.content_cache import ContentCache
from meshtune.wire.payload import Message, byte_split, decode, encode
from meshtune.wire.validation import Receiver


class MaskNegotiation:
    """One device's side of the negotiation.

    Args:
        device: its id.
        scores: per layer, how much it wants each position (d r,): finite, none below 0. Never sent.
        counts: positions per layer in its own mask.
        sizes: d r of every layer.
        schedule: turns and routes, known to all devices of the part.
        cache: results already computed by other devices in this process.
    """

    def __init__(
        self,
        device: int,
        scores: Sequence[NDArray[np.floating[Any]]],
        counts: Sequence[int],
        sizes: Sequence[int],
        schedule: NegotiationSchedule,
        cache: ContentCache | None = None,
    ) -> None:
        self.device, self._scores, self._sizes, self._schedule = device, scores, sizes, schedule
        self._groups = len(schedule.turns)
        self._caps = [size // self._groups for size in sizes]
        self._counts = capped_counts(counts, sizes, self._groups)
        self._cache = cache or ContentCache()
        self._receiver = Receiver(0, device, schedule.groups.keys())
        self._turn = schedule.turns[schedule.groups[device]]
        self._hop = 0
        self._proposals: dict[int, CodedMask] = {}  # of its own group only
        self._claims: dict[str, CodedMask] = {}
        self._claimed = np.zeros((sum(sizes) + 7) // 8, dtype=np.uint8)  # one bit per position
        self._seen: dict[tuple[Kind, int], bytes] = {}  # digests of the messages that arrived

    @property
    def mask(self) -> Masks | None:
        """The mask its group claimed; None until it knows it."""
        own = self._claims.get(self._turn.group)
        return None if own is None else own.mask

    @property
    def masks(self) -> dict[int, Masks]:
        """The masks it knows by device, its own included."""
        groups = self._schedule.groups.items()
        return {device: self._claims[group].mask for device, group in groups if group in self._claims}

    def start(self) -> list[Envelope]:
        """Return the messages it sends in the first hop."""
        return self._take_turn()

    def next_hop(self) -> list[Envelope]:
        """Return the messages of its own for the hop that begins now; all messages of the last hop have arrived."""
        self._hop += 1
        return self._take_turn()

    def receive(self, sender: int, data: bytes) -> list[Envelope]:
        """Process a message; return what to relay of it in the next hop.

        Raises:
            PayloadError: it is damaged or invalid; nothing is changed.
        """
        message = decode(data)
        if message.sender != sender:
            raise ForeignError(f"device {sender} sent a message that names device {message.sender} as its sender")
        kind = kind_of(message)
        source, coded = message.source, coded_claim(message, kind, self._receiver)
        turn = self._schedule.turns[self._schedule.groups[source]]
        if kind == "claim" and (message.meta["group"], source) != (turn.group, turn.mates[0]):
            raise ForeignError(
                f"device {source} sent a claim for group {quoted(message.meta['group'])}: its group is "
                f"{quoted(turn.group)}, for which device {turn.mates[0]} claims"
            )
        if self._schedule.tree(kind, source).parents.get(self.device) != sender:
            raise ForeignError(f"a {kind} of device {source} arrived via device {sender}, which is not on its route")
        digest = sha256(data).digest()
        if (kind, source) in self._seen:
            if self._seen[kind, source] != digest:
                raise MalformedError(f"device {source} sent two {kind}s that differ")
            return []
        mask = self._read(coded)
        self._check(kind, source, mask)
        self._seen[kind, source] = digest
        if kind == "claim":
            self._claim(turn.group, mask)
        elif turn is self._turn:
            self._proposals[source] = mask
        return self._send(message)

    def _take_turn(self) -> list[Envelope]:
        """Propose and claim if it is time to and everything needed has arrived."""
        turn, found = self._turn, []
        before = [key for key in self._schedule.turns if key < turn.group]
        if self.device not in self._proposals and self._hop >= turn.proposals and self._claims.keys() >= set(before):
            mask = self._read(code_mask(self._best(), self._sizes))
            self._proposals[self.device] = mask
            found += self._send(claim_message("proposal", self.device, mask.data))
        if self.mask is None and self._hop >= turn.claim and len(self._proposals) == len(turn.mates):
            mask = self._vote()
            self._claim(turn.group, mask)
            if self.device == turn.mates[0]:
                found += self._send(claim_message("claim", self.device, mask.data, turn.group))
        return found

    def _best(self) -> Mask:
        taken = np.unpackbits(self._claimed, count=sum(self._sizes)).astype(bool)
        return propose(self._scores, self._counts, np.split(taken, np.cumsum(self._sizes)[:-1]))

    def _vote(self) -> CodedMask:
        ordered = [(mate, self._proposals[mate]) for mate in self._turn.mates]

        def count() -> bytes:
            return code_mask(vote([(mate, one.mask) for mate, one in ordered], self._sizes), self._sizes)

        return self._read(self._cache.once(("vote", *((mate, one.data) for mate, one in ordered)), count))

    def _claim(self, group: str, mask: CodedMask) -> None:
        self._claims[group], self._claimed = mask, self._claimed | mask.bits

    def _check(self, kind: Kind, source: int, mask: CodedMask) -> None:
        """Check a received mask against the known groups and claims."""
        if any(len(positions) > cap for positions, cap in zip(mask.mask, self._caps, strict=True)):
            raise MalformedError(f"a {kind} of device {source} has more than 1/{self._groups} of a layer")
        known = self._claims.get(self._schedule.groups[source])
        if known is None and (self._claimed & mask.bits).any():
            raise MalformedError(f"a {kind} of device {source} has positions that another group has claimed")
        if known is not None and kind == "claim" and (known.bits != mask.bits).any():
            raise MalformedError(f"device {source} sent a claim that does not match its group's proposals")

    def _read(self, coded: bytes) -> CodedMask:
        """Decode a mask; equal masks are decoded once."""
        return self._cache.once(("mask", coded), lambda: CodedMask.read(coded, self._sizes))

    def _send(self, message: Message) -> list[Envelope]:
        """Return ``message`` addressed to everyone this device sends it to, with itself as the sender."""
        ends = self._schedule.tree(kind_of(message), message.source).children.get(self.device, ())
        if not ends:
            return []
        mine = replace(message, sender=self.device, round=0)
        data = encode(mine)
        split = byte_split(mine, data)
        return [Envelope(self.device, end, message.source, 0, data, split) for end in ends]
