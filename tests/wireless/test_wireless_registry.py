"""The names of the channels: each has a model, and what is said of one that there is not."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from meshtune.errors import UserError
from meshtune.wireless import channels
from meshtune.wireless.channel import Channel
from meshtune.wireless.registry import CHANNELS, MODULES, check_channel


def test_every_model_has_one_name_and_every_name_its_model() -> None:
    modules = [f"{channels.__name__}.{module}" for module in MODULES.values()]
    found = [importlib.import_module(module).CHANNEL for module in modules]
    assert all(issubclass(kind, Channel) and kind.__module__ == own for kind, own in zip(found, modules, strict=True))
    assert sorted(MODULES.values()) == sorted(one.name for one in pkgutil.iter_modules(channels.__path__))
    assert list(MODULES) == list(CHANNELS) == [check_channel(name) for name in CHANNELS]


def test_an_unknown_channel() -> None:
    with pytest.raises(UserError, match="there is no channel called urbn: did you mean urban"):
        check_channel("urbn")
    with pytest.raises(UserError, match=f"choose from {', '.join(CHANNELS)}$"):
        check_channel("x")
