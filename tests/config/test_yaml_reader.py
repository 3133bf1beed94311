"""YAML that somebody else wrote: plain values, or one sentence at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.config.yaml_reader import DEPTH, VALUES, parse_yaml, read_yaml
from meshtune.errors import UserError
from meshtune.printable import printable

SECOND = 3.0  # on a machine that does other things too

NINE = "[" + ",".join(["*{0}"] * 9) + "]"

MERGES = "\n".join(
    ["x: &a0 {q: 1}", *(f"y{i}: &a{i} {{<<: {NINE.format(f'a{i - 1}')}}}" for i in range(1, 10)), "tasks: [claims]"]
)

LAUGHS = "\n".join(["x: &a0 [lol]", *(f"y{i}: &a{i} {NINE.format(f'a{i - 1}')}" for i in range(1, 10))])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MERGES, f"there are more than {VALUES:,} values, aliases filled in"),
        (LAUGHS, f"there are more than {VALUES:,} values, aliases filled in"),
        ("a: &a [*a]", "*a stands inside of what it names"),
        ("&a {<<: *a}", "*a stands inside of what it names"),
        ("[" * 100_000, f"more than {DEPTH} lists and mappings inside one another"),
        ("- " * 50_000, f"more than {DEPTH} lists and mappings inside one another"),
        ("? " * 50_000, f"more than {DEPTH} lists and mappings inside one another"),
        ("{a: " * 20_000, f"more than {DEPTH} lists and mappings inside one another"),
        ("[" + "1," * (VALUES + 1) + "]", f"there are more than {VALUES:,} values"),
        ("seed: " + "9" * 5000, "99999999999999999999… has 5,000 characters: numbers have at most 60"),
        ("seed: 0x" + "f" * 9000, "has 9,002 characters: numbers have at most 60"),
        ("seed: " + "1:" * 5000 + "1", "has 10,001 characters: numbers have at most 60"),
        ("a: 2024-13-45", "month must be in 1..12"),
        ("a: !!bool 7", "a value does not fit its tag"),
        ('a: !!int ""', "a value does not fit its tag"),
        ("a: !!timestamp x", "a value does not fit its tag"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: \x07", "special characters are not allowed"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("a: {b: 1, c: 2, b: 3}", "the key b is given twice"),
        ("{[1]: 2}", "found unhashable key"),
    ],
    ids=lambda part: part[:20],
)
def test_yaml_that_asks_for_too_much_is_refused_at_once(text: str, words: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=r".") as caught:
        parse_yaml(text)
    assert time.process_time() - began < SECOND
    assert words in str(caught.value)
    assert printable(str(caught.value)) == str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(alphabet="ab:-[]{}&*<>!?'\"|# \n0159.~", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    refusal = ""
    try:
        parse_yaml(text)
    except ValueError as error:
        refusal = str(error)
    assert printable(refusal) == refusal


def test_merged_keys_are_not_taken_for_keys_given_twice() -> None:
    """The mapping that is merged stands deeper, so that it is filled in before it is built itself."""
    found = parse_yaml("a: &one {x: 1}\np: {deep: &two {<<: *one, x: 2}}\nc: {<<: *two}")
    assert found == {"a": {"x": 1}, "p": {"deep": {"x": 2}}, "c": {"x": 2}}


@pytest.mark.parametrize("count", [VALUES, VALUES + 1])
def test_every_value_counts_keys_lists_and_what_aliases_stand_for(count: int) -> None:
    """A list of 995 numbers is 996 values, and as many again behind an alias."""
    few = "[" + ",".join(["0"] * 995) + "]"
    left = count - 2 * 996 - 5  # the mapping, its three keys, and the list that follows
    text = f"a: &a {few}\nb: *a\nc: [" + ",".join(["1"] * left) + "]"
    if count > VALUES:
        with pytest.raises(ValueError, match="more than 10,000 values, aliases filled in"):
            parse_yaml(text)
    else:
        found = parse_yaml(text)
        assert (len(found["b"]), len(found["c"])) == (995, left)


@pytest.mark.parametrize("depth", [DEPTH - 1, DEPTH])
def test_lists_may_stand_thirty_deep_with_what_is_in_them(depth: int) -> None:
    text = "[" * depth + "1" + "]" * depth
    if depth == DEPTH:
        with pytest.raises(ValueError, match="more than 30 lists and mappings inside one another"):
            parse_yaml(text)
    else:
        assert str(parse_yaml(text)) == text


def test_a_number_may_have_sixty_characters() -> None:
    assert parse_yaml("a: " + "9" * 60) == {"a": 10**60 - 1}
    assert parse_yaml("a: 1." + "0" * 58) == {"a": 1.0}
    with pytest.raises(ValueError, match="has 61 characters: numbers have at most 60"):
        parse_yaml("a: " + "9" * 61)


LEAVES = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=8)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(TREES)
@settings(max_examples=60, deadline=None)
def test_what_pyyaml_writes_is_read_as_it_was(tree: Any) -> None:
    text = yaml.safe_dump(tree, allow_unicode=False)
    assert parse_yaml(text) == tree


def test_a_mistake_names_its_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("tasks: [claims]\ntrain: {lr: 1,\n  lr: 2}\n")
    with pytest.raises(UserError) as caught:
        read_yaml(file, "configuration file")
    assert str(caught.value) == f"{file} is not valid YAML: the key lr is given twice (line 2, column 8)"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")  # as some editors begin a file
    assert read_yaml(file, "configuration file") == {"a": 1}
    file.write_text("")
    assert read_yaml(file, "configuration file") is None
    file.write_bytes(b"a: \xff\n")
    with pytest.raises(UserError, match="is not valid YAML: 'utf-8' codec can't decode"):
        read_yaml(file, "configuration file")
    with pytest.raises(UserError, match="there is no configuration file"):
        read_yaml(tmp_path / "none.yaml", "configuration file")
