"""What a configuration sets and nothing reads.

What asks for something that free links cannot do, such as faults, is refused (:mod:`meshtune.config.run_config`).
Settings of places, computing and clusters only say how things would be over the air: without a radio they change
nothing, so that ``--set radio=null`` alone takes the air out of a run, and the run says so once.
"""

from __future__ import annotations

from meshtune.config.run_config import RunConfig

OF_THE_AIR = ("places", "compute", "clusters")
"""The groups of keys that only a radio gives a meaning."""


def idle_note(config: RunConfig) -> str | None:
    """Return which settings change nothing in a run, as there is no radio; None where there is none of them."""
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
