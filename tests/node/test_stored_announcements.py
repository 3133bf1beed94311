"""Announcements in a run's folder: read back bit for bit, and what cannot be is called damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from letters import LAYERS, RANK, announced
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import MeshtuneError, UserError
from meshtune.methods.state import Announcement
from meshtune.node.announcements import recipes
from meshtune.node.stored_announcements import PREPARED, load_announcements, save_announcements
from meshtune.runs.manifest import DamagedError
from meshtune.runs.store import RunStore

FACTS: dict[str, Any] = {"seconds": {"prepare": 1.5}, "made": {"base": "x"}}


def config(**changes: Any) -> RunConfig:
    tasks = [{"task": "boolq", "key": key} for key in "abc"]
    tree = {"tasks": tasks, "devices": {"count": 4}, "adapter": {"rank": RANK}, "seed": 9, **changes}
    return validate(tree, "the test")


def made() -> list[Announcement]:
    """Devices of three groups; device 1 has scores, one more mask and an empty one; device 3 has nothing."""
    groups = [task.key for task in config().device_tasks]
    own = recipes(config(), LAYERS)
    found = [replace(announced(d), group=groups[d], recipe=own[groups[d]]) for d in range(4)]
    other = tuple(np.array([0, 5]) for _ in LAYERS)
    found[1] = replace(found[1], scores=np.linspace(0, 1, 7, dtype="f4"), others={"lori": other, "lori_uniform": ()})
    found[3] = Announcement(3, groups[3], 40, own[groups[3]])
    return found


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", config().model_dump(mode="json"))


def test_what_was_found_out_is_read_again_bit_for_bit(store: RunStore) -> None:
    save_announcements(store, config(), LAYERS, made(), FACTS)
    found, facts = load_announcements(RunStore.open(store.path), config(), LAYERS)
    assert (facts["seconds"], facts["made"]) == (FACTS["seconds"], FACTS["made"])
    for own, read in zip(made(), found, strict=True):
        assert (read.device, read.group, read.samples, read.recipe) == (own.device, own.group, own.samples, own.recipe)
        assert len(read.masks) == len(own.masks)
        assert all(np.array_equal(a, b) for a, b in zip(read.masks, own.masks, strict=True))
        for name, array in (("codes", own.codes), ("scores", own.scores)):
            again = getattr(read, name)
            assert (again is None) == (array is None)
            assert array is None or (again.dtype == array.dtype and np.array_equal(again, array))
        assert (read.statistics is None) == (own.statistics is None)
        if own.statistics is not None:
            assert read.statistics is not None
            assert read.statistics.count == own.statistics.count
            said, told = own.statistics.to_tensors(), read.statistics.to_tensors()
            assert said.keys() == told.keys()
            assert all(np.array_equal(said[name], told[name]) for name in said)
    assert list(found[1].others) == ["lori"]  # empty masks are not kept
    assert [positions.tolist() for positions in found[1].others["lori"]] == [[0, 5]] * len(LAYERS)


def test_masks_beside_a_common_part_are_over_fewer_columns(store: RunStore) -> None:
    """Both the calibrated masks, of d r positions, and those of d (r - c) are read again up to their last position."""
    columns = RANK - config().adapter.common_rows
    assert 0 < columns < RANK
    whole, part = (tuple(np.array([0, layer.outputs * n - 1]) for layer in LAYERS) for n in (RANK, columns))
    own = made()
    own[0] = replace(own[0], masks=whole, others={"own": part})
    save_announcements(store, config(), LAYERS, own, FACTS)
    found = load_announcements(store, config(), LAYERS)[0][0]
    for kept, read in ((whole, found.masks), (part, found.others["own"])):
        assert [positions.tolist() for positions in read] == [positions.tolist() for positions in kept]
    with pytest.raises(IndexError):
        save_announcements(store, config(), LAYERS, [replace(own[0], others={"own": whole}), *own[1:]], FACTS)


def test_the_digest_is_that_of_what_is_stored(store: RunStore) -> None:
    digests = []
    for change in (0, 0, 1):
        own = made()
        own[1] = replace(own[1], scores=np.full(7, change, dtype="f4"))
        save_announcements(store, config(), LAYERS, own, FACTS)
        digests.append(load_announcements(store, config(), LAYERS)[1]["digest"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("samples", [10, 20, 30, -1]),
        ("samples", [10, 20, 30, True]),
        ("samples", [10, 20, 30]),
        ("samples", 5),
        ("counts", [1, 2, 3, 1.5]),
        ("counts", None),
        ("seconds", {"prepare": -1}),
        ("seconds", {"prepare": "long"}),
        ("seconds", [1]),
    ],
)
def test_facts_that_cannot_be_are_damage(store: RunStore, key: str, value: Any) -> None:
    save_announcements(store, config(), LAYERS, made(), FACTS)
    tensors, facts = store.load(PREPARED)
    store.save(PREPARED, tensors, {**facts, key: value})
    with pytest.raises(DamagedError, match=r"prepare\.safetensors is damaged \(.*recomputes it"):
        load_announcements(store, config(), LAYERS)


def test_what_is_missing_or_of_another_rank_is_told(store: RunStore) -> None:
    with pytest.raises(UserError):
        load_announcements(store, config(), LAYERS)
    save_announcements(store, config(), LAYERS, made(), FACTS)
    with pytest.raises(MeshtuneError):
        load_announcements(store, config(adapter={"rank": 2 * RANK}), LAYERS)
    tensors, facts = store.load(PREPARED)
    store.save(PREPARED, {**tensors, "0.mean": torch.zeros(2, 2)}, facts)
    with pytest.raises(MeshtuneError):
        load_announcements(store, config(), LAYERS)
