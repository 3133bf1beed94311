"""Which neighbours a device can send to: the largest number u that its power allows (method section 7).

Sorted by gain, the left side of (N0 W/u)(2^(bits u / (W Gamma)) - 1) sum_{j <= u} 1/h_j <= p_max rises with u, and for
a given u no other set has a smaller sum: one cumulative sum finds the best set exactly. Dropping a link changes the
split of the band, so pruning links one by one without solving again would drop too many.
"""

from __future__ import annotations

import numpy as np

from meshtune.wireless.arrays import Bools, Floats, Ints, Numbers
from meshtune.wireless.link import Radio, total_power


def select(radio: Radio, bits: Numbers, sender: Ints, gain: Floats, devices: int) -> tuple[Bools, Ints]:
    """Return the links that fit and how many each device has.

    Args:
        radio: the radio of every device.
        bits: of the payload of each device, (devices,) or one number.
        sender: (L,) the sending device of each link.
        gain: (L,) linear; a link of gain 0 never fits.
        devices: number of devices.

    Returns:
        (L,) whether the link is served, and (devices,) u. With equal gains the first link is served first.
    """
    bits = np.broadcast_to(np.asarray(bits, dtype=np.float64), (devices,))
    by_sender = np.argsort(sender, kind="stable")
    counts = np.bincount(sender, minlength=devices)
    starts = np.cumsum(counts) - counts
    with np.errstate(divide="ignore", over="ignore"):
        inverse = (1 / gain)[by_sender]
    u = np.zeros(devices, dtype=np.int64)
    served = np.zeros(len(sender), dtype=np.bool_)
    # One row per device keeps sums and sorting within it: one running sum over all links would round away a strong
    # link after many weak ones. Rows of similar length are grouped, so at most half of a table is padding.
    size = np.ceil(np.log2(np.maximum(counts, 1)))
    for one in np.unique(size[counts > 0]):
        rows = np.flatnonzero((size == one) & (counts > 0))
        width = np.arange(counts[rows].max())
        real = width < counts[rows, None]
        link = np.where(real, starts[rows, None] + width, 0)
        own = np.where(real, inverse[link], np.inf)
        best_first = np.argsort(own, axis=1, kind="stable")
        with np.errstate(over="ignore"):  # to infinity, like 1/h itself: no power suffices
            total = np.cumsum(np.take_along_axis(own, best_first, axis=1), axis=1)
        fits = total_power(radio, bits[rows, None], width + 1, total) <= radio.p_max
        u[rows] = fits.sum(axis=1)
        served[by_sender[np.take_along_axis(link, best_first, axis=1)[fits]]] = True
    return served, u


def select_one(radio: Radio, bits: float, gain: Floats) -> Ints:
    """Return the neighbours that one device can send to, best first: indices into ``gain``, (u,).

    Args:
        radio: the device's radio.
        bits: of its payload.
        gain: (n,) of every neighbour, linear.
    """
    served, _ = select(radio, bits, np.zeros(len(gain), dtype=np.int64), gain, 1)
    best_first = np.argsort(-gain, kind="stable")
    return best_first[served[best_first]]
