"""Free links: all publish before anybody sends, each copy is counted, and what came damaged is sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exchanges import DEVICES, FULL, Recorder, play, start
from meshtune.methods.registry import get_method
from meshtune.node.envelope import Envelope
from meshtune.node.node import Node
from meshtune.simulator.free_links import FreeExchange
from meshtune.wire.ledger import Ledger


class DamagingOnce:
    """Flips a bit of the first message that it carries."""

    def __init__(self) -> None:
        self.carried: list[list[Envelope]] = []

    def carry(self, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        self.carried.append(list(envelopes))
        if len(self.carried) > 1:
            return envelopes
        first = envelopes[0]
        bits = bytearray(first.data)
        bits[-1] ^= 1
        return [Envelope(first.sender, first.receiver, first.source, first.version, bytes(bits), first.split),
                *envelopes[1:]]  # fmt: skip


def test_everything_arrives_and_is_counted_for_its_sender() -> None:
    method, state, factory = start("bank")
    air, heard = Recorder(), list[tuple[float, Envelope]]()
    play(method, state, factory, FULL, "bfloat16", transport=air)
    per = state.ledger.per_device("bank")
    for device in range(DEVICES):
        sent = [one for one in air.sent if one.sender == device]
        assert len(sent) >= DEVICES - 1
        assert sum(per[device].values()) == sum(len(one.data) for one in sent)
    nodes = state.nodes["bank"]
    FreeExchange(listener=lambda now, one: heard.append((now, one))).exchange(method, nodes, 2, Ledger())
    assert len(heard) >= DEVICES * (DEVICES - 1)
    assert {now for now, _ in heard} == {0.0}


def test_all_have_published_before_anybody_sends() -> None:
    diary: list[str] = []

    class Writing:
        """A node that writes down what it is asked."""

        def __init__(self, device: int) -> None:
            self.device = device

        def publish(self) -> None:
            diary.append(f"publish {self.device}")

        def exchange(self) -> list[Envelope]:
            diary.append(f"exchange {self.device}")
            return [Envelope(self.device, 1 - self.device, self.device, 1, b"xyz", {"values": 3})]

        def corrections(self) -> list[Envelope]:
            diary.append(f"correct {self.device}")
            return []

        def receive(self, sender: int, data: bytes, now: float) -> None:
            diary.append(f"receive {self.device}")

    nodes: Any = [Writing(0), Writing(1)]
    ledger = Ledger()
    FreeExchange().exchange(get_method("lora"), nodes, 3, ledger)
    assert [line.split()[0] for line in diary] == [
        "publish", "publish", "exchange", "exchange", "receive", "receive", "correct", "correct",
    ]  # fmt: skip
    assert ledger.per_round("lora")[3]["values"] == 6


def test_what_came_damaged_is_told_of_and_sent_again_in_the_same_round() -> None:
    method, state, factory = start("bank")
    air: Any = DamagingOnce()
    play(method, state, factory, FULL, "bfloat16", transport=air, damages=True)
    nodes: list[Node] = state.nodes["bank"]
    assert sum(node.refused.total() for node in nodes) == 1
    damaged = air.carried[0][0]
    assert nodes[damaged.receiver].refused == {"MalformedError": 1}
    if len(air.carried) == 1:  # the round after brings it
        play(method, state, factory, FULL, "bfloat16", damages=True)
    held = nodes[damaged.receiver].member.held
    assert {update.version for update in held.values()} == {state.round}
