"""Settings without effect in a configuration.

Settings that free links cannot support, such as faults, are refused (:mod:`meshtune.config.run_config`). Settings of
places, computing and clusters only matter over the air. Without a radio they have no effect, so ``--set radio=null``
alone turns the radio off, and the run says so once.
"""

from __future__ import annotations

from meshtune.config.run_config import RunConfig

OF_THE_AIR = ("places", "compute", "clusters")
"""The groups of keys that need a radio."""


def idle_note(config: RunConfig) -> str | None:
    """Return which settings have no effect in a run without a radio; None if there are none."""
    if config.radio is not None:
        return None
    idle = [
        f"{group}.{key}"
        for group in OF_THE_AIR
        for key, value in getattr(config, group)
        if value != type(getattr(config, group)).model_fields[key].default
    ]
    if not idle:
        return None
    does, them = ("changes", "it") if len(idle) == 1 else ("change", "them")
    return f"{', '.join(idle)} {does} nothing without a radio, as links are free: set radio={{}}, or leave {them} out"
