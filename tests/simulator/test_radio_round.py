"""One window on the air: what becomes of each envelope, and what it costs, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from airtime import least_power, update_bits
from flying import RANK, world
from meshtune.config.config_file import validate
from meshtune.network.site import open_site
from meshtune.network.virtual_clock import RoundCost, VirtualClock
from meshtune.node.envelope import Envelope
from meshtune.simulator import radio_round as window
from meshtune.simulator.radio_round import LinkOutcome, RadioRound
from meshtune.wire.ledger import Ledger

# 30 m from 0 to 1, 40 m from 0 to 2; 3 is out of reach of any power.
PLACES = [(0.0, 0.0), (30.0, 0.0), (0.0, 40.0), (9e7, 0.0)]
ARRIVED, LOST, OUTAGE = LinkOutcome.ARRIVED, LinkOutcome.LOST, LinkOutcome.OUTAGE


def opened(seed: int = 0, **radio: Any) -> RadioRound:
    settings = {"fading": "none", **radio}
    tree = {"tasks": ["boolq"], "devices": {"count": 4}, "places": {"positions": PLACES}, "seed": seed}
    site = open_site(validate({**tree, "radio": settings}, "the test"))
    assert site is not None
    tick = RoundCost()
    return RadioRound(site, np.array(PLACES), "bank", 1, Ledger(), tick, VirtualClock([], tick))


def letter(sender: int, receiver: int, count: int, source: int | None = None) -> Envelope:
    split: Mapping[str, int] = {"values": count - 10, "control": 10}
    return Envelope(sender, receiver, sender if source is None else source, 1, bytes(count), split)


def test_a_frame_is_as_long_as_the_longest_message_and_what_cannot_be_paid_is_never_sent() -> None:
    one = opened()
    sent = [letter(0, 1, 1_000_000), letter(0, 2, 500_000), letter(2, 0, 1000, source=1), letter(1, 3, 1_000_000)]
    outcomes, lasts = one.send(sent)
    assert outcomes == [ARRIVED, ARRIVED, ARRIVED, OUTAGE]
    assert lasts == 0.75
    joules = 0.5 * (
        least_power(8e6, 30, u=2) + least_power(8e6, 40, u=2) + least_power(8000, 40)
    )  # both of device 0's in frames of a megabyte
    assert one.tick.sending == pytest.approx(joules, rel=1e-6, abs=0)
    assert one.tick.airtime == pytest.approx(2 * 0.5)
    assert (one.tick.lost, one.tick.outages) == (0, 0)
    by = one.ledger.per_device("bank")
    assert (by[0]["values"], by[0]["control"]) == (1_500_000 - 20, 20)
    assert by[2]["relayed"] == 1000
    assert list(by) == [0, 2]
    assert one.windows == 1


def test_who_begins_too_late_is_not_heard_though_it_pays() -> None:
    for start, end, outcome in ((0.24, None, ARRIVED), (0.26, None, LOST), (0.24, 0.7, LOST), (1.0, 1.5, ARRIVED)):
        one = opened()
        outcomes, lasts = one.send([letter(0, 1, 1000), letter(1, 0, 1000)], np.array([start, 0, 0, 0]), end)
        assert outcomes == [outcome, ARRIVED]
        assert lasts == 0.75
        assert one.tick.lost == (outcome is LOST)
        assert sum(one.ledger.per_device("bank")[0].values()) == 1000
        assert one.tick.airtime == pytest.approx(1.0)


def test_turns_on_a_shared_band_take_their_time() -> None:
    one = opened(spectrum="shared")
    outcomes, lasts = one.send([letter(0, 1, 1000), letter(1, 0, 1000)])
    assert outcomes == [ARRIVED, ARRIVED]
    assert lasts == 1.25
    one = opened(spectrum="shared")
    assert one.send([letter(0, 1, 1000), letter(1, 0, 1000)], end=0.9)[0] == [ARRIVED, LOST]


def test_each_window_of_a_round_has_losses_of_its_own() -> None:
    one = opened(loss={"probability": 0.5, "packet": 100, "retransmissions": 0})
    drawn = [one.send([letter(0, 1, 100), letter(1, 0, 100)])[0] for _ in range(40)]
    lost = sum(outcome is LOST for outcomes in drawn for outcome in outcomes)
    assert one.windows == 40
    assert 20 <= lost <= 60
    assert one.tick.lost == lost
    later = opened(loss={"probability": 0.5, "packet": 100, "retransmissions": 0})
    later.round = 2
    second = [later.send([letter(0, 1, 100), letter(1, 0, 100)])[0] for _ in range(40)]
    assert second != drawn
    assert second[:-1] != drawn[1:]  # nor are they those of the window after in the round before
    again = opened(loss={"probability": 0.5, "packet": 100, "retransmissions": 0})
    assert [again.send([letter(0, 1, 100), letter(1, 0, 100)])[0] for _ in range(40)] == drawn


def test_nothing_to_send_costs_nothing() -> None:
    one = opened()
    assert one.send([]) == ([], 0.75)
    assert one.tick == RoundCost()


@pytest.mark.parametrize("cast", ["unicast", "broadcast"])
def test_lost_packets_are_sent_again_and_counted_to_the_byte(cast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    plain = window.deliver

    def deliver(*args: Any) -> Any:
        found = plain(*args)
        sent.append(int(found.sender_bytes.sum()))
        return found

    monkeypatch.setattr(window, "deliver", deliver)
    radio = {"fading": "none", "cast": cast, "loss": {"probability": 0.3, "packet": 16}}
    where = [(0.0, 0.0), (30.0, 0.0), (0.0, 30.0)]
    w = world("lora", where, "aaa", radio=radio, clusters={"inner_rounds": 1000})
    for number in range(1, 4):
        sent.clear()
        w.play()
        counted = w.state.ledger.per_round("lora")[number]
        assert sum(counted.values()) - counted.get("inventory", 0) == sum(sent)
        copies = 3 if cast == "broadcast" else 6
        assert counted["values"] + counted["control"] == copies * update_bits(2 * RANK * (64 + 40), number) / 8
        assert counted["repeated"] > 0


def test_a_broadcast_leaves_a_device_once() -> None:
    w = world("bank", [(0.0, 0.0), (30.0, 0.0), (0.0, 40.0)], radio={"fading": "none", "cast": "broadcast"})
    w.play()
    counted = w.state.ledger.per_round("bank")[1]
    assert counted["values"] + counted["control"] == 3 * update_bits(32) / 8
    tick = w.state.clocks["bank"][1]
    bits = update_bits(32)
    longest = (40.0, 50.0, 50.0)  # each pays for its weakest neighbour
    assert tick.sending == pytest.approx(sum(least_power(bits, metres) * 0.5 for metres in longest), rel=1e-9, abs=0)
    assert tick.airtime == pytest.approx(3 * 0.5)
