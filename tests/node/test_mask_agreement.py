"""What was agreed on, and who is charged what for it."""

from __future__ import annotations

import numpy as np
import pytest

from flying import LAYERS, RANK
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.config_file import validate
from meshtune.errors import UserError
from meshtune.methods.registry import METHODS, get_method
from meshtune.methods.state import NEGOTIATED, Announcement
from meshtune.node.negotiation.mask_agreement import Agreement, Sent, check_negotiated, negotiates
from meshtune.wire.ledger import Ledger

SIZES = sizes(LAYERS, RANK)
MASKS = {device: tuple(np.arange(device, device + 3) for _ in SIZES) for device in range(3)}
FIRST, SECOND = {"masks": 20, "control": 5}, {"masks": 7, "control": 5}
AGREED = Agreement(
    parts=((0, 1), (2,)),
    masks=MASKS,
    known={0: {0: MASKS[0], 1: MASKS[1]}, 1: {0: MASKS[0], 1: MASKS[1]}, 2: {2: MASKS[2]}},
    hops=(
        (Sent(0, 1, FIRST, relayed=False), Sent(0, 1, SECOND, relayed=False), Sent(1, 0, SECOND, relayed=False)),
        (Sent(1, 0, FIRST, relayed=True),),
    ),
    between=(0.0, 0.25),
    measured=(0.5, 0.0),
    change=(0.125, 0.0),
)


def test_each_hop_is_charged_by_link_and_kind_in_round_0() -> None:
    ledger = Ledger()
    assert AGREED.charge("paper", ledger) == [{(0, 1): 25 + 12, (1, 0): 12}, {(1, 0): 25}]
    zero, one = (ledger.per_device("paper")[device] for device in (0, 1))
    assert (zero["masks"], zero["control"], zero["relayed"]) == (27, 10, 0)
    assert (one["masks"], one["control"], one["relayed"]) == (7, 5, 25)
    assert list(ledger.per_round("paper")) == [0]
    assert sum(ledger.total("shared_b").values()) == 0
    AGREED.charge("shared_b", ledger)  # a federation of its own
    assert ledger.total("shared_b") == ledger.total("paper")


def test_devices_go_on_with_what_was_agreed_and_without_scores() -> None:
    own = [
        Announcement(d, "a", 10, Recipe(3, "orthogonal", 0, RANK), MASKS[0], others={"lori": ()}, scores=np.ones(4))
        for d in (2, 0, 1)
    ]
    found = AGREED.of(own)
    assert [one.device for one in found] == [2, 0, 1]
    for before, after in zip(own, found, strict=True):
        assert after.others == {"lori": (), NEGOTIATED: MASKS[before.device]}
        assert after.masks is before.masks
        assert after.scores is None
        assert before.scores is not None


def test_results_keep_plain_values() -> None:
    assert AGREED.facts() == {
        "among": [[0, 1], [2]],
        "collision_between_groups": [0.0, 0.25],
        "collision_measured": [0.5, 0.0],
        "density_change": [0.125, 0.0],
    }


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("masks", ["own", "negotiated"])
def test_masks_are_negotiated_where_it_is_asked_for_and_some_method_adds_expansions(name: str, masks: str) -> None:
    tree = {"tasks": ["boolq"], "methods": [name], "radio": {}, "clusters": {"masks": masks}}
    adds = name in ("paper", "paper_masked", "shared_b")
    config = validate(tree, "the test")
    assert negotiates(config, [get_method(name)]) == (adds and masks == "negotiated")
    assert negotiates(config, [get_method("local"), get_method(name)]) == (adds and masks == "negotiated")


def test_only_masks_that_calibration_ranks_after_the_groups_projection_are_negotiated() -> None:
    def check(method: str, clusters: str = "negotiated", **paper: str) -> None:
        tree = {"tasks": ["boolq"], "methods": [method], "radio": {}, "clusters": {"masks": clusters}, "paper": paper}
        check_negotiated(validate(tree, "the test"), [get_method(method)])

    with pytest.raises(UserError) as caught:
        check("paper_masked")
    assert str(caught.value) == (
        "clusters.masks=negotiated: the groups of a cluster claim masks that are ranked by gradients after one "
        "projection per group, and paper_masked has paper.projection=device and paper.masks=trained_signed: set "
        "paper.projection=group and paper.masks=calibrated, or clusters.masks=own"
    )
    for odd in ({"projection": "group"}, {"masks": "calibrated"}):
        with pytest.raises(UserError):
            check("paper", **odd)
    check("paper", projection="group", masks="calibrated")
    check("paper", "own")
    check("shared_b")
    check("single_cluster")  # ignores what is negotiated
