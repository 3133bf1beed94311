"""The configuration of ``meshtune demo``, which comes with the package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any

from meshtune.config.config_file import Overrides, load_config
from meshtune.config.run_config import RunConfig

FILE = "demo.yaml"


def demo_config(overrides: Overrides = ()) -> RunConfig:
    """Return the demo's configuration, with overrides as :func:`meshtune.load_config` takes them.

    Raises:
        UserError: an override is wrong.
    """
    with as_file(files("meshtune") / FILE) as file:
        return load_config(file, overrides, "the demo")


def is_demo(config: Mapping[str, Any]) -> bool:
    """Return whether a run's stored configuration is the demo's without any override."""
    return demo_config().model_dump(mode="json") == config
