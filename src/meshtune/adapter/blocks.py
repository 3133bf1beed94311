"""Which task group owns which block of the projection's rows (method section 2).

Groups listed in a configuration take blocks in the order of their keys. If nobody knows all groups, a device claims the
lowest free block for its own (:mod:`meshtune.node.block_claims`); of two claims to one block the lower device id wins
and the other claims again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshtune.errors import UserError


def capacity(widths: Iterable[int], rank: int) -> int:
    """Return floor(min k / r): how many groups fit, given every adapted layer's inputs k.

    Args:
        widths: the inputs k of the adapted layers.
        rank: r, the rows of a group's block.
    """
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


@dataclass(frozen=True, order=True)
class Claim:
    """A device's claim of a block for its task group. Claims are ordered by device id, then by block."""

    device: int
    block: int
    group: str


def resolve(claims: Iterable[Claim]) -> dict[str, int]:
    """Settle ``claims``: return the block of every group that has one.

    Claims are processed in order: a group gets the first block claimed for it that no group has yet, so of two claims
    to one block the lower device id wins. The result is a function of the set of claims: devices with the same claims,
    in whatever order they arrived, agree on the blocks.
    """
    blocks: dict[str, int] = {}
    owned: set[int] = set()
    for one in sorted(set(claims)):
        if one.group not in blocks and one.block not in owned:
            blocks[one.group] = one.block
            owned.add(one.block)
    return blocks


def lowest_free(taken: Iterable[int], room: int | None = None) -> int:
    """Return the lowest block that is not ``taken``.

    Raises:
        UserError: all ``room`` blocks are taken.
    """
    used = set(taken)
    block = next(b for b in range(len(used) + 1) if b not in used)
    if room is not None and block >= room:
        raise UserError(f"all {room} blocks are taken: lower adapter.rank or set adapter.projection=gaussian")
    return block
