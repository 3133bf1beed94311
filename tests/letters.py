"""One real message of every kind, as bytes, each with what its receiver does with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import describe, places, sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement, Member, Update
from meshtune.node.announcements import to_messages
from meshtune.node.negotiation.claim_messages import coded_claim
from meshtune.node.node import Node
from meshtune.node.receiving import checked_version, from_messages, read_mask, receive
from meshtune.node.updates import UpdateRules, publish, write_update
from meshtune.routing.statistics import summarise
from meshtune.wire.payload import Message, decode, encode
from meshtune.wire.positions import encode_positions
from meshtune.wire.validation import Receiver

LAYERS = [describe(i, f"model.layers.{i}.self_attn.q_proj", 24, 300, False) for i in range(2)]
RANK, WIDTH, ROUND = 4, 12, 3
SIZES = sizes(LAYERS, RANK)
GROUPS = "abac"
FORMS = ("float32", "bfloat16", "int8", "int4", "int2")


@dataclass(frozen=True)
class Letter:
    """A message, and what its receiver makes of bytes that come instead: plain values that can be compared."""

    data: bytes
    read: Callable[[bytes], Any]


def announced(device: int, method: str = "bank", kind: str = "orthogonal") -> Announcement:
    """Return what a device says of itself."""
    draw = np.random.default_rng(device)
    masks = tuple(np.sort(draw.choice(size, 400, replace=False)) for size in SIZES)
    statistics = summarise(draw.standard_normal((20, WIDTH)), 3, draw.standard_normal((20, WIDTH)))
    codes = draw.standard_normal(sum(places(LAYERS).values())).astype(np.float32)
    recipe = Recipe(seed=3, kind=kind, block=ord(GROUPS[device]) - 97, rank=RANK)
    own = {"own": tuple(np.sort(draw.choice(size, 200, replace=False)) for size in sizes(LAYERS, RANK // 2))}
    return Announcement(device, GROUPS[device], 10 * (device + 1), recipe, masks, statistics, codes, own)


def members(method: Method, factory: ExpertFactory) -> list[Member]:
    """Return devices that know each other and have trained a little."""
    known = {device: method.announces(announced(device), factory) for device in range(len(GROUPS))}
    found = []
    for device, own in known.items():
        start = method.begin(own, known, factory)
        step = np.random.default_rng([7, device]).laplace(size=start.count).astype("f4") * 0.01
        trained = start.with_values(start.values + torch.from_numpy(step))
        found.append(Member(device, own, trained, known=dict(known)))
    return found


class Exchange:
    """Device 1 has published round ``ROUND``; device 0 reads what comes, device 2 passes on.

    What device 0 holds of it is of the round before, or of none.
    """

    def __init__(self, form: str, method: str = "bank", holds: bool = True) -> None:
        self.method, self.factory = get_method(method), ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)
        self.settings = ExchangeConfig(values=form, block=32)  # type: ignore[arg-type]
        self.members = members(self.method, self.factory)
        old = publish(self.members[1], ROUND - 1, self.rules(ROUND - 1))
        self.members[1].held[1] = old
        grown = self.members[1].expert
        self.members[1].expert = grown.with_values(grown.values * 1.5)
        self.old = old if holds else None
        self.update = publish(self.members[1], ROUND, self.rules())

    def rules(self, round_: int = ROUND) -> UpdateRules:
        return UpdateRules(self.method, self.factory, self.settings, round_)

    def deliver(self, reader: Member, message: Message, rules: UpdateRules | None = None) -> None:
        """Let ``reader`` take in ``message``, which came over its sender's link."""
        node = Node(reader, rules or self.rules())
        node.process(message.sender, encode(message))

    def message(self, sender: int = 1, known: int = ROUND - 1) -> Message:
        return decode(write_update(self.update, self.members[sender], known, self.rules())[0])

    def receiver(self) -> Member:
        """Device 0, which has read nothing yet."""
        reader = self.members[0]
        held: dict[int, Update] = {} if self.old is None else {1: self.old}
        return replace(reader, held=held, known=dict(reader.known))

    def read(self, message: Message) -> Any:
        """Return what device 0 holds after ``message``, and mix it, which must not break either."""
        reader, rules = self.receiver(), self.rules()
        checked_version(reader, message, rules)
        update = receive(reader, message, rules)
        self.deliver(reader, message)
        assert update.values.shape == (self.update.values.numel(),)
        assert torch.isfinite(update.values).all()
        reader.held[0] = publish(reader, ROUND, rules)
        self.factory.release()
        self.method.mix(reader, self.factory)
        return update.source, update.version, update.values.double().tolist()


def packed(positions: np.ndarray, total: int) -> torch.Tensor:
    return torch.frombuffer(bytearray(encode_positions(positions, total)), dtype=torch.uint8)


def read_announcement(data: bytes, position: int, parts: list[Message], told: bool, kind: str) -> Any:
    """Return what an announcement says whose message at ``position`` came as ``data``."""
    arrived = [decode(data) if at == position else message for at, message in enumerate(parts)]
    masks = announced(1).masks if told else ()
    shared = announced(0, kind=kind).recipe
    found = from_messages(arrived, LAYERS, shared, masks, method=get_method("bank"), width=WIDTH)
    factory = ExpertFactory(LAYERS, AdapterConfig(rank=RANK), seed=5)
    get_method("bank").begin(found, {found.device: found}, factory)
    statistics: Mapping[str, Any] = {} if found.statistics is None else found.statistics.to_tensors()
    said = (found.device, found.group, found.samples, found.recipe, found.voted, found.mask_digest)
    return said, {name: array.tolist() for name, array in statistics.items()}, repr(found.codes)


def letters() -> dict[str, Letter]:
    """Return every kind of message by what it is called."""
    found: dict[str, Letter] = {}

    def update(name: str, inputs: Exchange, message: Message) -> None:
        found[name] = Letter(encode(message), lambda data: inputs.read(decode(data)))

    for form in FORMS:
        inputs = Exchange(form)
        update(f"update {form}", inputs, inputs.message())
        update(f"update {form} relayed", inputs, inputs.message(sender=2))
    inputs = Exchange("int4", holds=False)
    update("keyframe", inputs, inputs.message(known=0))
    for form in ("float32", "int8"):
        inputs = Exchange(form, "proposed")
        update(f"update of changes {form}", inputs, inputs.message())
        update(f"keyframe of changes {form}", inputs, inputs.message(sender=2, known=0))
    lora = Exchange("bfloat16", "lora")
    update("update lora", lora, lora.message())
    method = replace_codes(get_method("bank"))
    for kind in ("orthogonal", "gaussian"):
        for told in (False, True):
            parts = to_messages(announced(1, kind=kind), method, LAYERS, told)
            for at, message in enumerate(parts):
                part = "announce" if at == 0 else "codes" if "codes" in message.tensors else "statistics"
                name = f"{part} {kind}{' told' if told else ''}"
                if part == "announce" or (kind, told) == ("orthogonal", False):
                    found[name] = Letter(encode(message), reader_of(at, parts, told, kind))
    for kind in ("proposal", "claim"):
        joined = np.sort(np.random.default_rng(9).choice(sum(SIZES), 250, replace=False))
        meta = {"group": "a"} if kind == "claim" else {}
        message = Message(kind, 2, 0, 2, meta, {"mask": packed(joined, sum(SIZES))})
        found[kind] = Letter(encode(message), claim_reader(kind))
    crowded = np.flatnonzero(np.random.default_rng(10).random(sum(SIZES)) < 0.5)
    message = Message("proposal", 2, 0, 2, {}, {"mask": packed(crowded, sum(SIZES))})
    found["proposal bitmap"] = Letter(encode(message), claim_reader("proposal"))
    return found


def reader_of(at: int, parts: list[Message], told: bool, kind: str) -> Callable[[bytes], Any]:
    return lambda data: read_announcement(data, at, parts, told, kind)


def claim_reader(kind: Any) -> Callable[[bytes], Any]:
    def read(data: bytes) -> list[Any]:
        coded = coded_claim(decode(data), kind, Receiver())
        return [positions.tolist() for positions in read_mask(coded, SIZES)]

    return read


def replace_codes(method: Method) -> Method:
    """Return ``method`` as one that announces task codes too."""
    made: Method = type(method)()
    made.routing = replace(method.routing, codes=True)
    return made
