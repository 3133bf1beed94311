"""A folder that is opened again: what fits is used, what is damaged is worked out anew, and nothing is mixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from letters import LAYERS, RANK, announced
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.methods.state import Announcement
from meshtune.node.announcements import recipes
from meshtune.node.stored_announcements import PREPARED
from meshtune.runs.provenance import Stamp
from meshtune.runs.store import RunStore
from meshtune.simulator.reopening import begun_with, prepared, reopened
from meshtune.simulator.resume import Loaded
from whole_runs import Watch

STAMP = Stamp("c", "b", "d")
PLAN = {"micro_tokens": 512, "checkpoint": True}


def config() -> RunConfig:
    tasks = [{"task": "boolq", "key": key} for key in "ab"]
    tree = {"tasks": tasks, "devices": {"count": 2}, "adapter": {"rank": RANK}, "train": PLAN}
    return validate(tree, "the test")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", config().model_dump(mode="json"))


class Work:
    """Works announcements out, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> tuple[list[Announcement], dict[str, Any]]:
        self.times += 1
        own = recipes(config(), LAYERS)
        return [replace(announced(d), group="ab"[d], recipe=own["ab"[d]]) for d in range(2)], {"rates": {"lora": 1}}


def spoil(store: RunStore, name: str) -> None:
    file = store.path / f"{name}.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_what_was_worked_out_is_kept_and_used_again(store: RunStore) -> None:
    work, watch = Work(), Watch()
    own, facts = prepared(store, config(), LAYERS, STAMP, work, None, watch)
    assert [one.device for one in own] == [0, 1]
    assert facts["made"] == {"config": "c", "base": "b", "data": "d", "plan": PLAN}
    assert facts["rates"] == {"lora": 1}
    assert facts["seconds"]["prepare"] >= 0
    again, same = prepared(store, config(), LAYERS, STAMP, work, None, watch)
    assert same == facts
    assert [one.mask_digest for one in again] == [one.mask_digest for one in own]
    assert (work.times, watch.texts) == (1, [])


def test_what_is_damaged_is_told_and_worked_out_again(store: RunStore) -> None:
    work, watch = Work(), Watch()
    _, facts = prepared(store, config(), LAYERS, STAMP, work, None, watch)
    spoil(store, PREPARED)
    _, again = prepared(store, config(), LAYERS, STAMP, work, None, watch)
    assert again["digest"] == facts["digest"]
    assert work.times == 2
    assert len(watch.texts) == 1
    assert watch.texts[0].endswith(": the preparation is recomputed")
    tensors, kept = store.load(PREPARED)
    for wrong in ({**kept, "digest": 5}, {**kept, "samples": []}):
        store.save(PREPARED, tensors, wrong)
        prepared(store, config(), LAYERS, STAMP, work, None, watch)
    assert work.times == 4


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        (Stamp("x", "b", "d"), "prepare in .* was made with another configuration than config.json holds"),
        (Stamp("c", "x", "d"), "the base model is not the one that .* was started with"),
        (Stamp("c", "b", "x"), "the training data are not those that .* was started with"),
    ],
)
def test_what_was_made_with_something_else_is_refused(store: RunStore, stamp: Stamp, said: str) -> None:
    work = Work()
    prepared(store, config(), LAYERS, STAMP, work, None, Watch())
    with pytest.raises(UserError, match=said):
        prepared(store, config(), LAYERS, stamp, work, None, Watch())
    assert work.times == 1
    prepared(store, config(), LAYERS, Stamp("c", "b"), work, None, Watch())  # the data need not be at hand


def test_a_checkpoint_goes_on_from_its_own_preparation_only(store: RunStore) -> None:
    _, facts = prepared(store, config(), LAYERS, STAMP, Work(), None, Watch())

    def go_on(made: Any) -> Any:
        last = Loaded(3, {}, {"made": made})
        return prepared(store, config(), LAYERS, STAMP, Work(), last, Watch())[1]

    assert go_on({**STAMP.facts(), "prepared": facts["digest"]}) == facts
    with pytest.raises(UserError, match=r"was trained from another preparation than prepare holds, .* another folder"):
        go_on({**STAMP.facts(), "prepared": "other"})
    with pytest.raises(UserError, match=r"was trained from another preparation"):
        go_on(STAMP.facts())
    for wrong in (None, {**STAMP.facts(), "base": "other", "prepared": facts["digest"]}):
        with pytest.raises(UserError):
            go_on(wrong)


def test_a_run_goes_on_with_the_micro_batches_that_it_was_begun_with(store: RunStore) -> None:
    assert begun_with(store, None) is None
    prepared(store, config(), LAYERS, STAMP, Work(), None, Watch())
    assert begun_with(store, None) == PLAN
    spoil(store, PREPARED)
    assert begun_with(store, None) is None
    last = {"micro_tokens": 64, "checkpoint": False, "more": 1}
    assert begun_with(store, Loaded(1, {}, {"made": {"plan": last}})) == {"micro_tokens": 64, "checkpoint": False}
    for plan in (None, 5, {}, {**last, "micro_tokens": 0}, {**last, "micro_tokens": True}, {**last, "checkpoint": 1}):
        assert begun_with(store, Loaded(1, {}, {"made": {"plan": plan}})) is None
    assert begun_with(store, Loaded(1, {}, {"made": []})) is None


def test_repairs_are_told_and_another_runs_settings_refused(store: RunStore) -> None:
    (store.path / "config.json").write_bytes(b"{")
    watch = Watch()
    found = reopened(store.path, watch, config().model_dump(mode="json"))
    assert found.path == store.path
    (note,) = watch.texts
    assert "config.json is damaged" in note
    assert "it is written again from manifest.json" in note
    quiet = Watch()
    reopened(store.path, quiet)
    assert quiet.texts == []
    with pytest.raises(UserError, match="seed"):
        reopened(store.path, quiet, {**config().model_dump(mode="json"), "seed": 9})
    with pytest.raises(UserError):
        reopened(store.path.parent / "none", quiet)
