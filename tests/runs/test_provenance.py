"""What a checkpoint was made with: a digest that differs is named with its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshtune.errors import UserError
from meshtune.runs.provenance import Stamp
from meshtune.runs.store import RunStore

WHOLE = {"config": "c", "base": "b", "data": "d", "asked": "a"}
HERE = RunStore(Path("here"))


def refusal(stamp: Stamp, stored: Any) -> str:
    with pytest.raises(UserError) as caught:
        stamp.check(stored, HERE, "round-0001.safetensors")
    return str(caught.value)


def test_what_is_stored_is_what_is_known_and_fits_itself() -> None:
    for stamp in (Stamp(**WHOLE), Stamp("c", "b"), Stamp("c", "b", asked="a")):
        facts = stamp.facts()
        assert facts == {key: value for key, value in vars(stamp).items() if value}
        stamp.check(facts, HERE, "prepare.safetensors")
    assert Stamp("c", "b").facts() == {"config": "c", "base": "b"}


def test_data_that_are_not_at_hand_are_not_asked_for() -> None:
    Stamp("c", "b").check(WHOLE, HERE, "x")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("config", "round-0001.safetensors in here was made with another configuration than config.json holds: "
                   "restore config.json, or start a separate run in another folder"),
        ("base", "the base model is not the one that here was started with, its weights or its tokenizer differ: "
                 "restore model.name, or what it names"),
        ("data", "the training data are not those that here was started with: restore data, or MESHTUNE_DATA"),
        ("asked", "the questions of the exam are not those that here was started with: restore data, or MESHTUNE_DATA"),
    ],
)  # fmt: skip
def test_a_digest_that_differs_is_named_with_its_remedy(key: str, why: str) -> None:
    assert refusal(Stamp(**WHOLE), {**WHOLE, key: "other"}) == why
    less = {name: value for name, value in WHOLE.items() if name != key}
    if key == "asked":  # of another kind of exam, which was worked out again
        Stamp(**WHOLE).check(less, HERE, "x")
    else:
        assert refusal(Stamp(**WHOLE), less) == why


@pytest.mark.parametrize("stored", [None, [], "c", {}])
def test_what_is_no_stamp_fits_nothing(stored: Any) -> None:
    assert "another configuration" in refusal(Stamp("c", "b"), stored)
