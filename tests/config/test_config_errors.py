"""One sentence for a mistake: the key, its value, what it may be, and who gave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from config_texts import TASK, read, refusal
from meshtune.config.config_errors import sentence, setting_shown


def test_a_mistake_is_laid_on_the_override_that_made_it_and_on_no_other(file: Path) -> None:
    both = f"{TASK}train: {{rounds: 0}}"
    assert refusal(file, both, "train.steps=3").startswith("FILE: train.rounds=0: ")
    assert refusal(file, both, "train.rounds=-1").startswith("--set train.rounds=-1: ")
    assert refusal(file, TASK, "train.rounds=-1", "train.rounds=0", "seed=1").startswith("--set train.rounds=0: ")
    assert refusal(file, f"{TASK}faults: {{late: 1}}", "seed=1").startswith("FILE: faults need a radio")
    late = refusal(file, TASK, "seed=1", "faults.late=1", "faults.slowdown=2")
    assert late.startswith("FILE with --set faults.late=1 --set faults.slowdown=2: faults need a radio")
    assert read(file, both, "train.rounds=1").train.rounds == 1


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    depth: int = 1
    width: float | None = None


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Outer:
        if self.inner is not None and self.inner.width is not None and self.name == "thin":
            raise ValueError("Name and inner.width do not go together")
        return self


def told(tree: dict[Any, Any], *overrides: str) -> str:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(tree)
    return sentence(Outer, caught.value, "here", overrides)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "here: the key name is missing"),
        ({"nam": "a"}, "here: there is no key nam: did you mean name?"),  # and not that name is missing
        ({"name": "a", "zz": 1}, "here: there is no key zz: known keys: name, inner, many"),
        ({"name": "a", "inner": {"dept": 1}}, "here: there is no key inner.dept: did you mean inner.depth?"),
        ({"name": "a", "many": [{}, {"zz": 1}]}, "here: there is no key many.1.zz: known keys: depth, width"),
        ({"name": "a", "inner": {"depth": "x"}}, "here: inner.depth=x: input should be a valid integer"),
        ({"name": "a", "inner": {"depth": [1]}}, "here: inner.depth: input should be a valid integer"),
        ({"name": 10**400}, "here: name=a number of hundreds of digits: input should be a valid string"),
        ({"name": "a", "inner": {"depth": "\x1b[2J"}}, "here: inner.depth=\\x1b[2J: input should be a valid integer"),
        ({"name": "a", "inner": {"depth": "x" * 99}}, f"here: inner.depth={'x' * 59}…: input should be a valid"),
        ({"name": "a", "k" * 99: 1}, f"here: there is no key {'k' * 59}…: known keys: name, inner, many"),
        ({"name": "thin", "inner": {"width": 1}}, "here: name and inner.width do not go together"),
    ],
)
def test_the_first_mistake_is_one_sentence(tree: dict[Any, Any], said: str) -> None:
    assert told(tree).startswith(said)


@pytest.mark.parametrize(
    ("tree", "overrides", "said"),
    [
        ({"inner": {"depth": "x"}}, ["inner.depth=x"], "the setting `inner.depth=x`: input should be"),
        ({"inner": {"depth": "x"}}, ["inner={depth: x}"], "the setting `inner={depth: x}`: inner.depth=x: input"),
        ({"inner": {"depth": "x"}}, ["inner.width=1"], "here: inner.depth=x: input should be"),
        ({"inner": {"depth": "x"}}, ["inner.depth=x", "inner.depth=y"], "the setting `inner.depth=y`: input should"),
        ({"inner": {"dept": 1}}, ["inner.dept=1"], "the setting `inner.dept=1`: there is no key inner.dept: did you"),
        ({"name": "thin", "inner": {"width": 1}}, ["many=[]"], "here: name and inner.width do not go together"),
        (
            {"name": "thin", "inner": {"width": 1}},
            ["inner.width=1", "many=[]"],
            "here with the setting `inner.width=1`: name and inner.width do not go together",
        ),
    ],
)
def test_an_override_is_named_where_it_made_the_mistake(tree: Any, overrides: list[str], said: str) -> None:
    assert told({"name": "a", **tree}, *overrides).startswith(said)


def test_a_setting_is_shown_on_one_line_of_a_hundred_characters() -> None:
    assert setting_shown("a=`b`\n") == "the setting `a='b'\\n`"
    assert setting_shown("a=" + "b" * 200) == f"the setting `a={'b' * 97}…`"
