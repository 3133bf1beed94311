"""Coded values come back within half a step, feed back what was left out, and turn damage away with one error."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshtune.errors import PayloadError
from meshtune.wire.codec import (
    apply_difference,
    decode_keyframe,
    encode_difference,
    encode_keyframe,
    expand,
)
from meshtune.wire.value_forms import BITS

LEVELS = {"int2": 1, "int4": 7, "int8": 127}
SHARES = np.array([1.0, 2 / 3, 1 / 2, 1 / 3])  # scales that int2 may have, of the largest magnitude
forms = st.sampled_from(list(BITS))
blocks = st.sampled_from([8, 9, 64, 4096])
finite = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.floats(-1, 1, width=32) | st.just(0.0)
vectors = st.lists(finite, max_size=70)


def zeros(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.bfloat16)


def bf16(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).clamp(-3e38, 3e38).bfloat16()


@settings(max_examples=300, deadline=None)
@given(vectors, forms, blocks)
def test_any_finite_values_come_back_within_half_a_step(values: list[float], form: str, block: int) -> None:
    """A step is at most a sixteenth above max |x| / L, and at least 2^-17 of the largest block's, or 2^-126.

    In int2, whose least scale is a third of max |x|, a value may also be cut by two thirds of that.
    """
    x = torch.tensor(values, dtype=torch.float32)
    found = apply_difference(encode_difference(x, zeros(len(values)), form, block), zeros(len(values)))
    assert found.dtype == torch.bfloat16
    assert torch.isfinite(found).all()
    exact, back = x.double().numpy(), found.double().numpy()
    least = max(np.abs(exact).max(initial=0) / LEVELS[form] * 2.0**-15, 2.0**-126)
    for start in range(0, len(values), block):
        part = slice(start, start + block)
        step = max(17 / 16 * np.abs(exact[part]).max() / LEVELS[form], least)
        # The last rounding is to bfloat16: 2^-8 of the value, 2^-133 below the smallest normal one.
        slack = 2.0**-8 * np.abs(exact[part]) + 2.0**-8 * step + 2.0**-133
        clipped = np.abs(exact[part]) > 3.38e38
        assert (
            (np.abs(back[part] - exact[part]) <= ((2 / 3 if form == "int2" else 0.5) + 1e-5) * step + slack) | clipped
        ).all()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(finite, finite), max_size=40), forms)
@example(pairs=[(0.0, 2.984117053361232e38), (3.400798876258652e38, 0.0)], form="int4")  # beyond bfloat16's range
@example(pairs=[(0.0, 403520767393792.0), (3.926026169299763e16, 0.0)], form="int4")  # half a bit of it
def test_any_two_finite_ends_have_a_difference(pairs: list[tuple[float, float]], form: str) -> None:
    x = torch.tensor([a for a, _ in pairs], dtype=torch.float32)
    base = bf16([b for _, b in pairs])
    far = float(base.double().abs().max()) if pairs else 0.0
    for _ in range(100 if form == "int2" else 16):
        base = apply_difference(encode_difference(x, base, form, 8), base)
    exact = x.double().clamp(-3.38e38, 3.38e38)
    # What bfloat16 cannot say of the values keeps the scale from shrinking further: half a step, and its rounding.
    said = x.clamp(-torch.finfo(torch.bfloat16).max, torch.finfo(torch.bfloat16).max).bfloat16().double()
    unsaid = float((x.double() - said).abs().max()) if pairs else 0.0
    assert (
        (base.double() - exact).abs()
        <= 2.0**-8 * exact.abs() + (1.0 if form == "int2" else 2.0**-3) * unsaid + 2.0**-50 * far + 2.0**-126
    ).all()


@pytest.mark.parametrize("form", list(BITS))
def test_what_was_left_out_is_sent_next_time(form: str) -> None:
    """A constant target: at most (17 / (32 L))^k of the first distance is left behind version k, above bf16's own.

    In int2 it is (2 / 3)^k, by the least scale, of which only a value's cut is left.
    """
    draw = np.random.default_rng(0)
    target = torch.from_numpy(draw.standard_normal(1000).astype("f4")).bfloat16().float()
    held, scale = zeros(1000), float(target.abs().max())
    shrinks, versions = (2 / 3, 60) if form == "int2" else (17 / (32 * LEVELS[form]), 11)
    for k in range(1, versions + 1):
        held = apply_difference(encode_difference(target, held, form, 50), held)
        left = float((held.float() - target).abs().max())
        assert left <= scale * shrinks**k + 2.0**-8 * scale
    assert torch.equal(held.float(), target)


def test_steps_that_round_to_nothing_are_not_lost() -> None:
    """Steps far below one quantiser step add up: the reconstruction follows, off by no more than one step's half."""
    x, held = torch.zeros(64), zeros(64)
    for k in range(1, 101):
        x = torch.full((64,), 0.001 * k)
        x[0] = k  # its block's scale is a thousand times what the others move
        held = apply_difference(encode_difference(x, held, "int4", 64), held)
        assert float((held.float() - x)[1:].abs().max()) <= 0.5 * 17 / 16 / 7 + 0.001


@settings(max_examples=200, deadline=None)
@given(vectors)
def test_keyframes_hold_every_bit(values: list[float]) -> None:
    held = bf16(values)
    data = encode_keyframe(held)
    if data is not None:
        assert len(data) < 2 * len(values)
        assert torch.equal(decode_keyframe(data, len(values)).view(torch.int16), held.view(torch.int16))


def test_a_keyframe_of_smooth_magnitudes_is_smaller() -> None:
    held = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).bfloat16()
    data = encode_keyframe(held)
    assert data is not None
    assert len(data) < 0.72 * 2 * held.numel()
    assert torch.equal(decode_keyframe(data, 20_000), held)


@pytest.mark.parametrize("form", list(BITS))
def test_gaussian_values_cost_little_more_than_their_entropy(form: str) -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    data = encode_difference(x, zeros(100_000), form, 100)
    peak = x.view(-1, 100).abs().amax(1).double().numpy() / LEVELS[form]
    exact = x.view(-1, 100).double().numpy()
    if form == "int2":  # by brute force: the scale that leaves the least
        scales = peak[:, None] * SHARES
        left = np.square(np.abs(exact)[:, None] - scales[..., None] * (2 * np.abs(exact)[:, None] >= scales[..., None]))
        peak = scales[np.arange(len(scales)), left.sum(axis=2).argmin(axis=1)]
    grid = 2.0 ** np.floor(np.log2(peak))
    step = np.ceil(peak / grid * 16) / 16 * grid  # the documented grid, in other words
    symbols = np.clip(np.rint(exact / step[:, None]), -LEVELS[form], LEVELS[form])
    _, counts = np.unique(symbols, return_counts=True)
    share = counts / counts.sum()
    entropy = -(share * np.log2(share)).sum()
    assert entropy * 100_000 / 8 < len(data) < (1.02 * entropy + 8 / 100) * 100_000 / 8 + 100
    found = apply_difference(data, zeros(100_000)).double().numpy().reshape(-1, 100)
    np.testing.assert_allclose(found, symbols * step[:, None], rtol=2.0**-8)


def test_zeros_and_nothing_cost_next_to_nothing() -> None:
    for form in BITS:
        assert len(encode_difference(torch.zeros(250_000), zeros(250_000), form, 64)) < 100
        nothing = encode_difference(torch.zeros(0), zeros(0), form, 64)
        assert apply_difference(nothing, zeros(0)).shape == (0,)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("form", list(BITS))
def test_what_is_not_finite_is_not_sent(bad: float, form: str) -> None:
    with pytest.raises(PayloadError, match="not finite"):
        encode_difference(torch.tensor([1.0, bad, 2.0]), zeros(3), form, 8)
    with pytest.raises(PayloadError, match="not finite"):
        encode_keyframe(torch.tensor([1.0, bad]).bfloat16())


def test_coded_values_put_together_by_hand_are_read() -> None:
    """Two blocks of eight, scales 1 and 0.5: 127 << 4 is the place of 1.0, sixteen places an octave."""
    symbols = [0, 7, 14, 8, 7, 7, 7, 7, 8, 9]
    packed = bytes((symbols[i] << 4) | symbols[i + 5] for i in range(5))
    data = struct.pack("<BBHIHI", 1, 0, 8, 10, 127 << 4, 2) + bytes([255, 239]) + packed
    expected = [-7.0, 0.0, 7.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0]
    assert apply_difference(data, zeros(10)).tolist() == expected
    assert apply_difference(data, torch.ones(10).bfloat16()).tolist() == [value + 1 for value in expected]


def test_four_symbols_a_byte_put_together_by_hand_are_read() -> None:
    """Ten values, three bytes: byte i has symbols i, i + 3, i + 6 and i + 9 from its upper bits down."""
    symbols = [0, 1, 2, 1, 1, 0, 2, 2, 0, 1]
    packed = bytes(sum(symbols[i + 3 * n] << (6 - 2 * n) for n in range(4) if i + 3 * n < 10) for i in range(3))
    data = struct.pack("<BBHIHI", 4, 0, 8, 10, 127 << 4, 2) + bytes([255, 239]) + packed
    expected = [-1.0, 0.0, 1.0, 0.0, 0.0, -1.0, 1.0, 1.0, -0.5, 0.0]
    assert apply_difference(data, zeros(10)).tolist() == expected


def good(form: str = "int4") -> tuple[bytes, torch.Tensor]:
    x = torch.randn(200, generator=torch.Generator().manual_seed(1))
    return encode_difference(x, zeros(200), form, 16), zeros(200)


HEAD = struct.Struct("<BBHIHI")


@pytest.mark.parametrize(
    "data, part",
    [
        (b"", "before their head"),
        (HEAD.pack(9, 0, 8, 8, 2000, 0), "form 9"),
        (HEAD.pack(1, 4, 8, 8, 2000, 0), "flags 4"),
        (HEAD.pack(1, 0, 8, 9, 2000, 0), "9 coded values came, expected 8"),
        (HEAD.pack(1, 0, 8, 8, 2000, 1), "more bytes of scales than there are"),
        (HEAD.pack(3, 0, 8, 8, 2000, 0), "not a difference"),
        (HEAD.pack(1, 0, 7, 8, 2000, 0), "blocks of 7"),
        (HEAD.pack(1, 0, 8, 8, 2000, 0) + bytes(5), "part of 0 bytes, expected 1"),
        (HEAD.pack(1, 0, 8, 8, 15, 1) + bytes(5), "impossible scale"),
        (HEAD.pack(1, 0, 8, 8, 4080, 1) + bytes(5), "impossible scale"),
        (HEAD.pack(1, 0, 8, 8, 2000, 1) + bytes(6), "part of 5 bytes, expected 4"),
        (HEAD.pack(1, 0, 8, 8, 2000, 1) + b"\xff" * 5, "an invalid symbol"),
        (HEAD.pack(2, 0, 8, 8, 2000, 1) + b"\xff" * 9, "an invalid symbol"),
        (HEAD.pack(4, 0, 8, 8, 2000, 1) + b"\xff" * 3, "an invalid symbol"),
        (HEAD.pack(1, 2, 8, 8, 2000, 1) + bytes(9), "damaged"),
        (HEAD.pack(1, 2, 8, 8, 2000, 1) + b"x" + zstandard.compress(bytes(5)), "claim to be 5, expected 4"),
        (HEAD.pack(1, 2, 8, 8, 2000, 1) + b"x" + zstandard.compress(bytes(4)) + b"x", "damaged"),
    ],
)
def test_damaged_values_are_refused_with_a_reason(data: bytes, part: str) -> None:
    with pytest.raises(PayloadError, match=part):
        apply_difference(data, zeros(8))


@pytest.mark.parametrize(
    "data, part",
    [
        (HEAD.pack(1, 0, 8, 8, 2000, 0), "not a keyframe"),
        (HEAD.pack(3, 0, 1, 8, 0, 8) + bytes(16), "not a keyframe"),
        (HEAD.pack(3, 0, 0, 8, 0, 8) + bytes(15), "part of 7 bytes, expected 8"),
        (HEAD.pack(3, 2, 0, 8, 0, 8) + bytes(8) + zstandard.compress(bytes(9)), "claim to be 9, expected 8"),
        (HEAD.pack(3, 0, 0, 8, 0, 8) + b"\xff" * 16, "not finite"),
    ],
)
def test_damaged_keyframes_are_refused_with_a_reason(data: bytes, part: str) -> None:
    with pytest.raises(PayloadError, match=part):
        decode_keyframe(data, 8)


def test_a_frame_that_claims_much_is_refused_before_it_is_opened() -> None:
    frame = zstandard.compress(bytes(1 << 24))
    with pytest.raises(PayloadError, match="claim to be 16777216, expected 100"):
        expand(frame, 100)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100))
    with pytest.raises(PayloadError, match="expected 100"):
        expand(unsized, 100)


@pytest.mark.parametrize("form", list(BITS))
def test_every_cut_and_every_flipped_bit_raise_nothing_else(form: str) -> None:
    data, base = good(form)
    for length in range(len(data)):
        with pytest.raises(PayloadError):
            apply_difference(data[:length], base)
    for place in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[place] ^= 1 << bit
            with contextlib.suppress(PayloadError):
                assert torch.isfinite(apply_difference(bytes(broken), base)).all()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), forms)
def test_garbage_raises_nothing_else(data: bytes, form: str) -> None:
    with contextlib.suppress(PayloadError):
        apply_difference(data, zeros(8))
    with contextlib.suppress(PayloadError):
        decode_keyframe(data, 8)
    with contextlib.suppress(PayloadError):
        apply_difference(HEAD.pack(1, 3, 8, 8, 2000, 4) + data, zeros(8))
