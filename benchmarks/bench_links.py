"""Link budgets a second on one core: arrays against a plain Python loop over the same links.

    python benchmarks/bench_links.py
    python benchmarks/bench_links.py --links 200000 --runs 3

Places devices uniformly at constant density, links each to its neighbours, and computes for every link, in both
programs: distance and gain, which neighbours fit into the sender's power (the largest u), power, rate, delay and
energy. What is timed holds everything but the drawing of places; both programs must agree. Fading, drawn for every
link of a round, is timed by itself.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from record import at_least, over, report, turns
from scipy.spatial import cKDTree

from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.channel import Channel, open_channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link import Radio
from meshtune.wireless.link_budget import link_gains, over_the_air
from meshtune.wireless.places import in_disc

PER_DEVICE = 10  # links; a disc of 500 m for each ten devices
BITS = 8 * 2_500_000  # so that some links are in outage
TARGET = 1e6  # links a second


def scene(links: int, seed: int) -> tuple[Floats, Ints, Ints]:
    """Return positions, senders and receivers: every device and its ten nearest."""
    devices = max(PER_DEVICE + 1, links // PER_DEVICE)
    positions = in_disc(500.0 * math.sqrt(devices / 10), devices, seed)
    _, near = cKDTree(positions).query(positions, PER_DEVICE + 1)
    return positions, np.repeat(np.arange(devices), PER_DEVICE), near[:, 1:].ravel()


def plain(radio: Radio, positions: Floats, sender: Ints, receiver: Ints) -> list[tuple[float, float, float, float]]:
    """Return (power, rate, delay, energy) of every link, one link after the other; zeros in outage."""
    places = positions.tolist()
    ends = list(zip(sender.tolist(), receiver.tolist(), strict=True))
    found = [(0.0, 0.0, math.inf, 0.0)] * len(ends)
    of: dict[int, list[int]] = {}
    gains = []
    for link, (a, b) in enumerate(ends):
        apart = math.hypot(places[a][0] - places[b][0], places[a][1] - places[b][1])
        gains.append(1 / (apart * apart))
        of.setdefault(a, []).append(link)
    for own in of.values():
        own.sort(key=lambda link: -gains[link])
        total, u, needed = 0.0, 0, 0.0
        for count, link in enumerate(own, start=1):
            total += 1 / gains[link]
            exponent = BITS * count / (radio.bandwidth * radio.gamma)
            snr = math.expm1(exponent * math.log(2)) if exponent < 1000 else math.inf
            received = radio.noise_density * radio.bandwidth / count * snr
            if received * total > radio.p_max:
                break
            u, needed = count, received
        for link in own[:u]:
            noise = radio.noise_density * radio.bandwidth / u
            power = needed / gains[link]
            speed = radio.bandwidth / u * math.log1p(power * gains[link] / noise) / math.log(2)
            seconds = BITS / speed
            found[link] = (power, speed, seconds, power * seconds)
    return found


def check(config: RadioConfig, channel: Channel, positions: Floats, sender: Ints, receiver: Ints) -> None:
    """Stop unless both programs say the same of every link."""
    ours = over_the_air(config, channel, positions, sender, receiver, BITS, None)
    power, speed, seconds, joules = np.array(plain(Radio.of(config), positions, sender, receiver)).T
    np.testing.assert_allclose(ours.power, power, rtol=1e-9)
    np.testing.assert_allclose(ours.rate, speed, rtol=1e-9)
    np.testing.assert_allclose(ours.delay, seconds, rtol=1e-9)
    np.testing.assert_allclose(ours.sender_energy, np.bincount(sender, joules, len(positions)), rtol=1e-9)
    print(f"{len(sender)} links of {len(positions)} devices, {ours.served.mean():.0%} served: both programs agree")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5, help="turns")
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()
    config = RadioConfig()
    channel = open_channel(config, 1)
    positions, sender, receiver = scene(args.links, seed=1)
    check(config, channel, positions, sender, receiver)
    radio = Radio.of(config)
    seconds = turns(
        {
            "arrays": lambda: over_the_air(config, channel, positions, sender, receiver, BITS, None),
            "loop": lambda: plain(radio, positions, sender, receiver),
            "fading and gain": lambda: link_gains(channel, positions, sender, receiver, 1),
        },
        args.runs,
        warm=True,
    )
    ours = [len(sender) / one for one in seconds["arrays"]]
    fading = [len(sender) / one for one in seconds["fading and gain"]]
    report(
        [
            at_least("link budgets/s: arrays / 1,000,000", [one / TARGET for one in ours], 1),
            at_least("link budgets/s: arrays / plain Python loop", over(seconds["loop"], seconds["arrays"]), 5),
            at_least("faded gains/s / 1,000,000", [one / TARGET for one in fading], 1),
        ],
        args.json,
    )


if __name__ == "__main__":
    main()
