"""docs/wireless.md names functions that exist and every setting with its default."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from meshtune.wireless.channels.urban import path_loss_db
from meshtune.wireless.config import ComputeConfig, PlaceConfig, RadioConfig
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


def settings(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from settings(type(field.default), f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", field.default


def test_every_setting_is_there_with_its_default() -> None:
    shown = {
        key: yaml.safe_load(value) for key, value in re.findall(r"^\| `([a-z_.]+)` \| `(.*?)` \|", PAGE, re.MULTILINE)
    }
    known: dict[str, Any] = {}
    for prefix, model in (("radio", RadioConfig), ("places", PlaceConfig), ("compute", ComputeConfig)):
        known |= dict(settings(model, prefix))
    given = {
        key: value for key, value in shown.items() if "." in key and key.split(".")[0] in ("radio", "places", "compute")
    }
    assert set(given) == set(known)
    for key, default in known.items():
        value = float(given[key]) if isinstance(default, float) else given[key]
        assert value == (list(default) if isinstance(default, tuple) else default), key


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
