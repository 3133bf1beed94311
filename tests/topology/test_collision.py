"""Eq. 19 against the binomial, the printed formula and real masks."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from meshtune.errors import UserError
from meshtune.seeds import stream
from meshtune.topology.collision import (
    DENSITY,
    CollisionState,
    Use,
    collided,
    expected,
    level,
    measured,
    merge,
    merged,
    rate,
    rows,
)


def pieces(use: Use) -> list[CollisionState]:
    return [CollisionState(*pair) for pair in zip(*use.state(), strict=True)]


def of(use: Use, order: list[int] | None = None) -> float:
    """The rate of all devices together, merged one after the other."""
    states = pieces(use)
    whole = states[order[0] if order else 0]
    for at in (order or list(range(len(states))))[1:]:
        whole = merge(whole, states[at])
    return float(rate(collided(whole.clear, use.weights), use.weights))


def printed(announced: np.ndarray, whole: int, weights: np.ndarray) -> Fraction:
    """1 - prod(1-s) - sum s_j prod(1-s_z), cell by cell, in fractions."""
    total = Fraction(0)
    for cell, weight in enumerate(weights.tolist()):
        s = [Fraction(int(x), whole) for x in announced[:, cell]]
        one = sum(s[j] * prod(1 - x for z, x in enumerate(s) if z != j) for j in range(len(s)))
        total += weight * (1 - prod(1 - x for x in s) - one)
    return total / sum(weights.tolist())


@pytest.mark.parametrize("devices", [1, 2, 3, 10, 40])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.1, 0.5, 0.9, 1.0])
def test_equal_densities_are_the_binomial(devices: int, density: float) -> None:
    use = expected(np.full((devices, 3), density), [10, 700, 24])
    exact = int(use.announced[0, 0]) / DENSITY
    assert exact == pytest.approx(density, abs=1 / DENSITY)
    assert of(use) == pytest.approx(float(binom.sf(1, devices, exact)), abs=devices * 1e-9)


announced = st.integers(0, DENSITY) | st.sampled_from([0, 1, DENSITY - 1, DENSITY])


@st.composite
def uses(draw: st.DrawFn) -> Use:
    devices, cells = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    row = st.lists(announced, min_size=cells, max_size=cells)
    array = draw(st.lists(row, min_size=devices, max_size=devices))
    sizes = draw(st.lists(st.integers(1, 10**6), min_size=cells, max_size=cells))
    return expected(np.array(array) / DENSITY, sizes)


@settings(deadline=None)
@given(uses(), st.randoms())
def test_merging_step_by_step_is_the_printed_formula_in_any_order(use: Use, random: object) -> None:
    order = list(range(len(use.announced)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert abs(of(use, order) - float(printed(use.announced, use.whole, use.weights))) < 1e-7


@settings(deadline=None)
@given(uses(), st.data())
def test_no_rounding_lets_a_rate_fall_when_a_set_grows(use: Use, data: st.DataObject) -> None:
    """What equality of all ways of clustering rests on: S(A + B + C) >= S(A + C), to the last bit."""
    states = pieces(use)
    a, b, c = (states[data.draw(st.integers(0, len(states) - 1))] for _ in range(3))
    small, large = merge(a, c), merge(merge(a, b), c)
    assert (large.clear <= small.clear).all()
    assert (large.none <= small.none).all()
    assert (small.none <= small.clear).all()
    for one, other in itertools.pairwise([merge(a, b), merge(b, a)]):
        assert all((x == y).all() for x, y in zip(one, other, strict=True))


def test_many_pairs_at_once_are_each_pair() -> None:
    use = expected(stream(1, "pairs").uniform(size=(50, 5)), [3, 1, 4, 1, 5])
    none, clear = use.state()
    together = merged(CollisionState(none[7], clear[7]), CollisionState(none, clear), use.weights)
    paired = merged(CollisionState(none[::-1], clear[::-1]), CollisionState(none, clear), use.weights)
    for at in range(50):
        one = merge(CollisionState(none[7], clear[7]), CollisionState(none[at], clear[at]))
        assert together[at] == collided(one.clear, use.weights)
        other = merge(CollisionState(none[49 - at], clear[49 - at]), CollisionState(none[at], clear[at]))
        assert paired[at] == collided(other.clear, use.weights)


def test_levels_are_thousandths() -> None:
    use = expected([[1.0, 0.0], [1.0, 0.0]], [3, 7])
    found = collided(merge(*pieces(use)).clear, use.weights)
    assert rate(found, use.weights) == 0.3
    assert level(found, use.weights) == 300
    assert level(found - 1000, use.weights) == 299


def test_dense_devices_collide_everywhere() -> None:
    assert of(expected(np.ones((3, 2)), [5, 6])) == 1
    assert of(expected(np.ones((1, 2)), [5, 6])) == 0


def test_independent_masks_collide_as_expected() -> None:
    draw = stream(0, "masks")
    sizes, densities = [40_000, 8_000], np.array([[0.1, 0.3], [0.2, 0.05], [0.15, 0.5], [0.0, 0.2]])
    masks = [
        [np.sort(draw.permutation(n)[: round(s * n)]) for s, n in zip(row, sizes, strict=True)] for row in densities
    ]
    wanted = of(expected(densities, sizes))
    deviation = (wanted / sum(sizes)) ** 0.5
    assert measured(masks, sizes) == pytest.approx(wanted, abs=5 * deviation)


def test_measured_by_hand() -> None:
    masks = [
        [np.array([0, 1, 5]), np.array([2])],
        [np.array([1, 2]), np.array([2])],
        [np.array([1]), np.array([], int)],
    ]
    assert measured(masks, [6, 4]) == 2 / 10


def test_rows_see_masks_that_crowd_on_the_same_rows() -> None:
    """Two masks of density 1/4 in one layer of 8 rows and rank 4, both within the first two rows and full there."""
    counts = np.array([[4, 4, 0, 0, 0, 0, 0, 0]] * 2)
    mask = [np.arange(8)]
    assert of(rows(counts, 4)) == measured([mask, mask], [32]) == 1 / 4
    assert of(expected([[1 / 4], [1 / 4]], [32])) == pytest.approx(1 / 16, abs=1e-5)


def test_rows_predict_masks_drawn_within_rows() -> None:
    draw = stream(3, "rows")
    counts = draw.integers(0, 17, (3, 3000)) * (draw.uniform(size=3000) < 0.3)
    masks = [
        [np.concatenate([row * 16 + np.sort(draw.permutation(16)[:count]) for row, count in enumerate(device)])]
        for device in counts.tolist()
    ]
    assert of(rows(counts, 16)) == pytest.approx(measured(masks, [48_000]), abs=0.005)


@pytest.mark.parametrize(
    "densities, sizes, sentence",
    [
        ([[0.1, 1.2]], [4, 4], "density 1.2 of layer 1 in row 0 is not a share: give 0 to 1"),
        ([[0.1], [float("nan")]], [4], "density nan of layer 0 in row 1 is not a share: give 0 to 1"),
        (
            [[0.1]],
            [4, 4],
            "densities have the shape (1, 1), there are 2 layers: give one row a device and one column a layer",
        ),
        ([[0.1]], [0], "layer sizes are empty or not positive: give d r of every layer"),
        ([[0.1]], [1 << 32], "4294967296 positions are too many to count collisions in: give fewer than 2^32"),
    ],
)
def test_bad_densities_are_one_sentence(densities: list[list[float]], sizes: list[int], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        expected(densities, sizes)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "counts, rank, sentence",
    [
        ([[1, 5]], 4, "device row 0 uses 5 positions of output row 1, which has 4: give counts of 0 to 4"),
        ([[1, -1]], 4, "device row 0 uses -1 positions of output row 1, which has 4: give counts of 0 to 4"),
        ([[0.5]], 4, "row counts are float64 of shape (1, 1): give integers, one row a device"),
        ([[0]], 0, "rank 0 cannot be announced: give 1 to 65535"),
    ],
)
def test_bad_row_counts_are_one_sentence(counts: list[list[float]], rank: int, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        rows(counts, rank)
    assert str(caught.value) == sentence


def test_masks_of_another_model_are_one_sentence() -> None:
    with pytest.raises(UserError, match="mask 1 has 1 layers, there are 2"):
        measured([[np.array([0])] * 2, [np.array([0])]], [4, 4])
    with pytest.raises(UserError, match="mask 0 has position 4 in layer 1, which has 4"):
        measured([[np.array([0]), np.array([4])]], [4, 4])


def test_row_counts_take_a_byte_where_they_fit() -> None:
    assert rows([[0, 16]], 16).announced.nbytes == 2
    assert rows([[0, 256]], 256).announced.nbytes == 4
    assert of(rows([[256], [256]], 256)) == of(rows([[255], [255]], 255)) == 1
