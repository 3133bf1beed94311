"""A device claims a block of projection rows for its task group when no configuration lists all groups.

It listens first. It then takes the block its group already has, or claims the lowest free one and tells its neighbours.
Each device forwards to its neighbours the claims that are new to it. Claims are never withdrawn. The assignment of
blocks to groups is a function of the set of claims (:func:`meshtune.adapter.blocks.resolve`), so devices that have
received the same claims agree. A group that loses its block to a lower device id claims again. The projections, and so
the calibration, depend on the block: claim before calibrating.
"""

from __future__ import annotations

from collections.abc import Collection

from meshtune.adapter.blocks import Claim, lowest_free, resolve
from meshtune.errors import ForeignError, MalformedError
from meshtune.node.envelope import Envelope
from meshtune.wire.payload import Message, byte_split, decode, encode
from meshtune.wire.plain_values import fact, text, whole
from meshtune.wire.validation import Receiver, check_envelope, check_tensors

MOST_CLAIMS = 10_000
"""Maximum number of claims accepted in one message; a federation makes a few per task group."""


class BlockClaims:
    """The assignment of blocks to task groups, as one device knows it.

    Args:
        device: its id.
        group: its task group.
        room: the number of blocks (:func:`meshtune.adapter.blocks.capacity`); None for no bound.

    Attributes:
        claims: all claims received or made.
    """

    def __init__(self, device: int, group: str, room: int | None = None) -> None:
        self.device, self.group, self.room = device, group, room
        self.claims: set[Claim] = set()
        self._links: tuple[int, ...] = ()
        self._told: dict[int, set[Claim]] = {}

    @property
    def blocks(self) -> dict[str, int]:
        """The block of every group that has one."""
        return resolve(self.claims)

    @property
    def block(self) -> int | None:
        """The block of its own group; None if it has none yet."""
        return self.blocks.get(self.group)

    def meet(self, links: Collection[int]) -> list[Envelope]:
        """Set the current neighbours to ``links``; return the claims to send them."""
        self._links = tuple(sorted(links))
        return self._news()

    def claim(self) -> list[Envelope]:
        """Claim a block if its group has none; return the claims to send to neighbours.

        Raises:
            UserError: all blocks are taken.
        """
        if self.block is None:
            owned = set(self.blocks.values())
            claimed = {one.block for one in self.claims}  # somebody else may win these
            taken = claimed if self.room is None or len(claimed) < self.room else owned
            self.claims.add(Claim(self.device, lowest_free(taken, self.room), self.group))
        return self._news()

    def receive(self, sender: int, data: bytes) -> list[Envelope]:
        """Add a neighbour's claims; return the claims to send to neighbours.

        Raises:
            PayloadError: the message is not one of claims, or holds an impossible one; nothing is changed.
            UserError: its group has lost its block, and all others are taken.
        """
        found = claims_of(decode(data), sender, self.device, self.room)
        had = self.block is not None
        self.claims |= found
        self._told.setdefault(sender, set()).update(found)
        return self.claim() if had and self.block is None else self._news()

    def _news(self) -> list[Envelope]:
        found = []
        for neighbour in self._links:
            told = self._told.setdefault(neighbour, set())
            new = sorted(self.claims - told)
            if new:
                told.update(new)
                message = Message("block", self.device, 0, self.device, {"claims": [_plain(one) for one in new]})
                data = encode(message)
                found.append(Envelope(self.device, neighbour, self.device, 0, data, byte_split(message, data)))
        return found


def claims_of(message: Message, sender: int, receiver: int, room: int | None) -> set[Claim]:
    """Return the claims in ``message``, which arrived over the link from ``sender``.

    Raises:
        PayloadError: the message has another kind or sender, or holds an impossible claim.
    """
    check_envelope(message, "block", Receiver(0, receiver))
    check_tensors(message, ())
    if message.sender != sender or message.source != sender:
        raise ForeignError(f"device {sender} sent a message that names device {message.sender} as its sender")
    listed = fact(message.meta, "claims")
    if not isinstance(listed, list) or len(listed) > MOST_CLAIMS:
        raise MalformedError(f"device {sender} did not send a valid list of claims")
    most = None if room is None else room - 1
    found = set()
    for one in listed:
        if not isinstance(one, list) or len(one) != 3:
            raise MalformedError(f"device {sender} sent an invalid claim")
        device = whole(one[0], "the device that claims a block", 0, None)
        found.add(
            Claim(device, whole(one[1], "a block that is claimed", 0, most), text(one[2], "the group of a claim"))
        )
    return found


def _plain(one: Claim) -> list[int | str]:
    return [one.device, one.block, one.group]
