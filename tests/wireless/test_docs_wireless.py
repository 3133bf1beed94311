"""docs/wireless.md names functions that exist and every channel, and its numbers are those of the code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from meshtune.wireless.channels.urban import path_loss_db
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.link import Radio
from meshtune.wireless.places import in_disc
from meshtune.wireless.registry import CHANNELS, MODULES
from meshtune.wireless.selection import select

PAGE = (Path(__file__).parents[2] / "docs" / "wireless.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(meshtune\.[\w.]+)`", PAGE)))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_page_names_exists(name: str) -> None:
    """See :func:`test_every_channel_is_there` for what it has to name."""
    module, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), last)
    except (ModuleNotFoundError, AttributeError):  # a package has its modules once they are imported
        found = importlib.import_module(name)
    assert found is not None


def test_every_channel_is_there() -> None:
    """With the class that computes it."""
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| `(meshtune\.wireless\.channels\.[\w.]+)` \|$", PAGE, re.MULTILINE))
    files = {name: importlib.import_module(f"meshtune.wireless.channels.{MODULES[name]}") for name in CHANNELS}
    assert rows == {name: f"{file.__name__}.{file.CHANNEL.__name__}" for name, file in files.items()}


def test_the_losses_it_compares_at_500_metres() -> None:
    far = np.array([500.0])
    in_sight, out_of_sight = (path_loss_db(far, 2e9, np.array([los]))[0] for los in (True, False))
    assert f"{10 * np.log10(500**2):.0f} dB at 500 m" in PAGE
    assert f"{40 + 30 * np.log10(500):.0f} dB in the median" in PAGE
    assert f"{in_sight:.0f} dB in sight and {out_of_sight:.0f} dB out of it" in PAGE


def test_how_many_neighbours_the_defaults_allow() -> None:
    places = in_disc(500.0, 10, seed=0)
    a, b = np.nonzero(~np.eye(10, dtype=bool))
    gain = 1 / ((places[a] - places[b]) ** 2).sum(axis=1)
    found = {
        values: set(select(Radio.of(RadioConfig()), 16 * values, a, gain, 10)[1].tolist())
        for values in (248_832, 1.85e6, 4e6)
    }
    assert found == {248_832: {9}, 1.85e6: {6}, 4e6: {2, 3}}
