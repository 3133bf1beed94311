"""The format holds what was put in, bit for bit, and turns everything else away with one kind of error."""

from __future__ import annotations

import contextlib
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_block

from frames import PREFIX, frame, sealed
from meshtune.errors import MeshtuneError, PayloadError
from meshtune.wire.codec import apply_difference, encode_difference
from meshtune.wire.payload import KINDS, Message, PayloadLimits, byte_split, byte_tensor, decode, encode

TYPES = {
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int32: "I32",
    torch.int64: "I64",
}
whole = st.integers(0, (1 << 63) - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Any bit pattern of any type of the format, empty and zero-dimensional ones among them."""
    dtype = draw(st.sampled_from(list(TYPES)))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    count = 1
    for n in shape:
        count *= n
    size = torch.empty((), dtype=dtype).element_size()
    raw = draw(st.binary(min_size=count * size, max_size=count * size))
    if not raw:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape)


messages = st.builds(
    Message,
    st.sampled_from(KINDS),
    whole,
    whole,
    whole,
    st.dictionaries(texts, plain, max_size=3),
    st.dictionaries(texts.filter(lambda name: name != "__metadata__"), tensors(), max_size=3),
)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def head(text: str = '["update",1,2,3,{}]') -> dict[str, Any]:
    return {"__metadata__": {"m": text}}


def entry(dtype: Any = "U8", shape: Any = (1,), offsets: Any = (0, 1)) -> dict[str, Any]:
    return {**head(), "a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@settings(max_examples=80, deadline=None)
@given(messages)
def test_what_was_put_in_comes_out(message: Message) -> None:
    data = encode(message)
    found = decode(data)
    assert (found.kind, found.sender, found.round, found.source) == (
        message.kind,
        message.sender,
        message.round,
        message.source,
    )
    assert found.meta == message.meta
    assert found.tensors.keys() == message.tensors.keys()
    for name, tensor in message.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert found.tensors[name].shape == tensor.shape
        assert bits(found.tensors[name]) == bits(tensor)
    assert encode(found) == data
    assert sum(byte_split(message, data).values()) == len(data)


def test_every_bf16_pattern_survives_nan_infinity_and_minus_zero_among_them() -> None:
    patterns = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    found = decode(encode(Message("update", 0, 1, 0, {}, {"values": patterns.view(torch.bfloat16)})))
    values = found.tensors["values"]
    assert torch.equal(values.view(torch.int16), patterns)
    assert values.isnan().sum() == 2 * 127
    assert values.isinf().sum() == 2
    assert torch.signbit(values[values == 0]).sum() == 1


def test_frame_is_the_documented_one_and_any_safetensors_reader_reads_the_block() -> None:
    values = torch.tensor([1.0, -2.0], dtype=torch.bfloat16)
    data = encode(Message("update", 3, 7, 2, {"version": 6}, {"values": values}))
    (size,) = struct.unpack("<Q", data[13:21])
    header = json.loads(data[21 : 21 + size])
    assert data[:5] == b"MTUN\x03"
    assert data[5:13] == xxhash.xxh3_64_digest(data[:5] + data[13:])
    assert json.loads(header["__metadata__"]["m"]) == ["update", 3, 7, 2, {"version": 6}]
    assert header["values"] == {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    assert data[21 + size :] == bytes.fromhex("803f00c0")
    assert torch.equal(load_block(data[13:])["values"], values)


def test_a_frame_put_together_by_hand_is_read() -> None:
    message = decode(frame(entry(), b"\x07"))
    assert (message.kind, message.sender, message.round, message.source) == ("update", 1, 2, 3)
    assert message.tensors["a"].tolist() == [7]


def test_example_in_the_docs_is_what_the_code_makes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "payload.md").read_text(encoding="utf-8")
    dump = page.split("```hexdump\n")[1].split("```")[0]
    shown = bytes.fromhex("".join(line.split("  ")[1] for line in dump.splitlines()))
    values = torch.tensor([1.0, -2.0, float("inf"), -0.0], dtype=torch.bfloat16)
    assert shown == encode(Message("update", 3, 7, 3, {}, {"values": values}))


def test_difference_in_the_docs_is_what_the_code_makes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "payload.md").read_text(encoding="utf-8")
    dump = page.split("```hexdump\n")[2].split("```")[0]
    shown = bytes.fromhex("".join(line[6:53] for line in dump.splitlines()))
    values = torch.tensor([0.7, -0.3, 0.1, 0.0, 0.0, 0.05, -0.7, 0.2, 3.5, -1.0])
    base = torch.zeros(10, dtype=torch.bfloat16)
    coded = torch.frombuffer(bytearray(encode_difference(values, base, "int4", 8)), dtype=torch.uint8)
    assert shown == encode(Message("update", 3, 7, 3, {"since": 6}, {"values": coded}))
    found = apply_difference(decode(shown).tensors["values"].numpy().tobytes(), base).tolist()
    assert found == pytest.approx([0.711, -0.305, 0.1016, 0, 0, 0, -0.711, 0.203, 3.5, -1], rel=2**-8)


def test_a_steady_update_has_a_small_header() -> None:
    message = Message("update", 9, 999, 9, {}, {"values": torch.zeros(250_000, dtype=torch.bfloat16)})
    data = encode(message)
    split = byte_split(message, data)
    assert split == {"values": 500_000, "masks": 0, "router": 0, "control": len(data) - 500_000}
    assert split["control"] < 200


def test_bytes_are_split_by_use() -> None:
    mask = {"mask": torch.zeros(11, dtype=torch.uint8)}
    router = {"mean": torch.zeros(8, dtype=torch.bfloat16), "mask": torch.zeros(3)}
    for message, values, masks, statistics in (
        (Message("announce", 0, 0, 0, {"group": "é"}, mask), 0, 11, 0),
        (Message("router", 0, 0, 0, {"count": 4}, router), 0, 0, 16 + 12),
        (Message("update", 0, 0, 0, {}, {**mask, "values": torch.zeros(5)}), 20, 11, 0),
    ):
        data = encode(message)
        split = byte_split(message, data)
        assert (split["values"], split["masks"], split["router"]) == (values, masks, statistics)
        assert sum(split.values()) == len(data)


def test_views_strides_and_gradients_are_encoded_by_value() -> None:
    flat = torch.arange(6.0, requires_grad=True)
    grid = flat.reshape(2, 3)
    found = decode(encode(Message("update", 0, 0, 0, {}, {"all": flat, "some": flat[:2], "turned": grid.T})))
    assert found.tensors["all"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.tensors["some"].tolist() == [0, 1]
    assert found.tensors["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert not found.tensors["all"].requires_grad


@pytest.mark.parametrize(
    "message, part",
    [
        (Message("gossip", 0, 0, 0), "kind 'gossip'"),
        (Message("update", -1, 0, 0), "sender is -1"),
        (Message("update", 0, 1 << 63, 0), "round is 9223372036854775808"),
        (Message("update", 0, 0, True), "source is True"),
        (Message("update", 0, 0, 0, {"x": float("nan")}), "plain JSON"),
        (Message("update", 0, 0, 0, {"x": {1, 2}}), "plain JSON"),
        (Message("update", 0, 0, 0, {"x": "\ud800"}), "plain JSON"),
        (
            Message("update", 0, 0, 0, {}, {"a": torch.zeros(1, dtype=torch.complex64)}),
            "not part of the format",
        ),
        (Message("update", 0, 0, 0, {}, {"a": torch.zeros(1, dtype=torch.bool)}), "not part of the format"),
        (
            Message("update", 0, 0, 0, {}, {"a": torch.zeros(1, dtype=torch.float64)}),
            "not part of the format",
        ),
        (Message("update", 0, 0, 0, {}, {"a": torch.eye(2).to_sparse()}), "cannot be written"),
        (Message("update", 0, 0, 0, {}, {"__metadata__": torch.zeros(1)}), "cannot be named"),
        (Message("update", 0, 0, 0, {}, {str(i): torch.zeros(0) for i in range(65)}), "limit of 64"),
        (Message("update", 0, 0, 0, {"x": "y" * (1 << 20)}), "header claims"),
    ],
)
def test_what_the_format_does_not_know_is_not_sent(message: Message, part: str) -> None:
    with pytest.raises(PayloadError, match=part):
        encode(message)


@pytest.mark.parametrize(
    "data, part",
    [
        (b"", "not a meshtune message"),
        (b"MTUN", "not a meshtune message"),
        (b"PK\x03\x04" + bytes(20), "not a meshtune message"),
        (frame(entry(), b"\x00", version=2), "format version 2 cannot be read, this version of meshtune reads 3"),
        (b"MTUN\x02" + frame(entry(), b"\x00")[PREFIX:], "format version 2 cannot be read"),
        (b"MTUN\x03\x00\x00", "ends before its digest"),
        (b"MTUN\x03" + bytes(8) + frame(entry(), b"\x00")[PREFIX:], "is damaged: its digest"),
        (sealed(b"\x00\x00"), "ends before its header"),
        (sealed(struct.pack("<Q", (1 << 64) - 1) + b"{}"), "header claims 18446744073709551615 bytes"),
        (frame(b"[]"), "header is damaged"),
        (frame(b'{"a":' * 10_000), "header is damaged"),
        (frame(b'{"a":' * 100_000), "header claims 500000 bytes"),
        (frame(json.dumps(head()).encode("utf-16")), "header is damaged"),
        (frame(b'{"a":1,"a":1}'), "header is damaged"),
        (frame({}), "head is damaged"),
        (frame({"__metadata__": {"n": "[]"}}), "head is damaged"),
        (frame({"__metadata__": [1]}), "head is damaged"),
        (frame({"__metadata__": {"m": 3}}), "head is damaged"),
        (frame(head("[" * 60_000)), "head is damaged"),
        (frame(head('["update",1,2,3]')), "head is damaged"),
        (frame(head('["update",' + "9" * 5000 + ",2,3,{}]")), "head is damaged"),
        (frame(head('["gossip",1,2,3,{}]')), "kind 'gossip'"),
        (frame(head('["update",1.0,2,3,{}]')), "sender is 1.0"),
        (frame(head('["update",1,2,-3,{}]')), "source is -3"),
        (frame(head('["update",1,2,3,[]]')), "meta must be a mapping"),
        (frame(head('["update",1,2,3,{"x":1e999}]')), "plain JSON"),
        (frame(head('["update",1,2,3,{"x":NaN}]')), "plain JSON"),
        (frame(head(r'["update",1,2,3,{"x":"\ud800"}]')), "plain JSON"),
        (frame(head('["update",1,2,3,{"x":1,"x":2}]')), "head is damaged"),
        (frame({**head(), "a": 3}), "invalid description"),
        (frame({**head(), "a": {"dtype": "U8"}}), "invalid description"),
        (frame(entry(dtype=["U8"])), "invalid description"),
        (frame(entry(offsets=[0])), "invalid description"),
        (frame(entry(dtype="F8_E4M3")), "'F8_E4M3', which is not part"),
        (frame(entry(shape="1")), "more dimensions"),
        (frame(entry(shape=[1] * 9)), "more dimensions than the limit of 8"),
        (frame(entry(shape=[-1])), "dimension outside"),
        (frame(entry(shape=[True])), "dimension outside"),
        (frame(entry(shape=[0, 1 << 63], offsets=[0, 0])), "dimension outside"),
        (frame(entry(shape=[1 << 20, 1 << 20], offsets=[0, 1 << 40])), "elements is over"),
        (frame(entry(shape=[1 << 28], offsets=[0, 1 << 28])), "claims bytes that are not there"),
        (frame(entry(offsets=[0.0, 1.0]), b"x"), "claims bytes that are not there"),
        (frame(entry(offsets=[1, 0]), b"x"), "claims bytes that are not there"),
        (frame(entry(shape=[2]), b"xx"), "claims bytes that are not there"),
        (frame(entry(offsets=[1, 2]), b"xy"), "tensors are damaged"),
        (frame(entry(), b"xy"), "tensors are damaged"),
    ],
)
def test_damaged_bytes_are_refused_with_a_reason(data: bytes, part: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(data)
    assert part in str(caught.value)
    assert isinstance(caught.value, MeshtuneError)


def sample() -> bytes:
    tensors = {"values": torch.arange(20.0).bfloat16(), "mask": torch.arange(5, dtype=torch.uint8)}
    return encode(Message("announce", 3, 1, 2, {"group": "boolq", "samples": 12}, tensors))


def test_a_message_cut_anywhere_is_refused() -> None:
    data = sample()
    for length in range(len(data)):
        with pytest.raises(PayloadError):
            decode(data[:length])
    with pytest.raises(PayloadError):
        decode(data + b"\x00")


def test_every_flipped_bit_is_found() -> None:
    data = sample()
    for place in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[place] ^= 1 << bit
            with pytest.raises(PayloadError):
                decode(bytes(broken))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_is_found_and_behind_a_right_digest_raises_nothing_else(changes: list[tuple[int, int]]) -> None:
    broken = bytearray(sample())
    for place, value in changes:
        broken[place % len(broken)] = value
    with contextlib.suppress(PayloadError):
        assert encode(decode(bytes(broken))) == sample()
    with contextlib.suppress(PayloadError):
        encode(decode(sealed(bytes(broken[PREFIX:]))))  # what is accepted can be passed on


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["dtype", "shape", "data_offsets", "x"]),
        plain | st.lists(st.integers(-(1 << 70), 1 << 70), max_size=3) | st.sampled_from(list(TYPES.values())),
    ),
    st.binary(max_size=8),
)
def test_any_description_of_a_tensor_raises_nothing_else(described: dict[str, Any], data: bytes) -> None:
    try:
        found = decode(frame({**head(), "a": described}, data))
    except PayloadError:
        return
    assert len(bits(found.tensors["a"])) == len(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64))
def test_garbage_behind_the_frame_raises_nothing_else(data: bytes) -> None:
    with pytest.raises(PayloadError):
        decode(b"MTUN\x03" + data)
    with pytest.raises(PayloadError):
        decode(sealed(data))


def test_limits_are_the_receivers_and_hold_exactly() -> None:
    message = Message("update", 0, 0, 0, {}, {"a": torch.zeros(6, dtype=torch.uint8), "b": torch.zeros(2, 2)})
    data = encode(message)
    (header,) = struct.unpack("<Q", data[13:21])
    fits = PayloadLimits(total=len(data), header=header, tensors=2, elements=10, dimensions=2)
    assert decode(data, fits).tensors.keys() == {"a", "b"}
    assert encode(message, fits) == data
    for name in ("total", "header", "tensors", "elements", "dimensions"):
        tight = PayloadLimits(**{**vars(fits), name: getattr(fits, name) - 1})
        with pytest.raises(PayloadError):
            decode(data, tight)
        with pytest.raises(PayloadError):
            encode(message, tight)


@pytest.mark.parametrize(
    "data",
    [
        sealed(struct.pack("<Q", 1 << 40) + b"{"),
        frame(entry(shape=[1 << 29], offsets=[0, 1 << 29])),
        frame(entry(dtype="I64", shape=[1 << 28], offsets=[0, 1 << 31])),
        frame(entry(shape=[1 << 62, 0], offsets=[0, 0])),
        sealed(bytes(1 << 20)),
    ],
)
def test_a_lie_about_size_allocates_no_more_than_arrived(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("meshtune.wire.payload.load_block")  # no tensor may be made at all
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError):
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(data) + (1 << 19)


def test_too_long_is_refused_before_a_byte_is_looked_at() -> None:
    class Untouchable(bytes):
        def __getitem__(self, _: Any) -> Any:
            raise AssertionError("read before its length was checked")

    with pytest.raises(PayloadError, match="30 bytes is over the limit of 29"):
        decode(Untouchable(30), PayloadLimits(total=29))


def test_bytes_become_a_tensor_of_their_own() -> None:
    data = bytes(range(256))
    found = byte_tensor(data)
    assert found.dtype == torch.uint8
    assert found.numpy().tobytes() == data
    found[0] = 7  # a copy: bytes cannot be written to
    assert data[0] == 0
    assert byte_tensor(b"x").tolist() == [120]
