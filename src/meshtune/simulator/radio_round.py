"""One window on the air: who sends what to whom at once, what of it arrives in time, and what it costs.

Every device has one frame, as long as the longest message it has for anybody; the link budget is that frame's. Bytes
are those of the messages, and of packets that were sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from meshtune.methods.state import Member, Update
from meshtune.network.site import Site
from meshtune.network.virtual_clock import SLACK, Tick
from meshtune.node.updates import Post
from meshtune.wire.ledger import REPEATED, Ledger
from meshtune.wireless.arrays import Floats
from meshtune.wireless.delivery import deliver
from meshtune.wireless.link_budget import over_the_air

Offer = tuple[int, int, Update]
"""Sender, receiver, and what is sent; at most one a link, and in a broadcast one a sender."""


class Fate(Enum):
    """What became of an offer: it arrived in time, or not, or was never sent as the link was in outage."""

    ARRIVED = "arrived"
    LOST = "lost"
    OUTAGE = "outage"


@dataclass
class Sky:
    """What windows of one method in one round have in common.

    Attributes:
        site: channel and radio.
        positions: (n, 2) metres of the devices in this round.
        method: its name, for the ledger.
        round: its number, from 1 on.
        members: one per device, by id.
        post: encodes and opens messages.
        ledger: counts bytes.
        tick: counts energy, airtime and losses.
        windows: how many there have been in this round.
    """

    site: Site
    positions: Floats
    method: str
    round: int
    members: Sequence[Member]
    post: Post
    ledger: Ledger
    tick: Tick
    windows: int = 0

    def version(self, device: int, source: int) -> int:
        """Return the version of ``source``'s update that ``device`` holds, 0 for none; neighbours know it."""
        held = self.members[device].held.get(source)
        return 0 if held is None else held.version

    def send(self, offers: Sequence[Offer], starts: Floats, end: float | None = None) -> tuple[list[Fate], float]:
        """Send ``offers`` at once and deliver what arrives in time.

        Args:
            offers: what is sent.
            starts: (n,) seconds at which each device can begin.
            end: seconds at which it has to be there; None for Gamma a turn and the slack.

        Returns:
            What became of each offer, and Gamma a turn and the slack in seconds.
        """
        radio, ledger = self.site.radio, self.ledger
        one_copy = radio.cast == "broadcast"
        sender = np.array([s for s, _, _ in offers], dtype=np.int64)
        receiver = np.array([r for _, r, _ in offers], dtype=np.int64)
        known = [self.version(r, update.source) for _, r, update in offers]
        if one_copy:  # one message that all can open
            known = [min(k for k, other in zip(known, sender, strict=True) if other == s) for s in sender]
        parcels = [
            self.post.parcel(update, s, self.round, has) for (s, _, update), has in zip(offers, known, strict=True)
        ]
        frame = np.zeros(len(self.members), dtype=np.int64)
        np.maximum.at(frame, sender, [sum(split.values()) for _, split in parcels])
        budget = over_the_air(radio, self.site.channel, self.positions, sender, receiver, 8 * frame, self.round)
        number = self.round + (self.windows << 32)  # a window's losses are its own
        found = deliver(radio.loss, budget, sender, receiver, frame, self.site.config.seed, number, one_copy)
        self.windows += 1
        lasts = (int(budget.slot.max(initial=0)) + 1 + SLACK) * radio.gamma
        end = lasts if end is None else end
        fates, charged, longest = [], set(), np.zeros(len(frame))
        for at, (s, r, update) in enumerate(offers):
            if not budget.served[at]:
                fates.append(Fate.OUTAGE)
                continue
            message, split = parcels[at]
            if not (one_copy and s in charged):
                again = int(found.sent_bytes[at] - frame[s])
                ledger.record(self.method, self.round, s, r, split, relayed=update.source != s)
                if again:
                    ledger.record(self.method, self.round, s, r, {REPEATED: again}, relayed=False)
            charged.add(s)
            longest[s] = max(longest[s], found.delay[at])
            if found.arrived[at] and starts[s] + budget.slot[s] * radio.gamma + found.delay[at] <= end * (1 + 1e-12):
                self.post.deliver(self.members[r], message)
                fates.append(Fate.ARRIVED)
            else:
                self.tick.lost += 1
                fates.append(Fate.LOST)
        self.tick.sending += float(found.sender_energy.sum())
        self.tick.airtime += float(longest.sum())
        return fates, lasts
