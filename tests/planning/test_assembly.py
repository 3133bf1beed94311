"""What a plan says of clusters, devices, links and methods, against formulas written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meshtune.model.skeleton import skeleton
from meshtune.network.geometry import geometry_of
from meshtune.network.site import site_of
from meshtune.planning.model_sizes import method_sizes
from meshtune.planning.plan_record import Plan
from meshtune.planning.planner import plan
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link_budget import over_the_air
from plans import GAMMA, N0, P_MAX, W, bits, config, total


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(config())


def test_power_energy_delay_and_outage_are_lemma_1(planned: Plan) -> None:
    for device, squares in ((0, (900, 1600)), (1, (900, 2500)), (2, (1600, 2500))):
        found = planned.devices[device]
        power = total(2, *squares)
        assert found.power == pytest.approx(power, rel=1e-9, abs=0)
        assert found.headroom == pytest.approx(P_MAX - power, rel=1e-9, abs=0)
        assert found.delay == pytest.approx(GAMMA)
        assert found.energy == pytest.approx(power * GAMMA, rel=1e-9, abs=0)
        assert found.outage == pytest.approx(-math.expm1(-total(2, max(squares)) / P_MAX), rel=1e-9, abs=0)
        assert found.neighbours == tuple(other for other in (0, 1, 2) if other != device)
    link = next(link for link in planned.links if (link.sender, link.receiver) == (2, 1))
    assert link.metres == pytest.approx(50)
    assert link.gain_db == pytest.approx(-20 * math.log10(50))
    assert link.rate == pytest.approx(bits() / GAMMA)
    assert link.capacity == pytest.approx(W / 2 * math.log2(1 + P_MAX / 2 / 2500 / (N0 * W / 2)))


def test_a_lone_device_is_told_why_and_costs_no_sending(planned: Plan) -> None:
    lone = planned.devices[3]
    told = "device 3 is alone: no other device is within 100 m, the nearest, 1, is 370 m away"
    assert lone.alone == lone.reason == told
    assert told in planned.notes
    assert (lone.power, lone.energy, lone.delay, lone.outage) == (0, 0, None, None)
    assert sum(lone.bytes["bank"].run.values()) == 0
    assert [refused.kind for refused in lone.refused] == ["range"] * 3


def test_bytes_are_copies_to_each_neighbour(planned: Plan) -> None:
    bank, lora, local = planned.methods
    size = method_sizes(skeleton(config().model), "bank", config().adapter, config().exchange)
    run = planned.devices[0].bytes["bank"].run
    assert planned.devices[0].bytes["bank"].round == 2 * size.update
    assert run["values"] == 4 * 2 * 2 * planned.values
    assert run["masks"] == 2 * size.mask
    assert run["router"] == 2 * size.router
    assert run["control"] == 4 * 2 * (size.update - 2 * planned.values) + 2 * size.control
    assert run["relayed"] == 0
    assert bank.run == {kind: 3 * count for kind, count in run.items()}
    assert lora.seconds == pytest.approx(GAMMA * lora.update / bank.update)
    assert (local.update, local.seconds, sum(local.run.values())) == (0, None, 0)


def test_outage_is_about_what_rounds_would_see() -> None:
    """Where the power has to do for several links, a link fails somewhat more often than had it all for itself."""
    weak = config(radio={"power_dbm": 10 * math.log10(5 * total(2, 900, 1600)) + 30})
    found, where = plan(weak), geometry_of(site_of(weak, weak.radio or RadioConfig()))
    links = [link for link in found.links if link.sender == 0]
    sender, receiver = (np.array([getattr(link, end) for link in links]) for end in ("sender", "receiver"))
    failed = np.zeros(len(links))
    for round_ in range(1, 1501):
        budget = over_the_air(where.config, where.channel, where.positions, sender, receiver, bits(), round_)
        failed += ~budget.served / 1500
    for link, share in zip(links, failed.tolist(), strict=True):
        assert link.outage is not None
        assert link.outage - 0.03 < share < 1.6 * link.outage + 0.03
