"""What a run was made with: which edits are refused, and what stands in for a damaged file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.runs.checksums import sealed
from meshtune.runs.manifest import DamagedError, Manifest, bound, differences, flat, reason

CONFIG: dict[str, Any] = {
    "seed": 0,
    "data": "a",
    "model": {"name": "tiny", "device": "cpu", "dtype": "float32"},
    "tasks": [{"task": "boolq", "source": "a", "train": None, "test": None, "also": []}],
}
LEAF = st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 1) | st.text("ab", max_size=2) | st.just({})
KEY = st.text("abc", min_size=1, max_size=2)
TREES = st.recursive(LEAF, lambda inner: st.dictionaries(KEY, inner, min_size=1, max_size=3), max_leaves=8)


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    manifest = Manifest(tmp_path)
    manifest.write_config(CONFIG)
    manifest.write(CONFIG, {"events.jsonl": 2})
    return manifest


def rebuilt(leaves: dict[str, Any]) -> Any:
    """The tree with these leaves."""
    if set(leaves) == {""}:
        return leaves[""]
    tree: dict[str, Any] = {}
    for key, value in leaves.items():
        *way, last = key.split(".")
        node = tree
        for part in way:
            node = node.setdefault(part, {})
        node[last] = value
    return tree


@given(TREES)
def test_the_leaves_of_a_tree_are_the_tree(tree: Any) -> None:
    assert rebuilt(flat(tree)) == tree
    assert not any(isinstance(value, dict) and value for value in flat(tree).values())


@given(TREES, TREES)
def test_trees_differ_where_a_leaf_does(old: Any, new: Any) -> None:
    changed = differences(old, new)
    assert (changed == "") is (
        {key: (type(value), value) for key, value in flat(old).items() if value is not None}
        == {key: (type(value), value) for key, value in flat(new).items() if value is not None}
    )


def test_differences_are_told_key_by_key() -> None:
    old = {"seed": 0, "adapter": {"rank": 4, "on": 1}, "names": ["a"]}
    new = {"seed": 3, "adapter": {"rank": 4, "on": True}, "names": ["a", "b"], "extra": {"x": None, "y": "é"}}
    assert differences(old, new) == 'adapter.on: 1 -> true; extra.y: null -> "\\u00e9"; names: ["a"] -> ["a", "b"]; ' \
        "seed: 0 -> 3"  # fmt: skip
    assert differences(old, old) == ""


def test_of_many_differences_six_are_told_and_long_values_are_cut() -> None:
    told = differences({"a": 1}, {"a": 1, **{f"k{n}": n for n in range(9)}})
    assert told == "; ".join([*(f"k{n}: null -> {n}" for n in range(6)), "and 3 more"])
    assert differences({"a": 1}, {"a": 1, **{f"k{n}": n for n in range(6)}}).endswith("k5: null -> 5")
    assert differences({"a": 1}, {"a": "x" * 1000}) == f'a: 1 -> "{"x" * 78}…'


def test_where_things_are_may_change_and_what_they_are_may_not() -> None:
    moved = {
        "seed": 0,
        "data": "b",
        "model": {"name": "elsewhere", "device": "cuda", "dtype": "float32"},
        "tasks": [{"task": "boolq", "source": "b", "train": "t.jsonl", "test": "u.jsonl", "also": []}],
    }
    assert bound(moved) == bound(CONFIG)
    assert bound(CONFIG) == {
        "seed": 0, "model": {"dtype": "float32"}, "tasks": [{"task": "boolq", "also": []}],
    }  # fmt: skip
    for change in (
        {"seed": 1},
        {"model": {**CONFIG["model"], "dtype": "float64"}},
        {"tasks": [{**CONFIG["tasks"][0], "task": "piqa"}]},
        {"tasks": ["boolq"]},
        {"data": "b", "more": None},
    ):
        assert bound({**CONFIG, **change}) != bound(CONFIG)
    assert bound({"tasks": "boolq", "model": None}) == {"tasks": "boolq", "model": None}


def test_a_configuration_comes_back_and_moved_folders_are_taken_from_the_file(made: Manifest) -> None:
    assert made.config() == CONFIG
    moved = {**CONFIG, "data": "b"}
    (made.path / "config.json").write_text(json.dumps(moved, indent=7))
    assert made.config() == moved


def test_an_edit_is_refused_with_the_key(made: Manifest) -> None:
    for change, told in (({"seed": 1}, "seed: 0 -> 1"), ({"more": None}, "a key without a value is another")):
        (made.path / "config.json").write_text(json.dumps({**CONFIG, **change}))
        with pytest.raises(UserError) as caught:
            made.config()
        assert str(caught.value) == (
            f"{made.path / 'config.json'} was edited after the run was made ({told}): undo that, or start a separate "
            "run in another folder"
        )


def test_lines_are_counted_log_by_log(made: Manifest) -> None:
    assert (made.finished("events.jsonl"), made.finished("scores.jsonl")) == (2, 0)
    made.count("scores.jsonl", 5)
    made.count("events.jsonl", 3)
    again = Manifest(made.path)
    assert (again.finished("events.jsonl"), again.finished("scores.jsonl")) == (3, 5)
    assert again.config() == CONFIG


def test_a_folder_of_an_earlier_version_has_no_manifest(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.write_config(CONFIG)
    assert manifest.missing
    assert manifest.read() is None
    assert manifest.finished("events.jsonl") is None
    assert manifest.config() == CONFIG


def test_the_copy_stands_in_for_a_damaged_file_and_the_file_for_a_damaged_copy(made: Manifest) -> None:
    whole = (made.path / "config.json").read_bytes()
    (made.path / "config.json").write_bytes(whole[:-9])
    assert made.config() == CONFIG
    (made.path / "config.json").write_bytes(whole)
    (made.path / "manifest.json").write_bytes(b"[]")
    assert made.config() == CONFIG
    (made.path / "config.json").write_bytes(whole[:-9])
    with pytest.raises(DamagedError, match=r"config\.json is damaged"):
        made.config()


OURS: dict[str, Any] = {"format": "meshtune-run", "version": 2, "config": {}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[]", "it holds no mapping"),
        (b"{}", "its checksum does not fit its content"),
        (sealed({"format": "other"}), "it does not belong to a run"),
        (sealed(OURS), "it lacks config or lines"),
        (sealed({**OURS, "lines": {"a": -1}}), "a count of lines is invalid"),
        (sealed({**OURS, "lines": {"a": True}}), "a count of lines is invalid"),
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_named_with_the_reason(made: Manifest, content: Any, why: str) -> None:
    file = made.path / "manifest.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(DamagedError) as caught:
        made.read()
    assert str(caught.value).startswith(f"{file} is damaged ({why}")
    assert "meshtune run --out" in str(caught.value)
    assert reason(caught.value).startswith(f"{file} is damaged ({why}")
    assert reason(caught.value).endswith(")")
    assert "mends it" not in reason(caught.value)


def test_a_manifest_of_another_version_is_not_damaged(made: Manifest) -> None:
    content = sealed({"format": "meshtune-run", "version": 3, "config": {}, "lines": {}})
    (made.path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"has version 3 of the format, this meshtune reads 2: use the") as caught:
        made.config()
    assert not isinstance(caught.value, DamagedError)
