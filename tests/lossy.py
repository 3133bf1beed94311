"""Links in memory that lose, repeat, delay, damage and break, and a clock that is set by hand."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from meshtune.node.transfer.endpoint import Endpoint
from meshtune.wire.payload import decode


@dataclass
class ManualClock:
    """Says what it was told."""

    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds


@dataclass
class LossyLinks:
    """Carries messages between endpoints, in simulated time.

    Attributes:
        clock: is set on to when the next message arrives or the next endpoint has something to do.
        draw: decides what becomes of a message.
        lost, twice, damaged: probabilities.
        delay: least and most seconds on the way; messages overtake each other.
        cut: pairs (sender, receiver) between which nothing gets through.
        sent: messages by kind.
    """

    clock: ManualClock
    draw: Random
    lost: float = 0.0
    twice: float = 0.0
    damaged: float = 0.0
    delay: tuple[float, float] = (0.01, 0.2)
    cut: set[tuple[int, int]] = field(default_factory=set)
    ends: dict[int, Endpoint] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    under_way: list[tuple[float, int, int, int, bytes]] = field(default_factory=list)
    number: int = 0

    def attach(self, device: int, deliver: Callable[[int, bytes, float], None], **settings: Any) -> Endpoint:
        """Return an endpoint of ``device`` on these links."""
        self.ends[device] = Endpoint(device, Port(device, self), deliver, self.clock, **settings)
        return self.ends[device]

    def put(self, sender: int, receiver: int, data: bytes) -> None:
        self.sent[decode(data).kind] += 1
        if (sender, receiver) in self.cut or self.draw.random() < self.lost:
            return
        for _ in range(1 + (self.draw.random() < self.twice)):
            arrives = self.clock.now() + self.draw.uniform(*self.delay)
            if self.draw.random() < self.damaged:
                at = self.draw.randrange(len(data))
                data = data[:at] + bytes([data[at] ^ 1 << self.draw.randrange(8)]) + data[at + 1 :]
            self.number += 1
            heapq.heappush(self.under_way, (arrives, self.number, sender, receiver, data))

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let ``seconds`` pass, or fewer if it is ``done`` before; return whether it is."""
        end = self.clock.now() + seconds
        while not done():
            due = min(one.work() for one in self.ends.values())
            now = min(due, self.under_way[0][0] if self.under_way else due)
            if now > end:
                self.clock.seconds = end
                return done()
            self.clock.seconds = max(now, self.clock.seconds)
            while self.under_way and self.under_way[0][0] <= self.clock.seconds:
                _, _, sender, receiver, data = heapq.heappop(self.under_way)
                self.arrive(sender, receiver, data)
        return True

    def arrive(self, sender: int, receiver: int, data: bytes) -> None:
        if (sender, receiver) in self.cut or receiver not in self.ends:
            return
        if b'[\\"fetch\\"' in data:
            answer = self.ends[receiver].answer(sender, data)
            if answer is not None:
                self.put(receiver, sender, answer)
        else:
            self.ends[receiver].receive(sender, data)


@dataclass
class Port:
    """The transport of one device."""

    device: int
    links: LossyLinks

    def announce(self, receiver: int, data: bytes) -> None:
        self.links.put(self.device, receiver, data)

    def fetch(self, holder: int, data: bytes) -> None:
        self.links.put(self.device, holder, data)

    def alive(self, data: bytes) -> None:
        for receiver in self.links.ends:
            if receiver != self.device:
                self.links.put(self.device, receiver, data)
