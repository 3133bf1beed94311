"""From a folder back to where the run was: the newest checkpoint that can be believed, and a state that has begun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from flying import LAYERS, world
from meshtune.errors import UserError
from meshtune.methods.registry import get_method
from meshtune.runs.manifest import DamagedError
from meshtune.runs.store import RunStore
from meshtune.simulator.checkpoint import pack_state
from meshtune.simulator.resume import Loaded, begin, newest, restore
from whole_runs import Watch

PAIRS = [(0.0, 0.0), (10.0, 0.0), (210.0, 0.0), (220.0, 0.0)]
TENSORS = {"x": torch.arange(3)}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """A run that has finished two rounds."""
    found = RunStore.create(tmp_path / "run", {"seed": 0})
    for number in (1, 2):
        found.save_round(number, TENSORS, {"round": number, "more": "x" * number})
    return found


def spoil(store: RunStore, number: int) -> None:
    (file,) = store.path.glob(f"round-*{number}.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_the_newest_checkpoint_is_taken(store: RunStore) -> None:
    found = newest(store, 4)
    assert found is not None
    assert (found.number, found.facts["more"]) == (2, "xx")
    assert torch.equal(found.tensors["x"], TENSORS["x"])
    assert newest(RunStore.create(store.path.parent / "new", {}), 4) is None


def test_instead_of_a_damaged_one_that_before_it_is_taken_and_told(store: RunStore) -> None:
    spoil(store, 2)
    with pytest.raises(DamagedError):
        newest(store, 4)
    watch = Watch()
    found = newest(store, 4, watch)
    assert found is not None
    assert found.number == 1
    assert len(watch.texts) == 1
    assert watch.texts[0].endswith(": resuming after round 1 instead")
    spoil(store, 1)
    assert newest(store, 4, watch) is None
    assert watch.texts[-1].endswith(": resuming after the preparation, at the first round instead")


def test_a_checkpoint_of_a_round_that_cannot_be_is_damaged(store: RunStore) -> None:
    with pytest.raises(DamagedError, match=r"is damaged \(the run has 1 rounds\)"):
        newest(store, 1)
    found = newest(store, 1, Watch())
    assert found is not None
    assert found.number == 1
    store.save_round(3, TENSORS, {"round": 2})
    with pytest.raises(DamagedError, match=r"is damaged \(it says that it was made after round 2\)"):
        newest(store, 4)


def test_a_run_begins_with_those_who_know_their_part_of_the_graph() -> None:
    w = world("bank", PAIRS)
    own = [member.own for member in w.state.members["bank"]]
    apart = {0: (1,), 1: (0,), 2: (), 3: ()}
    state = begin([w.method, get_method("local")], apart, own, LAYERS, w.factory)
    assert list(state.nodes) == ["bank", "local"]
    assert [sorted(member.known) for member in state.members["bank"]] == [[0, 1], [0, 1], [2], [3]]
    assert [sorted(member.known) for member in state.members["local"]] == [[0], [1], [2], [3]]
    assert [node.links for node in state.nodes["local"]] == [(1,), (0,), (), ()]
    assert sum(state.ledger.total("bank").values()) > 0
    assert sum(state.ledger.total("local").values()) == 0
    assert (state.clocks, state.round) == ({}, 0)
    assert all(member.expert.count == 32 for member in state.members["bank"])
    flown = w.state
    assert [len(clock) for clock in flown.clocks.values()] == [1]
    assert flown.clocks["bank"][0].seconds > 0
    assert flown.members["bank"][2].clusters == w.network.formed.clusters.index


def test_a_state_is_restored_as_it_was_or_is_called_damaged(store: RunStore) -> None:
    w = world("bank", PAIRS)
    w.play()
    tensors, facts = pack_state(w.state)
    kept: Any = json.loads(json.dumps(facts))

    def again(loaded: Loaded | None) -> Any:
        fresh = world("bank", PAIRS)
        return restore(fresh.state, loaded, store, [fresh.method], fresh.factory, fresh.network)

    state, past = again(Loaded(1, tensors, kept))
    assert past == []
    assert pack_state(state)[1] == facts
    fresh, past = again(None)
    assert (fresh.round, past) == (0, [])
    with pytest.raises(DamagedError, match=r"is damaged \(.*bank has not 4 devices"):
        again(Loaded(1, tensors, {**kept, "nodes": {}}))
    assert issubclass(DamagedError, UserError)
