"""One radio window: who sends what to whom simultaneously, what arrives in time, and what it costs.

Every device has one frame length, that of its longest message in the window; the link budget is computed for it. Bytes
are those of the messages plus retransmitted packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from meshtune.network.site import Site
from meshtune.network.virtual_clock import SLACK, RoundCost, VirtualClock
from meshtune.node.envelope import Envelope
from meshtune.wire.ledger import REPEATED, Ledger
from meshtune.wireless.arrays import Floats
from meshtune.wireless.delivery import deliver
from meshtune.wireless.link_budget import over_the_air


class LinkOutcome(Enum):
    """The fate of an envelope: it arrived in time, did not, or was never sent because the link was in outage."""

    ARRIVED = "arrived"
    LOST = "lost"
    OUTAGE = "outage"


@dataclass
class RadioRound:
    """What the windows of one method in one round share.

    Attributes:
        site: channel and radio.
        positions: (n, 2) positions of the devices in this round, in metres.
        method: its name, for the ledger.
        round: its number, from 1.
        ledger: counts bytes.
        tick: counts energy, airtime and losses.
        clock: tells the time.
        windows: the number of windows so far in this round.
    """

    site: Site
    positions: Floats
    method: str
    round: int
    ledger: Ledger
    tick: RoundCost
    clock: VirtualClock
    windows: int = 0

    def send(
        self, envelopes: Sequence[Envelope], starts: Floats | None = None, end: float | None = None
    ) -> tuple[list[LinkOutcome], float]:
        """Send ``envelopes`` simultaneously.

        Args:
            envelopes: at most one per link, and in a broadcast one message per sender.
            starts: (n,) seconds at which each device can begin; None for immediately.
            end: the deadline for arrival in seconds; None for Gamma per turn plus the slack.

        Returns:
            The outcome of each envelope, and Gamma per turn plus the slack in seconds.
        """
        radio, ledger, devices = self.site.radio, self.ledger, len(self.positions)
        starts = np.zeros(devices) if starts is None else starts
        one_copy = radio.cast == "broadcast"
        sender = np.array([one.sender for one in envelopes], dtype=np.int64)
        receiver = np.array([one.receiver for one in envelopes], dtype=np.int64)
        frame = np.zeros(devices, dtype=np.int64)
        np.maximum.at(frame, sender, [len(one.data) for one in envelopes])
        budget = over_the_air(radio, self.site.channel, self.positions, sender, receiver, 8 * frame, self.round)
        number = self.round + (self.windows << 32)  # each window draws its own losses
        found = deliver(radio.loss, budget, sender, receiver, frame, self.site.config.seed, number, one_copy)
        self.windows += 1
        lasts = (int(budget.slot.max(initial=0)) + 1 + SLACK) * radio.gamma
        end = lasts if end is None else end
        outcomes, charged, longest = [], set(), np.zeros(devices)
        for at, one in enumerate(envelopes):
            s = one.sender
            if not budget.served[at]:
                outcomes.append(LinkOutcome.OUTAGE)
                continue
            if not (one_copy and s in charged):
                again = int(found.sent_bytes[at] - frame[s])
                ledger.record(self.method, self.round, s, one.receiver, one.split, one.relayed)
                if again:
                    ledger.record(self.method, self.round, s, one.receiver, {REPEATED: again}, relayed=False)
            charged.add(s)
            longest[s] = max(longest[s], found.delay[at])
            if found.arrived[at] and starts[s] + budget.slot[s] * radio.gamma + found.delay[at] <= end * (1 + 1e-12):
                outcomes.append(LinkOutcome.ARRIVED)
            else:
                self.tick.lost += 1
                outcomes.append(LinkOutcome.LOST)
        self.tick.sending += float(found.sender_energy.sum())
        self.tick.airtime += float(longest.sum())
        return outcomes, lasts
