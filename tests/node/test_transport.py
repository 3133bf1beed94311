"""What is carried is counted, copy by copy, before it may be lost."""

from __future__ import annotations

from collections.abc import Sequence

from meshtune.node.envelope import Envelope
from meshtune.node.transport import CountedTransport, MemoryTransport
from meshtune.wire.ledger import Ledger

SENT = [
    Envelope(0, 1, 0, 3, b"x" * 30, {"values": 20, "control": 10}),
    Envelope(0, 2, 0, 3, b"x" * 30, {"values": 20, "control": 10}),
    Envelope(2, 1, 0, 3, b"x" * 30, {"values": 20, "control": 10}),
]


class Losing:
    """Loses all but the last."""

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        return envelopes[-1:]


def test_memory_carries_everything_in_order() -> None:
    assert list(MemoryTransport().carry(SENT)) == SENT
    assert list(MemoryTransport().carry([])) == []


def test_every_copy_counts_for_its_sender_and_what_is_passed_on_as_relayed() -> None:
    ledger = Ledger()
    transport = CountedTransport(Losing(), ledger, "bank", 3)
    assert list(transport.carry(SENT)) == SENT[-1:]
    assert ledger.per_device("bank")[0]["values"] == 40
    assert ledger.per_device("bank")[0]["control"] == 20
    assert ledger.per_device("bank")[2]["relayed"] == 30
    assert list(ledger.per_round("bank")) == [3]
    assert sum(ledger.total("bank").values()) == 90
    assert sum(ledger.total("lora").values()) == 0
