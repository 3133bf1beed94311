"""Where devices stand, and every way in which a file of positions can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshtune.errors import UserError
from meshtune.wireless.config import PlaceConfig
from meshtune.wireless.places import check_apart, distances, in_disc, place


def test_the_disc_is_filled_evenly_by_area() -> None:
    positions = in_disc(500.0, 40_000, seed=1)
    square = (positions**2).sum(axis=1) / 500.0**2
    assert square.max() <= 1
    # Uniform by area: r^2 / R^2 is uniform, mean 1/2 and variance 1/12; angles too.
    assert square.mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / len(square)))
    assert square.var() == pytest.approx(1 / 12, rel=0.03, abs=0)
    assert abs(positions.mean(axis=0)).max() < 4 * 250 / np.sqrt(len(square))
    quarters = np.histogram(np.arctan2(positions[:, 1], positions[:, 0]), bins=4, range=(-np.pi, np.pi))[0]
    assert quarters == pytest.approx(10_000, abs=400)


def test_places_follow_the_seed_and_more_devices_move_nobody() -> None:
    ten = place(PlaceConfig(), 10, seed=1)
    assert (place(PlaceConfig(), 20, seed=1)[:10] == ten).all()
    assert not (place(PlaceConfig(), 10, seed=2) == ten).any()


def test_distances_by_hand() -> None:
    positions = place(PlaceConfig(positions=((0, 0), (3, 4), (0, -12))), 3, seed=0)
    assert distances(positions, np.array([0, 1, 2]), np.array([1, 0, 0])).tolist() == [5, 5, 12]


def test_a_file_in_any_order(tmp_path: Path) -> None:
    file = tmp_path / "places.csv"
    file.write_text("y,device,x\n4, 1 ,3\n\n-2.5e1,0,0\n", encoding="utf-8")
    assert place(PlaceConfig(file=str(file)), 2, seed=0).tolist() == [[0, -25], [3, 4]]


HEAD = "device,x,y\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("id,x,y\n0,1,2\n", "the first line of FILE is id,x,y: it must name the columns device,x,y"),
        (HEAD + "0,one,2\n", "line 2 of FILE: x=one is not a finite number"),
        (HEAD + "-1,1,2\n", "line 2 of FILE: device=-1 is not a whole number from 0 to 2147483647"),
        (HEAD + "0,1,2\n0,3,4\n", "line 3 of FILE places device 0 a second time: keep one of its lines"),
        (
            HEAD + "0,1,2\n2,3,4\n",
            "line 3 of FILE places device 2 and there are 2: they are numbered from 0 to 1",
        ),
        (HEAD + "0,1,2\n", "FILE places 1 of 2 devices: add a line for device 1"),
        (HEAD + "0,1,2\n1,1.0,2\n", "devices 0 and 1 both stand at (1, 2): move one of them"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "places.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        place(PlaceConfig(file=str(file)), 2, seed=0)
    assert str(caught.value) == message.replace("FILE", str(file))


def test_positions_given_for_another_number_of_devices() -> None:
    with pytest.raises(
        UserError, match=r"places\.positions places 1 devices and there are 2: give one x and y for each"
    ):
        place(PlaceConfig(positions=((0, 0),)), 2, seed=0)


def test_two_devices_at_one_point_are_found_wherever_they_are() -> None:
    positions = np.array([[0, 0], [5, 5], [1, 2], [5, 6], [1, 2]], dtype=float)
    with pytest.raises(UserError, match=r"devices 2 and 4 both stand at \(1, 2\)"):
        check_apart(positions)
    check_apart(positions[:4])
    check_apart(np.empty((0, 2)))
