"""What a message may not say, however right its digest: each lie by its own reason, before anything is made of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from letters import FORMS, LAYERS, RANK, ROUND, SIZES, WIDTH, Exchange, announced, packed, replace_codes
from meshtune.adapter import projection
from meshtune.adapter.sites import places
from meshtune.config.federation_config import ExchangeConfig
from meshtune.errors import PayloadError
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.node.announcements import to_messages
from meshtune.node.negotiation.claim_messages import coded_claim
from meshtune.node.receiving import from_messages, read_mask
from meshtune.node.updates import UpdateRules
from meshtune.wire.chosen_values import encode_chosen
from meshtune.wire.payload import Message, decode, encode
from meshtune.wire.validation import Receiver

COUNT = 800
CHANGED = RANK // 2 * 2 * (24 + 300) + 400
"""Values of an update of ``proposed``: a common part of half the rank in both layers, and 200 own ones in each."""
NAN, INF = float("nan"), float("inf")


def values(fill: float = 0.0, count: int = COUNT, dtype: torch.dtype = torch.bfloat16) -> Mapping[str, torch.Tensor]:
    return {"values": torch.full((count,), fill, dtype=dtype)}


def spoilt(value: float) -> Mapping[str, torch.Tensor]:
    found = torch.zeros(COUNT, dtype=torch.bfloat16)
    found[7] = value
    return {"values": found}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["bank", "proposed"])
def test_what_was_sent_is_taken(form: str, method: str) -> None:
    inputs = Exchange(form, method)
    source, version, got = inputs.read(decode(encode(inputs.message())))
    assert (source, version) == (1, ROUND)
    assert got == inputs.update.values.double().tolist()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"tensors": spoilt(NAN)}, "not finite"),
        ({"tensors": spoilt(INF)}, "not finite"),
        ({"tensors": spoilt(-INF)}, "not finite"),
        ({"tensors": values(1.0, 1)}, r"shape \[1\], expected \[800\]"),
        ({"tensors": values(1.0, COUNT - 1)}, r"shape \[799\]"),
        ({"tensors": {"values": torch.zeros((), dtype=torch.bfloat16)}}, r"shape \[\]"),
        ({"tensors": {"values": torch.zeros((1, COUNT), dtype=torch.bfloat16)}}, r"shape \[1, 800\]"),
        ({"tensors": {"values": torch.zeros((COUNT, 0), dtype=torch.bfloat16)}}, r"shape \[800, 0\]"),
        ({"tensors": values(dtype=torch.int32)}, "type int32, expected bfloat16"),
        ({"tensors": values(dtype=torch.int64)}, "type int64"),
        ({"tensors": values(dtype=torch.float16)}, "type float16"),
        ({"tensors": values(dtype=torch.float32)}, "type float32"),
        ({"tensors": values(dtype=torch.uint8)}, "is coded, expected values of type bfloat16"),
        ({"tensors": {}}, "without values"),
        ({"tensors": {**values(), "extra": torch.zeros(1)}}, "'extra' that is not part of it"),
        ({"meta": {"version": 1 << 62}}, "is 4611686018427387904: expected a whole number from 1 to 3"),
        ({"meta": {"version": ROUND + 1}}, "is 4"),
        ({"meta": {"version": 0}}, "is 0"),
        ({"meta": {"version": True}}, "is True"),
        ({"meta": {"version": 2.0}}, r"is 2\.0"),
        ({"meta": {"version": [1]}}, r"is \[1\]"),
        ({"round": 1 << 62}, "of round 4611686018427387904 in round 3"),
        ({"round": ROUND + 1}, "of round 4 in round 3"),
        ({"round": 0}, "expected a whole number from 1 to 0"),
        ({"source": 0}, "sent a message that names it as its source"),
        ({"sender": 0, "source": 0}, "sent a message that names it as its sender"),
        ({"source": 77}, "names device 77 as its source, which has not announced itself"),
        ({"sender": 77}, "names device 77 as its sender"),
        ({"meta": {"since": ROUND - 1}}, "is coded|of type"),
    ],
)
def test_an_update_that_cannot_be_is_refused_and_changes_nothing(changes: dict[str, Any], part: str) -> None:
    inputs = Exchange("bfloat16")
    message = decode(encode(replace(inputs.message(), **changes)))
    reader = inputs.receiver()
    if changes == {"meta": {"since": ROUND - 1}}:  # says nothing to values that are sent as they are
        message = replace(message, tensors={"values": torch.zeros(40, dtype=torch.uint8)})
    with pytest.raises(PayloadError, match=part):
        inputs.deliver(reader, message)
    assert reader.held == {1: inputs.old}
    inputs.deliver(reader, inputs.message())  # and the source is not locked out
    assert reader.held[1].version == ROUND


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"meta": {"since": True}}, "is True"),
        ({"meta": {"since": 1 << 62}}, "is 4611686018427387904"),
        ({"meta": {"since": -1}}, "is -1"),
        ({"meta": {"since": "2"}}, "is '2'"),
        ({"meta": {"since": ROUND - 2}}, "as the difference to version 1, device 0 holds version 2"),
        ({"meta": {"since": None}}, "not a keyframe"),
        ({"meta": {}}, "not a keyframe"),
        ({"tensors": values(dtype=torch.float32)}, "type float32, expected uint8"),
        ({"meta": {}, "tensors": values(dtype=torch.float32)}, "type float32, expected bfloat16"),
        ({"meta": {}, "tensors": values(NAN)}, "not finite"),
        ({"meta": {}, "tensors": values(count=5)}, r"shape \[5\]"),
        ({"tensors": {"values": torch.zeros((9, 2), dtype=torch.uint8)}}, "expected a vector"),
    ],
)
def test_a_difference_that_cannot_be_is_refused(changes: dict[str, Any], part: str) -> None:
    inputs = Exchange("int4")
    message = decode(encode(replace(inputs.message(), **changes)))
    with pytest.raises(PayloadError, match=part):
        inputs.deliver(inputs.receiver(), message)


def test_a_difference_of_another_form_is_refused() -> None:
    """All devices of a federation code their values alike."""
    inputs = Exchange("int4")
    with pytest.raises(PayloadError, match="came in int8, expected int4"):
        inputs.read(Exchange("int8").message())


def chosen(count: int = CHANGED, positions: range = range(40), form: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the bytes of ones at ``positions`` of ``count``."""
    values = torch.ones(count)
    data = encode_chosen(values, values * 0, torch.tensor(positions), str(form).removeprefix("torch."), 128)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"meta": {"since": ROUND - 2}}, "as the difference to version 1, device 0 holds version 2"),
        ({"meta": {"since": ROUND}}, "as the difference to version 3, device 0 holds version 2"),
        ({"meta": {"since": 0}}, "as the difference to version 0, device 0 holds version 2"),
        ({"meta": {"since": -1}}, "is -1"),
        ({"meta": {"since": True}}, "is True"),
        ({"meta": {"since": "2"}}, "is '2'"),
        ({"tensors": values(count=CHANGED, dtype=torch.float32)}, "type float32, expected uint8"),
        ({"tensors": values(count=CHANGED), "meta": {}}, "type bfloat16, expected uint8"),
        ({"tensors": {"values": torch.zeros((9, 2), dtype=torch.uint8)}}, "expected a vector"),
        ({"tensors": {"values": torch.zeros(3, dtype=torch.uint8)}}, "end before their head"),
        ({"tensors": {"values": torch.full((60,), 255, dtype=torch.uint8)}}, "more bytes of positions than there are"),
        ({"tensors": {"values": chosen(CHANGED + 1)}}, f"a mask of {CHANGED + 1} positions came, expected {CHANGED}"),
        ({"tensors": {"values": chosen(CHANGED - 1)}, "meta": {"after": 0}}, f"a mask of {CHANGED - 1} positions came"),
        ({"meta": {}}, "goes on from is None"),
        ({"meta": {"after": ROUND}}, "as the changes after version 3, device 0 holds version 2"),
        ({"meta": {"after": -1}}, "is -1"),
        ({"tensors": {"values": chosen()[:-1]}}, "."),
        ({"tensors": {"values": chosen()[:-1]}, "meta": {"after": 0}}, "."),
        ({"tensors": {}}, "without values"),
    ],
)
def test_changes_that_cannot_be_are_refused_and_change_nothing(form: str, changes: dict[str, Any], part: str) -> None:
    inputs = Exchange(form, "proposed")
    assert inputs.update.values.numel() == CHANGED
    message = decode(encode(replace(inputs.message(), **changes)))
    reader = inputs.receiver()
    with pytest.raises(PayloadError, match=part):
        inputs.deliver(reader, message)
    assert reader.held == {1: inputs.old}
    inputs.deliver(reader, inputs.message())
    assert torch.equal(reader.held[1].values, inputs.update.values)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_keyframe_of_values_that_are_not_finite_is_refused(form: str, value: float) -> None:
    """Its values are plain in every form."""
    inputs = Exchange(form, "proposed")
    message = inputs.message(sender=2, known=0)
    data = bytearray(message.tensors["values"].numpy().tobytes())
    kind = inputs.update.values.dtype
    data[-kind.itemsize :] = torch.tensor([value], dtype=kind).view(torch.uint8).numpy().tobytes()
    spoilt_ = replace(message, tensors={"values": torch.frombuffer(data, dtype=torch.uint8)})
    with pytest.raises(PayloadError, match="not finite"):
        inputs.deliver(inputs.receiver(), spoilt_)


@pytest.mark.parametrize("form", FORMS)
def test_whoever_lacks_the_version_before_takes_all_that_has_changed(form: str) -> None:
    inputs = Exchange(form, "proposed", holds=False)
    reader = inputs.receiver()
    with pytest.raises(PayloadError, match="as the difference to version 2, device 0 holds version 0"):
        inputs.deliver(reader, inputs.message())
    inputs.deliver(reader, inputs.message(known=0))
    assert torch.equal(reader.held[1].values, inputs.update.values)
    assert reader.held[1].digest == inputs.update.digest


@pytest.mark.parametrize(("sent", "due"), [("int8", "int4"), ("float32", "bfloat16"), ("bfloat16", "int8")])
def test_changes_of_another_form_are_refused(sent: str, due: str) -> None:
    inputs = Exchange(due, "proposed")
    with pytest.raises(PayloadError):
        inputs.deliver(inputs.receiver(), Exchange(sent, "proposed").message())


def test_no_changes_at_all_are_taken() -> None:
    """A message that names no position is odd but harmless."""
    for form in FORMS:
        inputs = Exchange(form, "proposed")
        for meta in ({"since": ROUND - 1}, {"after": 0}):
            message = replace(inputs.message(), meta=meta)
            kind = form if "since" in meta else str(inputs.update.values.dtype).removeprefix("torch.")
            base = torch.zeros(CHANGED)
            data = encode_chosen(base, base, torch.tensor([], dtype=torch.int64), kind, 128)
            message = replace(message, tensors={"values": torch.frombuffer(bytearray(data), dtype=torch.uint8)})
            reader = inputs.receiver()
            inputs.deliver(reader, message)
            assert inputs.old is not None
            assert torch.equal(reader.held[1].values, inputs.old.values)


def test_nobody_passes_on_where_nobody_relays() -> None:
    inputs = Exchange("bfloat16")
    message = inputs.message(sender=2)
    inputs.deliver(inputs.receiver(), message)
    for method, relay in (("bank", False), ("ffa", True)):
        rules = UpdateRules(get_method(method), inputs.factory, ExchangeConfig(), ROUND, relay)
        with pytest.raises(PayloadError, match="device 2 relayed a message of device 1, but nobody relays here"):
            inputs.deliver(inputs.receiver(), message, rules)


def told(
    changes: Mapping[str, Any] | None = None, drop: str = "", which: int = 0, kind: str = "orthogonal", **parts: Any
) -> list[Message]:
    """Return a device's announcement, statistics and codes with changes in the meta of one, or other ``parts``."""
    found = to_messages(announced(1, kind=kind), replace_codes(get_method("bank")), LAYERS)
    meta = {**found[which].meta, **(changes or {})}
    meta.pop(drop, None)
    found[which] = decode(encode(replace(found[which], **{"meta": meta, **parts})))
    return found


def hear(messages: list[Message], kind: str = "orthogonal", **more: Any) -> Announcement:
    recipe = announced(0, kind=kind).recipe
    return from_messages(messages, LAYERS, recipe, method=get_method("bank"), width=WIDTH, **more)


def test_an_announcement_says_what_was_announced() -> None:
    for kind in ("orthogonal", "gaussian"):
        own, found = announced(1, kind=kind), hear(told(kind=kind), kind)
        assert (found.device, found.group, found.samples, found.recipe) == (1, "b", 20, own.recipe)
        assert found.mask_digest == own.mask_digest
        assert found.statistics is not None
        assert own.statistics is not None
        np.testing.assert_allclose(found.statistics.mean, own.statistics.mean, rtol=2**-8)
        assert found.codes is not None


RECIPE = [3, "orthogonal", 1, RANK, 1]


def recipe(place: int, value: Any) -> dict[str, Any]:
    return {"recipe": [*RECIPE[:place], value, *RECIPE[place + 1 :]]}


@pytest.mark.parametrize(
    ("messages", "part"),
    [
        ([], "without messages"),
        (told(drop="group"), "lacks its group"),
        (told(drop="samples"), "lacks its samples"),
        (told(drop="recipe"), "lacks its recipe"),
        (told(drop="fingerprint"), "lacks its fingerprint"),
        (told({"group": ""}), "is '': expected text of 1 to 256 characters"),
        (told({"group": "x" * 50_000}), "is 'xxx"),
        (told({"group": 3}), "is 3"),
        (told({"samples": 10**18}), "is 1000000000000000000: expected a whole number from 1 to 1000000000"),
        (told({"samples": -5}), "is -5"),
        (told({"samples": 0}), "is 0"),
        (told({"samples": True}), "is True"),
        (told({"samples": 3.5}), r"is 3\.5"),
        (told({"samples": "9"}), "is '9'"),
        (told({"voted": 1}), "sent 1 as `voted`"),
        (told(recipe(3, 5_000_000)), "projections of rank 5000000, expected 4"),
        (told(recipe(3, 10**12)), "is 1000000000000: expected a whole number from 1 to 2147483647"),
        (told(recipe(3, 0)), "is 0"),
        (told(recipe(3, 4.0)), r"is 4\.0"),
        (told(recipe(1, "gaussian")), "of kind 'gaussian', expected 'orthogonal'"),
        (told(recipe(1, "x" * 10_000)), "is 'xxx"),
        (told(recipe(0, 4)), "of seed 4, expected 3"),
        (told(recipe(0, -1)), "is -1"),
        (told(recipe(2, 6)), "is 6: expected a whole number from 0 to 5"),
        (told(recipe(2, 1 << 40)), "is 1099511627776"),
        (told(recipe(2, -1)), "is -1"),
        (told(recipe(2, 0)), "generates another projection"),
        (told(recipe(4, 2)), "of generator 2, expected 1"),
        (told({"recipe": RECIPE[:4]}), "expected seed, kind, block, rank and generator"),
        (told({"recipe": {}}), "expected seed"),
        (told({"fingerprint": None}), "is None"),
        (told({"fingerprint": {"integers": "0" * 16}}), "lacks its probes"),
        (told({"fingerprint": {"integers": 16, "probes": [0.0] * 4}}), "is 16"),
        (told({"fingerprint": {"integers": "0" * 17, "probes": [0.0] * 4}}), "text of 1 to 16"),
        (told({"fingerprint": {"integers": "0" * 16, "probes": [0.0] * 8}}), "expected 4 numbers"),
        (told({"fingerprint": {"integers": "0" * 16, "probes": ["0"] * 4}}), "is '0'"),
        (told({"fingerprint": {"integers": "0" * 16, "probes": [10**400] * 4}}), "expected a finite number"),
        (told({"fingerprint": {"integers": "0" * 16, "probes": [0.0] * 4}}), "generates another projection"),
        (told(tensors={}), "came without its mask"),
        (told(tensors={"mask": torch.zeros(20)}), "type float32, expected uint8"),
        (told(tensors={"mask": packed(np.arange(9), sum(SIZES) + 1)}), "a mask of 2401 positions"),
        (told(round=1), "a message of round 1 in round 0"),
        ([replace(told()[0], kind="router")], "kind 'router' came, expected one of kind announce"),
        (told(which=1, drop="count"), "lacks its count"),
        (told({"count": 0}, which=1), "is 0"),
        (told({"count": 10**18}, which=1), "is 1000000000000000000"),
        (told({"count": "20"}, which=1), "is '20'"),
        (told(which=1, tensors={"mean": torch.zeros(WIDTH)}), "without eigenvalues and eigenvectors and diagonal"),
        (told(which=1, source=2), "has a part of device 2"),
        ([told()[0], told()[1], told()[1]], "has a duplicate part"),
        ([told()[0], told()[2], told()[2]], "has a duplicate part"),
        (told(which=2, tensors={"codes": torch.zeros(5)}), r"shape \[5\], expected \[\d+\]"),
        (told(which=2, tensors={"codes": torch.full((sum(places(LAYERS).values()),), NAN)}), "not finite"),
    ],
)  # fmt: skip
def test_an_announcement_that_cannot_be_is_refused(messages: list[Message], part: str) -> None:
    with pytest.raises(PayloadError, match=part) as caught:
        hear(messages)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "tensor", "part"),
    [
        ("mean", torch.zeros(WIDTH + 1), "shape"),
        ("mean", torch.zeros(1), "shape"),
        ("mean", torch.full((WIDTH,), INF), "not finite"),
        ("mean", torch.zeros(WIDTH, dtype=torch.int64), "expected floating point"),
        ("eigenvalues", torch.tensor([1.0, 1.0, -1e-3]), "variance below 0"),
        ("eigenvalues", torch.tensor([1.0, NAN, 0.0]), "not finite"),
        ("eigenvalues", torch.ones(WIDTH + 1), "is 13: expected a whole number from 0 to 12"),
        ("eigenvalues", torch.ones(2), "shape"),
        ("eigenvectors", torch.zeros(3, WIDTH), "shape"),
        ("eigenvectors", torch.full((WIDTH, 3), NAN), "not finite"),
        ("diagonal", torch.full((WIDTH,), -1.0), "variance below 0"),
        ("embedding", torch.zeros(WIDTH, 1), "shape"),
        ("limits", torch.ones(3), "shape"),
        ("limits", torch.tensor([1.0, INF]), "not finite"),
        ("limits", torch.tensor([2.0, 1.0]), "above the limit"),
        ("other", torch.zeros(WIDTH), "'other' that is not part of it"),
    ],
)
def test_statistics_that_cannot_be_are_refused(name: str, tensor: torch.Tensor, part: str) -> None:
    tensors = {**told()[1].tensors, name: tensor}
    with pytest.raises(PayloadError, match=part):
        hear(told(which=1, tensors=tensors))


def test_a_recipe_is_held_against_the_configuration_before_anything_is_generated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gaussian projection of rank 5e6 took 17 seconds, one of 1e12 all memory."""
    first = told(kind="gaussian")[0]
    for name in ("_gaussian", "_cosine_rows"):
        monkeypatch.delattr(projection, name)
    tracemalloc.start()
    for rank in (5_000_000, 10**12, (1 << 31) - 1):
        message = replace(first, meta={**first.meta, "recipe": [3, "gaussian", 1, rank, 1]})
        with pytest.raises(PayloadError, match="rank"):
            hear([message], "gaussian")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_what_a_receiver_knows_of_others_bounds_an_announcement_too() -> None:
    messages = told()
    assert hear(messages, receiver=Receiver(5, 0, [1, 2])).device == 1
    with pytest.raises(PayloadError, match="names it as its sender"):
        hear(messages, receiver=Receiver(5, 1))
    with pytest.raises(PayloadError, match="names device 1 as its sender, which has not announced itself"):
        hear(messages, receiver=Receiver(5, 0, [2, 3]))
    passed = [replace(message, sender=2) for message in messages]
    assert hear(passed, receiver=Receiver(5, 0)).device == 1
    with pytest.raises(PayloadError, match="but nobody relays here"):
        hear(passed, receiver=Receiver(5, 0, relays=False))


@pytest.mark.parametrize(
    ("message", "kind", "part"),
    [
        (Message("proposal", 2, 0, 2, {}, {}), "proposal", "without mask"),
        (Message("proposal", 2, 0, 2, {}, {"mask": packed(np.arange(4), 99)}), "proposal", "a mask of 99 positions"),
        (Message("proposal", 2, 0, 2, {}, {"mask": torch.zeros(13, dtype=torch.int8)}), "proposal", "expected uint8"),
        (Message("proposal", 2, 1, 2, {}, {"mask": packed(np.arange(4), sum(SIZES))}), "proposal", "round 1"),
        (Message("claim", 2, 0, 2, {}, {"mask": packed(np.arange(4), sum(SIZES))}), "claim", "lacks its group"),
        (Message("claim", 2, 0, 2, {"group": "a"}, {"mask": packed(np.arange(4), 5)}), "proposal", "kind 'claim'"),
    ],
)
def test_claims_that_cannot_be_are_refused(message: Message, kind: Any, part: str) -> None:
    with pytest.raises(PayloadError, match=part):
        read_mask(coded_claim(decode(encode(message)), kind, Receiver()), SIZES)
