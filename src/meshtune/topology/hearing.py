"""Validation of clustering messages: what a device checks before it accepts them.

A device knows which devices it hears and what all have in common by configuration. It also knows that everything but
proposals and clusters is sent once. A message that does not fit raises a PayloadError, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshtune.errors import ForeignError, MalformedError
from meshtune.printable import quoted
from meshtune.topology.config import TieBreak
from meshtune.topology.messages import Announced, ClusterMessage, FormedCluster, Hello, Proposal, Reports
from meshtune.topology.power import NEVER, Scale
from meshtune.wire.plain_values import floats, real, whole

MOST_DEVICES = (1 << 16) - 1
"""Number of devices that a message can count: two bytes."""

HIGHEST_ID = (1 << 63) - 1


@dataclass(frozen=True, eq=False)
class Terms:
    """What all devices share through the same configuration.

    Attributes:
        epoch: number of this clustering run.
        s_max: highest collision rate; reach: range in metres; most: devices of a cluster, None for no bound.
        scale: power in ticks.
        whole: announced number that stands for a whole cell; weights: (cells,) positions of each cell.
        tie_break: what decides between pairs of nearly equal rates.
    """

    epoch: int
    s_max: float
    reach: float
    most: int | None
    scale: Scale
    whole: int
    weights: NDArray[np.int64]
    tie_break: TieBreak = "energy"


def check_message(message: ClusterMessage, device: int, heard: Collection[int]) -> None:
    """Check that ``message`` has a known kind and comes from another device that ``device`` hears, one of ``heard``.

    Raises:
        PayloadError: it does not.
    """
    sender = message.sender
    if type(sender) is not int or sender == device or sender not in heard:
        raise ForeignError(f"device {device} received a message of device {quoted(sender)}, which it does not hear")
    whole(message.epoch, f"the epoch of a message of device {sender}", 0, (1 << 32) - 1)
    if not isinstance(message.body, Hello | Reports | FormedCluster | Proposal):
        raise MalformedError(
            f"device {sender} sent {quoted(message.body)}, which is not a message of cluster formation"
        )


def check_hello(sender: int, body: Hello, before: Hello | None, terms: Terms) -> None:
    """Check what ``sender`` says about itself; ``before`` is what it said earlier.

    Raises:
        PayloadError: its position or power is not finite, its power exceeds the strongest device's, what it announces
            of its mask does not fit the model, or it said something else before.
    """
    floats(body.position, f"the position of device {sender}", 2)
    power = real(body.power, f"the power limit of device {sender}")
    if not 0 < power <= terms.scale.strongest:
        raise MalformedError(
            f"device {sender} states a power limit of {power:g} W, outside 0 to {terms.scale.strongest:g} W"
        )
    announced = body.announced
    if not isinstance(announced, np.ndarray) or announced.dtype.kind != "u" or announced.shape != terms.weights.shape:
        raise MalformedError(f"device {sender} must announce its mask as {terms.weights.size} whole numbers")
    if announced.max(initial=0) > terms.whole:
        raise MalformedError(f"device {sender} announces more than a whole layer or row")
    if before is not None:
        same = (before.position, before.power) == (body.position, body.power)
        if not (same and np.array_equal(before.announced, announced)):
            raise MalformedError(f"device {sender} contradicts its earlier description of itself")


def check_reports(sender: int, body: Reports, before: Mapping[int, int] | None) -> None:
    """Check what ``sender`` says it measured; ``before`` is what it said earlier.

    Raises:
        PayloadError: a device or a cost is impossible, or it said something else before.
    """
    ticks = body.ticks
    if not isinstance(ticks, Mapping) or len(ticks) > MOST_DEVICES:
        raise MalformedError(
            f"device {sender} must report a mapping of at most {MOST_DEVICES} links, not {quoted(type(ticks).__name__)}"
        )
    for other, cost in ticks.items():
        whole(other, f"a device that device {sender} hears", 0, HIGHEST_ID)
        whole(cost, f"the cost of a link of device {sender}", 1, NEVER)
    if sender in ticks:
        raise MalformedError(f"device {sender} reports a link to itself")
    if before is not None and before != ticks:
        raise MalformedError(f"device {sender} contradicts its earlier report")


def check_claim(sender: int, body: Announced, terms: Terms) -> None:
    """Check the sizes in a proposal, or that the merges of a formed cluster make one cluster that contains ``sender``.

    Raises:
        PayloadError: they do not.
    """
    most = MOST_DEVICES if terms.most is None else terms.most
    if isinstance(body, Proposal):
        whole(body.ours, f"the size of the cluster of device {sender}", 1, most)
        whole(body.theirs, f"the size of the cluster that device {sender} proposes to", 1, most)
    if isinstance(body, FormedCluster):
        _check_merges(sender, body, most)


def _check_merges(sender: int, body: FormedCluster, most: int) -> None:
    merges = body.merges
    if not isinstance(merges, tuple) or not 0 < len(merges) < most:
        raise MalformedError(f"device {sender} reports an invalid cluster, or one of more than {most} devices")
    for pair in merges:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise MalformedError(f"device {sender} reports a merger of {quoted(pair)}: expected two devices")
        for device in pair:
            whole(device, f"a device in a cluster of device {sender}", 0, HIGHEST_ID)
    heads = set(body.members)  # initially one device each
    for low, high in merges:
        if not low < high or low not in heads or high not in heads:
            raise MalformedError(f"device {sender} reports an impossible merger of {low} and {high}")
        heads.discard(high)
    if len(heads) != 1 or sender not in body.members:
        raise MalformedError(f"device {sender} reports a cluster that is not connected, or not its own")
