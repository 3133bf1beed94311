"""The configuration that comes with the program."""

from __future__ import annotations

import json

import pytest

from meshtune.config.demo_config import demo_config, is_demo
from meshtune.errors import UserError


def test_it_needs_no_file_no_download_and_as_many_devices_as_its_help_says() -> None:
    config = demo_config()
    assert (config.model.name, config.data) == ("embedded", None)
    assert (config.devices.count, len(config.tasks)) == (10, 6)
    assert config.radio is not None


def test_overrides_are_put_into_it_and_a_mistake_names_the_override() -> None:
    changed = demo_config(["train.rounds=1", "methods=[local]"])
    assert (changed.train.rounds, changed.methods) == (1, ("local",))
    assert changed.devices == demo_config().devices
    with pytest.raises(UserError, match=r"^the setting `train\.rounds=0`: give 1 to 1,000,000$"):
        demo_config({"train.rounds": 0})
    with pytest.raises(UserError, match=r"^the demo with the setting `eval\.samples=5`: eval: 5 samples"):
        demo_config(["eval.samples=5"])


def test_only_the_demo_without_an_override_is_the_demo() -> None:
    """A run's folder holds its configuration as JSON."""
    held = json.loads(demo_config().model_dump_json())
    assert is_demo(held)
    assert is_demo(json.loads(demo_config(["seed=0"]).model_dump_json()))  # as it was anyway
    assert not is_demo(json.loads(demo_config(["train.rounds=5"]).model_dump_json()))
    assert not is_demo({key: value for key, value in held.items() if key != "seed"})
