"""Many devices, one frozen LLM, no server: sparse-and-orthogonal LoRA over wireless links.

Every device trains a sparse adapter for its own task, exchanges it with the neighbours it can reach, and answers every
task by routing (arXiv:2602.20492). The command line is ``meshtune``.

In Python::

    run = meshtune.run(meshtune.load_config("my-data.yaml"), "runs/mine")
    print(run.device(3).ask("Is the sky blue?").answer)

Names are imported on first use, so that ``import meshtune`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meshtune.version import __version__

if TYPE_CHECKING:
    from meshtune.api.run_folder import Run, open_run, run
    from meshtune.config.config_file import load_config
    from meshtune.config.demo_config import demo_config
    from meshtune.config.run_config import RunConfig
    from meshtune.errors import MeshtuneError, UserError
    from meshtune.inference.device import Device
    from meshtune.inference.held_experts import HeldExpert, LayerUpdate
    from meshtune.inference.reply import Reply, Weight
    from meshtune.runs.events import Event, Note, PhaseStarted, Progress, RoundDone, RunDone, Scored, StepDone

_MODULES = {
    "meshtune.api.run_folder": ("Run", "open_run", "run"),
    "meshtune.config.demo_config": ("demo_config",),
    "meshtune.config.run_config": ("RunConfig",),
    "meshtune.config.config_file": ("load_config",),
    "meshtune.errors": ("MeshtuneError", "UserError"),
    "meshtune.inference.device": ("Device",),
    "meshtune.inference.held_experts": ("HeldExpert", "LayerUpdate"),
    "meshtune.inference.reply": ("Reply", "Weight"),
    "meshtune.runs.events": (
        "Event",
        "Note",
        "PhaseStarted",
        "Progress",
        "RoundDone",
        "RunDone",
        "Scored",
        "StepDone",
    ),
}
_FOUND_IN = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Device",
    "Event",
    "HeldExpert",
    "LayerUpdate",
    "MeshtuneError",
    "Note",
    "PhaseStarted",
    "Progress",
    "Reply",
    "RoundDone",
    "Run",
    "RunConfig",
    "RunDone",
    "Scored",
    "StepDone",
    "UserError",
    "Weight",
    "__version__",
    "demo_config",
    "load_config",
    "open_run",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _FOUND_IN:
        raise AttributeError(f"module 'meshtune' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_FOUND_IN[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
