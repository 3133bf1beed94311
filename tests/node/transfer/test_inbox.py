"""Offers are dealt with in the order of their numbers, in whichever order they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.errors import OversizedError, StaleError
from meshtune.node.transfer.inbox import Inbox
from meshtune.node.transfer.transfer_messages import Offer, Taken, content_of


def offer(number: int, oldest: int = 1, session: int = 0) -> Offer:
    return Offer(session, number, oldest, 0, 0, content_of(b"%d" % number))


def drained(inbox: Inbox, sender: int) -> list[int]:
    found = []
    while (head := inbox.head(sender)) is not None:
        found.append(head.number)
        inbox.pop(sender)
    return found


@given(st.permutations(range(1, 8)), st.lists(st.integers(1, 7), max_size=5))
def test_each_is_dealt_with_once_and_in_order(order: list[int], again: list[int]) -> None:
    inbox, found = Inbox(10), list[int]()
    for number in [*order, *again]:
        inbox.put(5, offer(number))
        found += drained(inbox, 5)
    assert found == [1, 2, 3, 4, 5, 6, 7]
    assert inbox.taken(5) == Taken(0, 7)


def test_what_is_offered_no_more_is_not_waited_for() -> None:
    inbox = Inbox(10)
    inbox.put(5, offer(2))
    inbox.put(5, offer(6))
    assert drained(inbox, 5) == []
    inbox.put(5, offer(7, oldest=6))
    assert drained(inbox, 5) == [6, 7]
    inbox.put(5, offer(3, oldest=1))
    assert drained(inbox, 5) == []


def test_a_new_session_begins_anew_and_an_old_one_is_over() -> None:
    inbox = Inbox(10)
    for number in (1, 2, 4):
        inbox.put(5, offer(number))
    assert drained(inbox, 5) == [1, 2]
    inbox.put(5, offer(1, session=3))
    assert drained(inbox, 5) == [1]
    assert inbox.taken(5) == Taken(3, 1)
    with pytest.raises(StaleError, match="a past session"):
        inbox.put(5, offer(3))


def test_offers_that_wait_are_bounded() -> None:
    inbox = Inbox(10)
    inbox.put(5, offer(2))
    inbox.put(5, offer(10))
    with pytest.raises(OversizedError, match="more than 10 offers at once"):
        inbox.put(5, offer(11))


def test_who_comes_back_is_not_heard_twice() -> None:
    inbox = Inbox(10)
    inbox.put(5, offer(1))
    assert drained(inbox, 5) == [1]
    inbox.put(5, offer(2))
    inbox.forget(5)
    inbox.forget(6)
    assert inbox.head(5) is None
    inbox.put(5, offer(1))
    assert drained(inbox, 5) == []


def test_wanted_is_what_is_due_and_offering_is_everybody() -> None:
    inbox = Inbox(10)
    inbox.put(5, offer(1))
    inbox.put(5, offer(2))
    inbox.put(6, offer(2, oldest=2))
    assert inbox.wanted() == {content_of(b"1"): [5], content_of(b"2"): [6]}
    assert inbox.offering(content_of(b"2")) == [5, 6]
