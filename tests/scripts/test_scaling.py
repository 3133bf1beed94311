"""How things grow: closed forms against the planner's numbers, rounds that are flown, and what is really held."""

from __future__ import annotations

import importlib
import itertools
import math
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.state import Announcement
from meshtune.model.skeleton import skeleton
from meshtune.planning.model_sizes import method_sizes
from meshtune.planning.planner import plan
from meshtune.routing.pooled import pool
from meshtune.routing.statistics import summarise

FOLDER = Path(__file__).parents[2] / "benchmarks"
MODEL, RANK = "tiny-random", 4


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("scaling")
    monkeypatch.setitem(module.RANKS, MODEL, RANK)
    return module


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("scaling_found")


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("scaling_forms")


@pytest.mark.parametrize(("devices", "more"), [(10, {}), (60, {}), (60, {"most": 1}), (60, {"most": 6, "s_max": 1.0})])
def test_a_plan_is_what_the_closed_forms_say(numbers: Any, devices: int, more: dict[str, Any]) -> None:
    """To the last byte, but for headers and for masks, which are coded to within a few percent of their entropy."""
    config = numbers.configure(MODEL, RANK, devices, **more)
    found, piece = plan(config), numbers.piece_of(config)
    one = numbers.reduced(found, config, 1.0)
    assert (one.devices, one.alone) == (devices, 0)
    assert piece.values == pytest.approx(found.values, abs=1)
    header = found.payload / piece.update
    for key in ("within", "between"):
        assert one.pairs[key].found == pytest.approx(one.pairs[key].formula * header, rel=1e-12)
    for key in ("crossing", "airtime", "computing"):
        assert one.pairs[key].found == pytest.approx(one.pairs[key].formula, rel=1e-12)
    size = method_sizes(skeleton(config.model), "bank", config.adapter, ExchangeConfig())
    assert size.router == piece.router
    assert piece.mask < size.mask < 1.1 * piece.mask
    assert one.pairs["once"].found == pytest.approx((devices - 1) * size.once, rel=1e-12)
    assert one.rate.found == pytest.approx(one.rate.formula, rel=1e-3)  # of the announced density
    assert one.exchange == 1.5 * 0.5 * max(link.updates for link in found.links if link.between)
    assert one.round == pytest.approx(one.pairs["computing"].formula + 1.5 * 0.5)


def test_a_device_out_of_reach_is_what_parts_a_plan_from_its_formula(numbers: Any) -> None:
    config = numbers.configure(MODEL, RANK, 60)
    positions = [list(device) for device in np.random.default_rng(0).uniform(0, 150, (59, 2))] + [[9e3, 9e3]]
    places = config.places.model_copy(update={"positions": tuple(map(tuple, positions))})
    found = plan(config.model_copy(update={"places": places}))
    one = numbers.reduced(found, config, 1.0)
    assert found.parts == (59, 1)
    assert one.alone == pytest.approx(1 / 60)
    reached = (59**2 + 1) / 60
    ratio = one.pairs["between"].found / one.pairs["between"].formula * numbers.piece_of(config).update / found.payload
    assert ratio == pytest.approx((reached - one.mates) / (60 - one.mates), rel=1e-12)


def test_the_longest_way_is_the_graphs_diameter(numbers: Any) -> None:
    found = plan(numbers.configure(MODEL, RANK, 60))
    graph = nx.Graph((d.device, other) for d in found.devices for other in (*d.neighbours, *d.between))
    assert numbers.hops_of(found) == max(nx.diameter(graph.subgraph(part)) for part in nx.connected_components(graph))


@pytest.mark.parametrize("devices", [6, 14])
def test_whole_rounds_send_as_many_copies_in_as_many_windows(numbers: Any, devices: int) -> None:
    found = numbers.flown(devices)
    assert found["outside the largest part"].found == 0
    for key in ("announcements", "updates"):
        assert found[key].found == pytest.approx(found[key].formula, rel=1e-12)
    windows = found["windows"]
    assert windows.formula - 1e-9 <= windows.found <= windows.formula + devices
    assert 0 < found["airtime"].found <= found["airtime"].formula + 1e-9


def test_copies_by_hand(forms: Any) -> None:
    """Three that hear each other and one beyond."""
    assert forms.mates([3, 1]) == 2.5
    assert forms.crossing([3, 1], 1) == 3
    assert forms.airtime([3, 1], 0.5) == 0.5 * (1 + 4) / 4  # one passed on; three there, one back


def test_a_collision_rate_by_enumeration(forms: Any) -> None:
    for members in range(1, 6):
        chance = sum(
            math.prod(0.1 if used else 0.9 for used in one)
            for one in itertools.product((False, True), repeat=members)
            if sum(one) > 1
        )
        assert forms.collided(0.1, members) == pytest.approx(chance, abs=1e-12)


def test_what_is_held_of_a_device_is_what_its_announcement_and_update_take(numbers: Any) -> None:
    config = numbers.configure(MODEL, RANK, 10)
    shape, piece, draw = skeleton(config.model), numbers.piece_of(config), np.random.default_rng(0)
    masks = tuple(np.sort(draw.choice(n, n // 10, replace=False)) for n in sizes(shape.layers, RANK))
    statistics = summarise(draw.standard_normal((40, shape.width)), piece.sketch)
    own = Announcement(0, "a", 1, Recipe(0, "orthogonal", 0, RANK), masks, statistics)
    arrays = (statistics.mean, statistics.diagonal, statistics.eigenvalues, statistics.eigenvectors)
    values = sum(mask.size for mask in own.masks)
    taken = 2 * values + sum(mask.nbytes for mask in own.masks) + sum(array.nbytes for array in arrays)
    assert taken == pytest.approx(piece.held + 10 * (values - piece.values), rel=1e-12)


@pytest.mark.parametrize(("sources", "groups"), [(5, 5), (6, 3)])
def test_factors_of_the_pooled_covariance(forms: Any, sources: int, groups: int) -> None:
    draw = np.random.default_rng(0)
    said: dict[str, list[Any]] = {}
    for source in range(sources):
        said.setdefault(str(source % groups), []).append(summarise(draw.standard_normal((20, 32)), 4))
    assert pool(said).factors.shape[1] == forms.columns(sources, groups, 4)


def test_the_whole_script(scaling: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--devices 100 130 --most 1 2 --groups 2 40 --among 40 --flown 6 --sources 3"
    scaling.main(["--models", MODEL, *options.split(), "--out", str(tmp_path)])
    told = capsys.readouterr().out
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    for title in ("devices", "clusters of 40 devices", "task groups of 40 devices", "where it breaks"):
        assert f"## {MODEL}, rank {RANK}: {title}" in told
    assert [line for line in told.splitlines() if line.startswith("| 40 | gaussian |")]  # more groups than blocks
    assert "hops grow as devices^" in told
    assert "| an exchange between clusters is late | " in told
