"""Which task group owns which block of the projection's rows (method section 2).

Groups that are known take blocks in the order of their keys. A late joiner takes the lowest free block; of two claims
to one block the lower device id wins and the other draws again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshtune.errors import UserError


def capacity(widths: Iterable[int], rank: int) -> int:
    """Return floor(min k / r): how many groups fit, given every adapted layer's inputs k."""
    return min(widths) // rank


def assign_blocks(groups: Iterable[str], room: int | None = None) -> dict[str, int]:
    """Return the block of every group: 0, 1, ... in the order of the sorted keys.

    Raises:
        UserError: there are more groups than ``room``.
    """
    names = sorted(set(groups))
    if room is not None and len(names) > room:
        raise UserError(
            f"{len(names)} task groups do not fit into {room} blocks: "
            "lower adapter.rank or set adapter.projection=gaussian"
        )
    return {name: block for block, name in enumerate(names)}


def claim(taken: Iterable[int], room: int | None = None) -> int:
    """Return the lowest free block for a late joiner.

    Raises:
        UserError: all ``room`` blocks are taken.
    """
    used = set(taken)
    block = next(b for b in range(len(used) + 1) if b not in used)
    if room is not None and block >= room:
        raise UserError(f"all {room} blocks are taken: lower adapter.rank or set adapter.projection=gaussian")
    return block


def resolve(claims: Mapping[int, int]) -> dict[int, int]:
    """Settle claims (device id to block): return the winners; of two claims to a block the lower id wins."""
    winners: dict[int, int] = {}
    held: set[int] = set()
    for device in sorted(claims):
        if claims[device] not in held:
            held.add(claims[device])
            winners[device] = claims[device]
    return winners
