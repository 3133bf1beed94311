"""Positions of devices: drawn in a disc, given, or read from a file; and the distances between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meshtune.errors import UserError
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.config import FARTHEST, PlaceConfig
from meshtune.wireless.csv_tables import number, read_table, whole
from meshtune.wireless.draws import uniforms


def place(config: PlaceConfig, devices: int, seed: int) -> Floats:
    """Return the positions of the devices at time 0, (devices, 2) in metres.

    Raises:
        UserError: the number of given positions is wrong, two devices have the same position, or the file is wrong; see
            :func:`read_positions`.
    """
    if config.positions is not None:
        positions = np.array(config.positions, dtype=np.float64).reshape(-1, 2)
        if len(positions) != devices:
            raise UserError(
                f"places.positions places {len(positions)} devices and there are {devices}: give one x and y for each"
            )
    elif config.file is not None:
        positions = read_positions(Path(config.file), devices)
    else:
        positions = in_disc(config.radius, devices, seed)
    check_apart(positions)
    return positions


def in_disc(radius: float, devices: int, seed: int) -> Floats:
    """Return points uniform by area in the disc of ``radius`` metres around the origin, (devices, 2).

    A device's point is a function of the seed and its id, so adding devices does not move the others.
    """
    share, turn = uniforms(seed, "place", first=np.arange(devices), second=0)
    return disc_point(radius, share, turn)


def disc_point(radius: float, share: Floats, turn: Floats) -> Floats:
    """Return points of the disc from two uniform numbers each, (n, 2).

    The area within distance r of the centre grows with r^2, hence the square root.
    """
    distance, angle = radius * np.sqrt(share), 2 * np.pi * turn
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1)


def read_positions(path: Path, devices: int) -> Floats:
    """Return the positions in a CSV file with the columns device, x and y (metres), (devices, 2).

    Raises:
        UserError: the file is missing, has other columns, a cell that is not a number, or does not place every device
            from 0 to ``devices`` - 1 exactly once.
    """
    positions = np.full((devices, 2), np.nan)
    for line, (device, x, y) in read_table(path, ("device", "x", "y")):
        at = whole(device, "device", line, path)
        if at >= devices:
            raise UserError(
                f"line {line} of {path} places device {at} and there are {devices}: they are numbered from 0 to "
                f"{devices - 1}"
            )
        if not np.isnan(positions[at, 0]):
            raise UserError(f"line {line} of {path} places device {at} a second time: keep one of its lines")
        positions[at] = [number(text, name, line, path, -FARTHEST, FARTHEST) for name, text in (("x", x), ("y", y))]
    absent = np.flatnonzero(np.isnan(positions[:, 0]))
    if absent.size:
        raise UserError(
            f"{path} places {devices - absent.size} of {devices} devices: add a line for device {absent[0]}"
        )
    return positions


def check_apart(positions: Floats) -> None:
    """Check that no two of the positions, (n, 2), are equal.

    Raises:
        UserError: two are; a link of length 0 has no gain.
    """
    order = np.lexsort((positions[:, 1], positions[:, 0]))
    same = np.flatnonzero((np.diff(positions[order], axis=0) == 0).all(axis=1))
    if same.size:
        a, b = sorted((int(order[same[0]]), int(order[same[0] + 1])))
        x, y = positions[a]
        raise UserError(f"devices {a} and {b} both stand at ({x:g}, {y:g}): move one of them")


def distances(positions: Floats, a: Ints, b: Ints) -> Floats:
    """Return the distance between the devices of every pair in metres.

    Args:
        positions: (n, 2) in metres.
        a: (L,) one end of each link.
        b: (L,) the other end.

    Returns:
        (L,)
    """
    apart = positions[a] - positions[b]
    return np.hypot(apart[:, 0], apart[:, 1])
