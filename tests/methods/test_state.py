"""What a device knows and holds: hashes of what is sent, and who counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from federations import LAYERS, announcement
from meshtune.adapter.expert import LoraExpert
from meshtune.adapter.projection import Recipe
from meshtune.methods.state import Announcement, Member, Update

OTHER = announcement(1)
SENT: dict[str, Callable[[Announcement], Announcement]] = {
    "device": lambda own: replace(own, device=9),
    "group": lambda own: replace(own, group="z"),
    "samples": lambda own: replace(own, samples=11),
    "recipe": lambda own: replace(own, recipe=Recipe(4, "orthogonal", 0, own.recipe.rank)),
    "masks": lambda own: replace(own, masks=(own.masks[0], OTHER.masks[1])),
    "masks of other layers": lambda own: replace(own, masks=own.masks[::-1]),
    "voted": lambda own: replace(own, voted=True),
    "statistics": lambda own: replace(own, statistics=OTHER.statistics),
    "no statistics": lambda own: replace(own, statistics=None),
    "count": lambda own: replace(own, statistics=replace(own.statistics, count=21)),  # type: ignore[type-var]
    "codes": lambda own: replace(own, codes=OTHER.codes),
    "no codes": lambda own: replace(own, codes=None),
}


def test_announcements_that_say_the_same_have_one_digest() -> None:
    assert announcement(0).digest == announcement(0).digest
    found = {name: change(announcement(0)).digest for name, change in SENT.items()}
    assert len({announcement(0).digest, *found.values()}) == len(SENT) + 1, found


def test_what_is_never_sent_is_not_in_the_digest() -> None:
    own = announcement(0)
    assert replace(own, others={}, scores=np.zeros(40)).digest == own.digest


def test_a_masks_digest_tells_positions_and_layers() -> None:
    def digest(*masks: list[int]) -> str:
        return replace(announcement(0), masks=tuple(np.array(mask, dtype=np.int64) for mask in masks)).mask_digest

    assert digest([1, 2], [3]) == digest([1, 2], [3])
    assert len({digest([1, 2], [3]), digest([1], [2, 3]), digest([1, 2, 3], []), digest([1, 2], [4]), digest()}) == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_updates_of_equal_values_are_equal_whoever_published_them(dtype: torch.dtype) -> None:
    values = torch.arange(6).to(dtype)
    strided = torch.stack([values, values + 1], dim=1)[:, 0]
    assert not strided.is_contiguous()
    assert Update(0, 1, values).digest == Update(3, 9, strided).digest
    assert Update(0, 1, values).digest != Update(0, 1, values + 1).digest
    assert Update(0, 1, values).digest != Update(0, 1, values[:5]).digest


def test_types_of_equal_bytes_are_told_apart() -> None:
    zeros = torch.zeros(4, dtype=torch.float32)
    assert Update(0, 1, zeros).digest != Update(0, 1, zeros.to(torch.int32)).digest


def member(timely: bool = False) -> Member:
    own = announcement(2)
    known = {device: announcement(device) for device in (3, 2, 0, 1)}
    held = {device: Update(device, version, torch.zeros(1)) for device, version in ((2, 5), (0, 4), (3, 5))}
    return Member(2, own, LoraExpert(LAYERS, 2, 1.0), known=known, held=held, timely=timely)


def test_groups_and_who_is_held_of_them_are_in_order() -> None:
    assert list(member().groups().items()) == [("a", [0, 2]), ("b", [1]), ("c", [3])]
    assert [member().holders(group) for group in ("a", "b", "c", "nobody")] == [[0, 2], [], [3], []]


def test_an_update_counts_however_old_unless_rounds_end_on_time() -> None:
    assert member().counted([0, 2, 3]) == [0, 2, 3]
    assert member(timely=True).counted([0, 2, 3]) == [2, 3]
    assert member(timely=True).counted([0]) == []


def test_what_follows_from_the_rest_does_not_tell_members_apart() -> None:
    def bare(**more: Any) -> Member:
        return Member(0, OTHER, EXPERT, **more)

    assert bare() == bare(starts={1: EXPERT})
    assert bare() != bare(history=("x",))


EXPERT = LoraExpert(LAYERS, 2, 1.0)
