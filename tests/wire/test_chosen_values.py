"""Values at some positions, as bytes and back: the same bits there, the base's bits everywhere else."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from meshtune.errors import ForeignError, MalformedError, OversizedError, PayloadError
from meshtune.wire.chosen_values import apply_chosen, chosen_in, encode_chosen, largest
from meshtune.wire.codec import apply_difference, encode_difference
from meshtune.wire.positions import encode_positions
from tensors import bits

DIFFERENCES, PLAIN = ("int2", "int4", "int8"), ("bfloat16", "float32")
FORMS = (*DIFFERENCES, *PLAIN)
BLOCK = 16


def base_of(form: str) -> torch.dtype:
    return torch.float32 if form == "float32" else torch.bfloat16


def drawn(count: int, share: float, form: str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, a base and chosen positions: at least one unless there are none."""
    draw = np.random.default_rng(seed)
    base = torch.from_numpy(draw.standard_normal(count)).to(base_of(form))
    values = base.float() + torch.from_numpy(draw.laplace(size=count)).float() * 0.01
    return values, base, torch.from_numpy(np.flatnonzero(draw.random(count) < share))


@given(form=st.sampled_from(FORMS), count=st.integers(1, 600), share=st.floats(0, 1), seed=st.integers(0, 10**6))
def test_the_chosen_values_arrive_and_all_others_keep_their_bits(
    form: str, count: int, share: float, seed: int
) -> None:
    values, base, chosen = drawn(count, share, form, seed)
    before, given_ = base.clone(), values.clone()
    found = apply_chosen(encode_chosen(values, base, chosen, form, BLOCK), base, form)
    assert torch.equal(base, before)
    assert torch.equal(values, given_)
    assert found.dtype == base.dtype
    rest = torch.ones(count, dtype=torch.bool)
    rest[chosen] = False
    assert torch.equal(bits(found)[rest], bits(base)[rest])
    if form in PLAIN:
        expected = values[chosen].to(base.dtype)
    else:
        expected = apply_difference(encode_difference(values[chosen], base[chosen], form, BLOCK), base[chosen])
    assert torch.equal(bits(found)[chosen], bits(expected))


@pytest.mark.parametrize("form", DIFFERENCES)
def test_a_difference_that_is_taken_again_and_again_comes_to_the_values(form: str) -> None:
    """What rounding left out is in the next difference, until nothing is left but half a step of bfloat16, 2^-8 of a
    value: of a block's largest, as no scale is smaller than what is left of that.
    """
    values, held, chosen = drawn(300, 0.3, form, 1)
    for _ in range(50):
        held = apply_chosen(encode_chosen(values, held, chosen, form, BLOCK), held, form)
    bound = 2.0**-8 * float(values[chosen].abs().max())
    torch.testing.assert_close(held[chosen].float(), values[chosen], rtol=0, atol=bound)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["NaN", "untouched"])
def test_bits_that_numbers_do_not_tell_apart_are_kept(form: str, place: str) -> None:
    """-0.0 and NaN in the base, where nothing is chosen."""
    values, base, _ = drawn(40, 1.0, form, 2)
    base[5], base[7] = -0.0, float("nan") if place == "NaN" else 1.0
    chosen = torch.tensor([0, 6, 39])
    found = apply_chosen(encode_chosen(values, base, chosen, form, BLOCK), base, form)
    rest = [n for n in range(40) if n not in (0, 6, 39)]
    assert torch.equal(bits(found)[rest], bits(base)[rest])


@pytest.mark.parametrize("form", FORMS)
def test_none_or_all_may_be_chosen(form: str) -> None:
    values, base, _ = drawn(50, 1.0, form, 3)
    none, every = torch.tensor([], dtype=torch.int64), torch.arange(50)
    assert torch.equal(apply_chosen(encode_chosen(values, base, none, form, BLOCK), base, form), base)
    found = apply_chosen(encode_chosen(values, base, every, form, BLOCK), base, form)
    torch.testing.assert_close(found.float(), values, rtol=2.0**-7, atol=0.05)
    if form == "float32":
        assert torch.equal(found, values)


def test_the_bytes_are_a_length_the_positions_and_the_values() -> None:
    values, base, chosen = drawn(90, 0.2, "float32", 4)
    positions = encode_positions(chosen.numpy(), 90)
    expected = struct.pack("<I", len(positions)) + positions + values[chosen].numpy().astype("<f4").tobytes()
    assert encode_chosen(values, base, chosen, "float32", BLOCK) == expected


@pytest.mark.parametrize("form", FORMS)
def test_bytes_that_are_cut_or_have_more_in_the_end_are_refused(form: str) -> None:
    values, base, chosen = drawn(60, 0.4, form, 5)
    data = encode_chosen(values, base, chosen, form, BLOCK)
    for length in range(len(data)):
        with pytest.raises(PayloadError):
            apply_chosen(data[:length], base, form)
    with pytest.raises(PayloadError):
        apply_chosen(data + b"\0", base, form)


@given(form=st.sampled_from(FORMS), seed=st.integers(0, 99), where=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_damaged_bytes_are_refused_or_give_finite_values(form: str, seed: int, where: int, flip: int) -> None:
    values, base, chosen = drawn(80, 0.3, form, seed)
    data = bytearray(encode_chosen(values, base, chosen, form, BLOCK))
    data[where % len(data)] ^= flip
    try:
        found = apply_chosen(bytes(data), base, form)
    except PayloadError:
        return
    assert found.shape == base.shape
    assert found.dtype == base.dtype
    assert torch.isfinite(found).all()


@given(st.sampled_from(FORMS), st.binary(max_size=80))
def test_any_bytes_are_refused_or_give_finite_values(form: str, data: bytes) -> None:
    base = torch.zeros(30, dtype=base_of(form))
    try:
        found = apply_chosen(data, base, form)
    except PayloadError:
        return
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("form", FORMS)
def test_another_number_of_values_is_refused(form: str) -> None:
    values, base, chosen = drawn(60, 0.4, form, 6)
    data = encode_chosen(values, base, chosen, form, BLOCK)
    for count in (59, 61):
        with pytest.raises(ForeignError, match=f"a mask of 60 positions came, expected {count}"):
            apply_chosen(data, torch.zeros(count, dtype=base.dtype), form)


@pytest.mark.parametrize("form", FORMS)
def test_values_of_other_positions_are_refused(form: str) -> None:
    """The positions of one message before the values of another."""
    values, base, chosen = drawn(60, 0.4, form, 7)
    data = encode_chosen(values, base, chosen, form, BLOCK)
    positions, fewer = (encode_positions(one.numpy(), 60) for one in (chosen, chosen[1:]))
    body = data[4 + len(positions) :]
    with pytest.raises(ForeignError, match=rf"came(, expected| for) {len(chosen) - 1}\b"):
        apply_chosen(struct.pack("<I", len(fewer)) + fewer + body, base, form)


@pytest.mark.parametrize("form", FORMS)
def test_a_length_of_positions_beyond_the_bytes_is_refused(form: str) -> None:
    base = torch.zeros(9, dtype=base_of(form))
    with pytest.raises(OversizedError, match="claim more bytes of positions than there are"):
        apply_chosen(struct.pack("<I", 1 << 31) + bytes(40), base, form)
    with pytest.raises(MalformedError, match="end before their head"):
        apply_chosen(b"\1\0\0", base, form)


@pytest.mark.parametrize(("sent", "due"), [(a, b) for a in FORMS for b in FORMS if a != b])
def test_another_form_is_refused(sent: str, due: str) -> None:
    values, base, chosen = drawn(60, 0.4, sent, 8)
    data = encode_chosen(values, base, chosen, sent, BLOCK)
    with pytest.raises(PayloadError):
        apply_chosen(data, torch.zeros(60, dtype=base_of(due)), due)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_neither_sent_nor_taken(form: str, value: float) -> None:
    values, base, _ = drawn(60, 0.4, form, 9)
    values[7] = value
    chosen = torch.tensor([3, 7, 50])
    with pytest.raises(PayloadError, match="not finite"):
        encode_chosen(values, base, chosen, form, BLOCK)
    encode_chosen(values, base, torch.tensor([3, 8, 50]), form, BLOCK)  # of what is not sent nothing is said
    if form in PLAIN:
        positions = encode_positions(chosen.numpy(), 60)
        body = values[chosen].to(base.dtype).view(torch.uint8).numpy().tobytes()
        with pytest.raises(MalformedError, match="not finite"):
            apply_chosen(struct.pack("<I", len(positions)) + positions + body, base, form)


def test_values_beyond_bfloat16_are_refused_in_it() -> None:
    values, base, chosen = torch.full((4,), 3.4e38), torch.zeros(4, dtype=torch.bfloat16), torch.tensor([1])
    with pytest.raises(PayloadError, match="not finite"):
        encode_chosen(values, base, chosen, "bfloat16", BLOCK)
    assert (
        float(apply_chosen(encode_chosen(values, base.float(), chosen, "float32", 0), base.float(), "float32")[1]) > 0
    )


@given(
    count=st.integers(1, 60), start=st.integers(0, 60), length=st.integers(0, 60), most=st.integers(1, 70),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_the_largest_are_no_smaller_than_any_other_and_all_outside_is_chosen(
    count: int, start: int, length: int, most: int, seed: int
) -> None:
    change = torch.from_numpy(np.random.default_rng(seed).integers(-9, 10, count)).float()  # with many ties
    among = slice(min(start, count), min(start + length, count))
    found = largest(change, most, among).tolist()
    assert found == sorted(set(found))
    inside = range(count)[among]
    assert set(found) >= set(range(count)) - set(inside)
    taken = [n for n in inside if n in set(found)]
    assert len(taken) == min(most, len(inside))
    left = [abs(float(change[n])) for n in inside if n not in set(found)]
    assert min((abs(float(change[n])) for n in taken), default=99.0) >= max(left, default=-1.0)


def test_without_ties_the_largest_are_these() -> None:
    change = torch.tensor([9.0, -1.0, 3.0, -4.0, 2.0, 0.0])
    assert largest(change, 2, slice(1, 5)).tolist() == [0, 2, 3, 5]
    assert largest(change, 1, slice(0, 6)).tolist() == [0]
    assert largest(change, 6, slice(0, 6)).tolist() == [0, 1, 2, 3, 4, 5]


@given(form=st.sampled_from(FORMS), count=st.integers(1, 300), share=st.floats(0, 1), seed=st.integers(0, 10**6))
def test_the_positions_are_read_without_the_values(form: str, count: int, share: float, seed: int) -> None:
    values, base, chosen = drawn(count, share, form, seed)
    data = encode_chosen(values, base, chosen, form, BLOCK)
    assert torch.equal(chosen_in(data, count), chosen)
    with pytest.raises(ForeignError):
        chosen_in(data, count + 1)
