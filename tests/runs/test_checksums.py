"""Checksums and strict JSON: equal values have equal sums, and any flipped bit is noticed."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from meshtune.runs.checksums import (
    checksum,
    dumped,
    fault_of,
    file_of,
    has_check,
    line_of,
    parse,
    plain,
    record_of,
    sealed,
    unsealed,
)

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.dictionaries(ANY_TEXT.filter(lambda key: key not in ("line", "check")), JSON, max_size=4)


def shuffled(value: Any) -> Any:
    """The same JSON value with its keys in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(one) for one in value] if isinstance(value, list) else value


@given(JSON)
def test_a_checksum_is_of_the_value_not_of_its_layout(value: Any) -> None:
    assert checksum(shuffled(value)) == checksum(value) == checksum(parse(dumped(value, indent=2)))
    assert len(checksum(value)) == 32
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert checksum(value) == xxhash.xxh3_128_hexdigest(text.encode())


@given(JSON, JSON)
def test_other_values_have_other_checksums(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (checksum(one) == checksum(other)) is same


def test_numbers_of_other_types_are_other_values() -> None:
    assert len({checksum(value) for value in (1, 1.0, True, "1", [1], None, "null")}) == 7


@given(st.dictionaries(ANY_TEXT.filter(lambda key: key != "checksum"), JSON, max_size=4), ANY_TEXT)
def test_what_was_sealed_comes_back_and_any_change_is_noticed(content: dict[str, Any], key: str) -> None:
    whole = sealed(content)
    assert unsealed(whole) == content
    for spoilt in ({**whole, key: "another"}, {**whole, "checksum": "0" * 32}, content):
        if spoilt != whole:
            with pytest.raises(ValueError, match=r"^its checksum does not fit its content$"):
                unsealed(spoilt)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NaN", "NaN is no number"),
        ("[Infinity]", "Infinity is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ("1e999", "1e999 is no finite number"),
        ("-1" + "0" * 400 + ".5", f"-1{'0' * 18} is no finite number"),
        ("7" * 101, f"{'7' * 20} and 81 more digits are no number of a run"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_json_is_read_strictly(text: str, why: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(ValueError) as caught:
            parse(form)
        assert str(caught.value) == why


def test_what_is_no_json_is_no_value() -> None:
    for text in (b"{", b"\xff", b"", b"'a'"):
        with pytest.raises(ValueError):
            parse(text)
    assert parse("7" * 100) == int("7" * 100)


def test_a_tree_that_is_too_deep_has_no_checksum() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="it is nested too deeply"):
        checksum(deep)


def test_plain_values_are_those_of_json() -> None:
    value = {1: (1, 2.5), "a": [math.inf, -math.inf, math.nan], None: np.float64(0.5), "b": (np.float64("nan"),)}
    assert plain(value) == {"1": [1, 2.5], "a": [None, None, None], "None": 0.5, "b": [None]}
    assert dumped(plain(value)) == b'{"1": [1, 2.5], "a": [null, null, null], "None": 0.5, "b": [null]}'


def test_text_is_utf8_and_half_a_surrogate_is_an_escape() -> None:
    assert dumped("größe") == '"größe"'.encode()
    assert dumped("\ud800é") == rb'"\ud800\u00e9"'
    with pytest.raises(ValueError):
        dumped(math.nan)


@given(RECORDS, st.integers(1, 10**6))
def test_a_line_comes_back_with_its_number(record: dict[str, Any], number: int) -> None:
    line = line_of(record, number)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert has_check(line)
    assert record_of(line[:-1]) == (number, record)
    assert json.loads(line)["line"] == number


@settings(max_examples=30)
@given(RECORDS, st.integers(1, 99))
def test_a_bit_flipped_anywhere_in_a_line_is_noticed(record: dict[str, Any], number: int) -> None:
    line = line_of(record, number)[:-1]
    for place in range(len(line)):
        spoilt = line[:place] + bytes([line[place] ^ 1 << place % 8]) + line[place + 1 :]
        assert record_of(spoilt) is None
        assert record_of(line[:place]) is None
    assert record_of(b"") is record_of(b"{}") is None


def test_a_line_whose_check_fits_and_is_no_record_is_none() -> None:
    for body in (b'{"line": "x"}', b'{"a": 1}', b'{"line": NaN}', b'{"line": [1]}'):
        digits = xxhash.xxh3_64_hexdigest(body).encode()
        line = body[:-1] + b', "check": "' + digits + b'"}'
        assert record_of(line) is None
    assert not has_check(b'{"event": "note", "text": "line: 3, check"}')


TENSORS = {"a": torch.arange(6).reshape(2, 3), "b": torch.tensor([1.5, float("nan")]), "empty": torch.zeros(0)}


def test_a_file_of_tensors_is_read_by_another_reader_and_any_flipped_bit_is_noticed() -> None:
    whole = b"".join(file_of(TENSORS, {"x": [1, math.inf], "text": "é"}))
    found = load(whole)
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(found[name], tensor, equal_nan=True)
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    assert json.loads(header["__metadata__"]["facts"]) == {"x": [1, None], "text": "é"}
    assert fault_of(memoryview(whole)) is None
    draw = random.Random(0)
    for place in [*range(0, len(whole), 7), *(draw.randrange(len(whole)) for _ in range(100))]:
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << draw.randrange(8)
        assert fault_of(memoryview(bytes(spoilt))) is not None, place
    assert fault_of(memoryview(whole[:-1])) == "its checksum does not fit its content"
    assert fault_of(memoryview(b"")) == fault_of(memoryview(whole[:20])) == "it has no checksum"
