"""A run in Python: its configuration, its results, and its devices, ready to be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.files import no_run
from meshtune.routing.config import check_router
from meshtune.runs.events import Event
from meshtune.runs.observer import Observer, Silent
from meshtune.runs.output_folder import check_out
from meshtune.runs.store import RunStore

if TYPE_CHECKING:
    from meshtune.inference.device import Device
    from meshtune.inference.opening import DeviceLoader
    from meshtune.report.results_file import Results


class Run:
    """A run in its folder. :func:`run` and :func:`open_run` return it.

    Attributes:
        path: the folder.

    Args:
        path: the folder.
        on_event: called with the events of loading and scoring.
    """

    def __init__(self, path: Path, on_event: Observer) -> None:
        self.path = path
        self._on_event = on_event
        self._loader: DeviceLoader | None = None

    def __repr__(self) -> str:
        return f"meshtune.open_run({str(self.path)!r})"

    @cached_property
    def config(self) -> RunConfig:
        """The configuration that the run was started with."""
        return validate(RunStore.open(self.path).config(), str(self.path))

    @property
    def devices(self) -> dict[int, str]:
        """The key of the task that each device trains on, by its id."""
        return {device: task.key for device, task in enumerate(self.config.device_tasks)}

    @property
    def results(self) -> Results:
        """The content of ``results.json``, read on access: a header, and one row per measure.

        Raises:
            UserError: the run is not finished, or the file is damaged.
        """
        from meshtune.report.results_file import load_results

        return load_results(self.path)

    def device(self, device: int = 0, method: str | None = None, router: str | None = None) -> Device:
        """Return a device as of the newest finished round, ready to be asked.

        The base model is loaded with the first device and shared by all.

        Args:
            device: its id, a key of :attr:`devices`.
            method: a method of the run, or ``frozen`` for the base alone; None for ``proposed``, or else the first that
                can be asked.
            router: a name of :data:`meshtune.routing.registry.ROUTERS`; None for the run's own.

        Raises:
            UserError: no round is finished; there is no such device, method or router; or the method needs to know the
                task of a prompt, like ``oracle``.
        """
        if router is not None:
            check_router(router)
        if self._loader is None:
            from meshtune.inference.opening import DeviceLoader

            self._loader = DeviceLoader(self.path, self._on_event)
        return self._loader.load(device, method, router)

    def evaluate(
        self,
        questions: int | None = None,
        routers: Sequence[str] = (),
        write: bool = True,
        unsafe_code: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Evaluate the newest checkpoint again, and write ``results.json`` for this exam.

        Existing scores are not computed again.

        Args:
            questions: test questions per task; None for as many as in the run's own exam.
            routers: further routers to score.
            write: False generates no written answers; such tasks are then measured only by the NLL of the references.
            unsafe_code: run the programs that models write without isolation, with your rights.
            on_event: called with every event; None for the function given when the run was opened.

        Raises:
            UserError: no round is finished, or a setting or router is impossible.
        """
        for router in routers:
            check_router(router)
        exam = {"questions": questions, "write": None if write else False, "unsafe_code": unsafe_code or None}
        changes: dict[str, Any] = {}
        if chosen := {key: value for key, value in exam.items() if value is not None}:
            changes["eval"] = chosen
        if routers:
            changes["router"] = {"also": list(dict.fromkeys([*self.config.router.also, *routers]))}
        from meshtune.simulator import simulation as engine

        engine.evaluate(self.path, on_event or self._on_event, changes)


def run(config: RunConfig, out: Path | str, on_event: Callable[[Event], None] | None = None) -> Run:
    """Run ``config`` in the folder ``out`` to its end.

    A folder that holds the same run is resumed after its last finished round; a finished run is not run again.

    Args:
        config: from :func:`load_config`.
        out: the run's folder, created if needed.
        on_event: called with every event; if it raises, the run stops and keeps its finished rounds.

    Raises:
        UserError: the folder holds something else, or something in the configuration, the data or the model is wrong.
    """
    folder = Path(out)
    check_out(folder)
    from meshtune.simulator import simulation as engine  # imports torch: only after the folder is checked

    observer = on_event or Silent()
    return Run(engine.run(config, folder, observer), observer)


def open_run(path: Path | str, on_event: Callable[[Event], None] | None = None) -> Run:
    """Open the folder of a run, finished or not.

    Args:
        path: the folder.
        on_event: called with every event of loading and scoring.

    Raises:
        UserError: it holds no run; names the sibling with the most similar name.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise no_run(folder)
    RunStore.open(folder)
    return Run(folder, on_event or Silent())
