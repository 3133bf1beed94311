"""Sizes that are reckoned, against messages that are really encoded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.wire.chosen_values import encode_chosen
from meshtune.wire.codec import encode_difference
from meshtune.wire.payload import DTYPES, Message, encode
from meshtune.wire.payload_sizes import SAMPLE, mask_bytes, message_bytes, update_bytes
from meshtune.wire.positions import encode_positions

TYPES = {
    "BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "U8": torch.uint8, "I8": torch.int8,
    "I32": torch.int32, "I64": torch.int64,
}  # fmt: skip
SHAPES = st.lists(st.integers(0, 40), max_size=3).map(tuple)
TENSORS = st.dictionaries(st.text(max_size=6), st.tuples(st.sampled_from(sorted(DTYPES)), SHAPES), max_size=5)


def really_encoded(count: int, form: str, block: int, draw: np.random.Generator) -> int:
    """The bytes of an update of ``count`` normal values, as the exchange makes it."""
    values = torch.from_numpy(draw.standard_normal(count)).float() * 0.003
    meta = {}
    if form.startswith("int"):
        coded = encode_difference(values, torch.zeros(count, dtype=torch.bfloat16), form, block)
        values, meta = torch.frombuffer(bytearray(coded), dtype=torch.uint8), {"since": 4}
    else:
        values = values.to(getattr(torch, form))
    return len(encode(Message("update", 0, 5, 0, meta, {"values": values})))


@given(TENSORS, st.integers(0, 10**9), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_any_message_has_the_bytes_that_were_reckoned(
    tensors: dict[str, tuple[str, tuple[int, ...]]], sender: int, meta: dict[str, str]
) -> None:
    real = {name: torch.zeros(shape, dtype=TYPES[dtype]) for name, (dtype, shape) in tensors.items()}
    message = Message("announce", sender, 3, 7, meta, real)
    assert message_bytes(message, tensors) == len(encode(message))


@pytest.mark.parametrize("form", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [0, 1, 9_999, 250_000])
def test_plain_updates_are_exact(form: str, count: int) -> None:
    assert update_bytes(count, form, round_=5) == really_encoded(count, form, 128, np.random.default_rng(0))


@pytest.mark.parametrize("form", ["int8", "int4", "int2"])
@pytest.mark.parametrize("block", [64, 128, 1024])
@pytest.mark.parametrize("count", [5, 13_107, 100_000, 3 * SAMPLE + 17])
def test_coded_updates_are_expected_within_two_percent(form: str, block: int, count: int) -> None:
    real = really_encoded(count, form, block, np.random.default_rng(1))
    assert update_bytes(count, form, block, round_=5) == pytest.approx(real, rel=0.02, abs=8)


@pytest.mark.parametrize("form", ["float32", "bfloat16", "int8", "int4", "int2"])
@pytest.mark.parametrize("density", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(("among", "own"), [(11_000, 700), (150_000, 9_000), (2 * SAMPLE + 17, 100_000)])
def test_updates_of_chosen_values_are_expected_within_two_percent(
    form: str, density: float, among: int, own: int
) -> None:
    """A share of a common part's values, and all of the own part's, which come after them."""
    draw, count = np.random.default_rng(4), round(density * among)
    some = np.sort(draw.choice(among, count, replace=False))
    chosen = torch.from_numpy(np.concatenate([some, np.arange(among, among + own)]))
    values = torch.from_numpy(draw.standard_normal(among + own)).float() * 0.003
    coded = encode_chosen(values, torch.zeros(among + own).bfloat16(), chosen, form, 128)
    tensor = torch.frombuffer(bytearray(coded), dtype=torch.uint8)
    real = len(encode(Message("update", 0, 5, 0, {"since": 4}, {"values": tensor})))
    assert update_bytes(count + own, form, 128, 5, (count, among)) == pytest.approx(real, rel=0.02, abs=30)


def test_an_int4_value_takes_the_bits_of_a_quantised_normal() -> None:
    """Entropy of a normal cut into steps of D is log2(sigma / D) + 2.05 bits; Huffman is within a tenth of a bit."""
    draw = np.random.default_rng(2).standard_normal((4000, 128))
    step = float(np.abs(draw).max(axis=1).mean()) / 7
    bits = math.log2(1 / step) + 0.5 * math.log2(2 * math.pi * math.e)
    found = 8 * update_bytes(10**7, "int4", 128) / 10**7
    assert bits < found < bits + 0.15


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("positions", [0, 700, 200_000, 2 * SAMPLE + 3])
def test_masks_are_expected_within_two_percent(positions: int, density: float) -> None:
    used = np.sort(np.random.default_rng(3).choice(positions, round(density * positions), replace=False))
    real = len(encode_positions(used, positions))
    assert mask_bytes(positions, density) == pytest.approx(real, rel=0.02, abs=30)


def test_a_sparse_mask_costs_its_entropy_and_little_more() -> None:
    entropy = -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9)) / 8
    assert 1 < mask_bytes(10**8, 0.1) / (10**8 * entropy) < 1.05


def test_more_values_than_a_machine_holds_are_only_counted() -> None:
    assert update_bytes(7_615_616_512, "bfloat16") == pytest.approx(2 * 7_615_616_512, abs=200)


def test_an_unknown_form_names_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r"exchange\.values=int3 is not known: choose from bfloat16, float32, int2, int4, int8"
    ):
        update_bytes(10, "int3")
