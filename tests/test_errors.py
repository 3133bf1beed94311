"""Remedies that hold as they are said, names that are nearly right, and sentences of runs that diverged."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshtune import errors
from meshtune.errors import DivergedError, MeshtuneError, PayloadError, UserError, check_name, enough


@given(st.floats(1e-12, 1e15))
@example(1.2345)
@example(9.9994)
@example(104857.7776)
def test_what_is_said_to_be_enough_is(number: float) -> None:
    assert number <= float(enough(number)) <= number * 1.0012
    assert len(enough(number).partition("e")[0].replace(".", "").strip("0")) <= 4


NAMES = ["whitened", "top1", "cosine"]


def test_a_known_name_comes_back_and_a_slip_gets_the_nearest() -> None:
    assert check_name("router", "top1", NAMES) == "top1"
    with pytest.raises(UserError, match=r"^there is no router called whitend: did you mean whitened\?$"):
        check_name("router", "whitend", NAMES)
    with pytest.raises(UserError, match=r"^there is no router called zzz: choose from whitened, top1, cosine$"):
        check_name("router", "zzz", NAMES)


@given(st.text(max_size=90))
def test_any_other_name_is_refused_on_one_line(name: str) -> None:
    if name in NAMES:
        assert check_name("router", name, NAMES) == name
        return
    with pytest.raises(UserError) as caught:
        check_name("router", name, NAMES)
    assert not any(unicodedata.category(letter)[0] == "C" for letter in str(caught.value))
    assert len(str(caught.value)) < 150


def test_training_that_diverged_names_what_and_where() -> None:
    error = DivergedError("its loss is nan at step 3", 4)
    assert isinstance(error, UserError)
    assert str(error) == (
        "training diverged, its loss is nan at step 3: start again in another folder with a lower learning rate"
    )
    assert (error.what, error.number) == ("its loss is nan at step 3", 4)
    known = DivergedError("its loss is nan", sentence="lora diverged on device 2")
    assert (str(known), known.what, known.number) == ("lora diverged on device 2", "its loss is nan", 0)


def test_what_the_user_can_mend_and_what_a_device_sends_are_two_families() -> None:
    """A node that catches refused messages must not swallow a user's mistake, nor the other way round."""
    raised = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, MeshtuneError)]
    assert len(raised) >= 9
    assert {one for one in raised if issubclass(one, UserError) and issubclass(one, PayloadError)} == set()
    assert {one for one in raised if not issubclass(one, UserError | PayloadError)} == {MeshtuneError}
