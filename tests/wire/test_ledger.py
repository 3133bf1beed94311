"""The ledger adds up what a hand adds up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtune.wire.ledger import KINDS, Ledger

NONE = dict.fromkeys(KINDS, 0)


@pytest.fixture
def three_devices() -> Ledger:
    """Devices 0 - 1 - 2 in a line: a handshake, two rounds, and in the second one relay by device 1."""
    ledger = Ledger()
    ledger.record("bank", 0, 0, 1, {"values": 0, "masks": 30, "router": 0, "control": 7}, relayed=False)
    ledger.record("bank", 0, 0, 1, {"values": 0, "masks": 0, "router": 50, "control": 5}, relayed=False)
    for round_ in (1, 2):
        ledger.record("bank", round_, 0, 1, {"values": 100, "control": 10}, relayed=False)
        ledger.record("bank", round_, 1, 0, {"values": 200, "control": 10}, relayed=False)
        ledger.record("bank", round_, 1, 2, {"values": 200, "control": 10}, relayed=False)
    ledger.record("bank", 2, 1, 2, {"values": 100, "control": 12}, relayed=True)
    ledger.record("lora", 1, 0, 1, {"values": 999, "control": 1}, relayed=False)
    return ledger


def test_totals_by_hand(three_devices: Ledger) -> None:
    assert three_devices.total("bank") == {
        "values": 2 * (100 + 200 + 200),
        "masks": 30,
        "router": 50,
        "control": 12 + 2 * 30,
        "relayed": 112,
    }
    assert three_devices.total("lora") == {**NONE, "values": 999, "control": 1}
    assert three_devices.total("local") == NONE


def test_rounds_and_devices_by_hand(three_devices: Ledger) -> None:
    assert three_devices.per_round("bank") == {
        0: {**NONE, "masks": 30, "router": 50, "control": 12},
        1: {**NONE, "values": 500, "control": 30},
        2: {**NONE, "values": 500, "control": 30, "relayed": 112},
    }
    assert three_devices.per_device("bank") == {
        0: {"values": 200, "masks": 30, "router": 50, "control": 32, "relayed": 0},
        1: {"values": 800, "masks": 0, "router": 0, "control": 40, "relayed": 112},
    }
    assert three_devices.per_round("local") == {}
    assert three_devices.per_device("local") == {}


def test_steady_payload_is_one_update_of_the_newest_round(three_devices: Ledger) -> None:
    assert three_devices.payload_bytes("bank") == 210
    assert three_devices.payload_bytes("lora") == 1000
    assert three_devices.payload_bytes("local") == 0
    three_devices.record("bank", 3, 0, 1, {"values": 60, "control": 5}, relayed=False)
    assert three_devices.payload_bytes("bank") == 65
    three_devices.record("bank", 4, 1, 2, {"values": 900, "control": 5}, relayed=True)
    assert three_devices.payload_bytes("bank") == 65


def test_what_is_no_message_is_refused_and_leaves_no_trace(three_devices: Ledger) -> None:
    before = three_devices.to_json()
    for relayed in (False, True):
        with pytest.raises(ValueError, match="gossip is not a kind of bytes"):
            three_devices.record("bank", 3, 0, 1, {"values": 5, "gossip": 1}, relayed=relayed)
        with pytest.raises(ValueError, match="-1 bytes of control"):
            three_devices.record("bank", 3, 0, 1, {"values": 5, "control": -1}, relayed=relayed)
    assert three_devices.to_json() == before


records = st.tuples(
    st.sampled_from(["bank", "lora"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.dictionaries(st.sampled_from(KINDS[:-1]), st.integers(0, 1 << 40)),
    st.booleans(),
)


@given(st.lists(records, max_size=12), st.lists(records, max_size=4))
def test_a_ledger_from_a_checkpoint_goes_on_like_the_first(
    before: list[tuple[str, int, int, int, dict[str, int], bool]],
    after: list[tuple[str, int, int, int, dict[str, int], bool]],
) -> None:
    first = Ledger()
    for record in before:
        first.record(*record)
    second = Ledger.from_json(json.loads(json.dumps(first.to_json())))
    for record in after:
        first.record(*record)
        second.record(*record)
    assert second.to_json() == first.to_json()
    for method in ("bank", "lora"):
        everything = sum(sum(r[4].values()) for r in before + after if r[0] == method)
        assert sum(second.total(method).values()) == everything
        for parts in (second.per_round(method), second.per_device(method)):
            assert sum(sum(part.values()) for part in parts.values()) == everything
        assert second.payload_bytes(method) == first.payload_bytes(method)
