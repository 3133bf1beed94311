"""What a receiver holds against what it knows: each check by its own sentence, and what fits passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from meshtune.errors import EarlyError, ForeignError, MalformedError, PayloadError
from meshtune.wire.payload import Message
from meshtune.wire.validation import Receiver, check_envelope, check_tensors, numbers, packed


def message(
    sender: Any = 3, round_: Any = 4, source: Any = 5, kind: str = "update", **tensors: torch.Tensor
) -> Message:
    return Message(kind, sender, round_, source, {}, tensors)


KNOWS = Receiver(round=4, device=0, devices=[0, 3, 5])


@pytest.mark.parametrize(
    ("one", "receiver"),
    [
        (message(), KNOWS),
        (message(round_=1), KNOWS),
        (message(sender=5), Receiver(4, 0, [5], relays=False)),
        (message(sender=99, source=77), Receiver(4, 0)),
        (message(sender=0, source=0), Receiver(4)),
    ],
)
def test_what_fits_passes(one: Message, receiver: Receiver) -> None:
    check_envelope(one, "update", receiver)


@pytest.mark.parametrize(
    ("one", "receiver", "error", "sentence"),
    [
        (message(kind="have"), KNOWS, MalformedError, "a message of kind 'have' came, expected one of kind update"),
        (message(sender=0), KNOWS, ForeignError, "device 0 was sent a message that names it as its sender"),
        (message(source=0), KNOWS, ForeignError, "device 0 was sent a message that names it as its source"),
        (
            message(sender=9),
            KNOWS,
            ForeignError,
            "a message names device 9 as its sender, which has not announced itself",
        ),
        (
            message(source=9),
            KNOWS,
            ForeignError,
            "a message names device 9 as its source, which has not announced itself",
        ),
        (
            message(),
            Receiver(4, 0, relays=False),
            ForeignError,
            "device 3 relayed a message of device 5, but nobody relays here",
        ),
        (message(round_=5), KNOWS, EarlyError, "device 3 sent a message of round 5 in round 4"),
    ],
)
def test_an_envelope_that_cannot_be(one: Message, receiver: Receiver, error: type[PayloadError], sentence: str) -> None:
    with pytest.raises(PayloadError) as caught:
        check_envelope(one, "update", receiver)
    assert type(caught.value) is error
    assert str(caught.value) == sentence


def test_tensors_are_those_that_are_needed_or_allowed() -> None:
    one = message(a=torch.zeros(1), b=torch.zeros(1))
    check_tensors(one, ["a"], ["b", "c"])
    check_tensors(one, ["b", "a"])
    for needed, allowed, sentence in (
        (["a", "c", "d"], ["b"], "an update message of device 5 came without c and d"),
        (["a"], [], "an update message of device 5 came with a tensor 'b' that is not part of it"),
        ([], ["c"], "an update message of device 5 came with a tensor 'a' that is not part of it"),
    ):
        with pytest.raises(MalformedError) as caught:
            check_tensors(one, needed, allowed)
        assert str(caught.value) == sentence
    with pytest.raises(MalformedError, match=r"^a block message of device 5 came without a$"):
        check_tensors(message(kind="block"), ["a"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_finite_numbers_of_the_shape_are_returned_as_they_are(dtype: torch.dtype) -> None:
    tensor = torch.arange(6, dtype=dtype).reshape(2, 3)
    assert numbers(message(x=tensor), "x", (2, 3)) is tensor
    assert packed(message(x=tensor[0]), "x", None, []) is not None


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(3, 2), "x of shape '[3, 2]', expected [2, 3]"),
        (torch.zeros(6), "x of shape '[6]', expected [2, 3]"),
        (torch.zeros(1, 2, 3), "x of shape '[1, 2, 3]', expected [2, 3]"),
        (torch.zeros(2, 3, dtype=torch.int64), "x of type int64, expected float32 or bfloat16"),
        (torch.zeros(2, 3, dtype=torch.float64), "x of type float64, expected float32 or bfloat16"),
        (torch.tensor([[0, 0, 0], [0, 0, torch.nan]]), "x that are not finite"),
        (torch.tensor([[torch.inf, 0, 0], [0, 0, 0]]), "x that are not finite"),
    ],
)
def test_numbers_that_cannot_be(tensor: torch.Tensor, said: str) -> None:
    with pytest.raises(MalformedError) as caught:
        numbers(message(x=tensor), "x", (2, 3), ["float32", "bfloat16"])
    assert str(caught.value) == f"an update message of device 5 has {said}".replace("'", "")


def test_whole_numbers_are_no_floating_point_whatever_types_are_allowed() -> None:
    with pytest.raises(MalformedError, match=r"has x of type int32, expected floating point"):
        numbers(message(x=torch.zeros(2, dtype=torch.int32)), "x", (2,))


def test_a_vector_may_have_any_length_but_one_dimension() -> None:
    for tensor in (torch.zeros(0, dtype=torch.uint8), torch.zeros(9, dtype=torch.uint8)):
        assert packed(message(x=tensor), "x", None, ["uint8"]) is tensor
    for shape, said in (((), r"\[\]"), ((3, 1), r"\[3, 1\]")):
        with pytest.raises(MalformedError, match=f"has x of shape {said}, expected a vector"):
            packed(message(x=torch.zeros(shape, dtype=torch.uint8)), "x", None, ["uint8"])
