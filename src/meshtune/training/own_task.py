"""Whether training helps: each device's loss on its own task after a round, against the frozen model, on held-out rows.

The check judges what a device has just trained, before anything is mixed into it. If that is worse than the frozen
model, the run says so immediately, with advice. It checks after the first round and then after every :data:`EVERY`
steps, so that checking costs a few percent of training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from meshtune.adapter.expert import Expert
from meshtune.adapter.full_expert import FullExpert
from meshtune.config.learning_config import lower_rate
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData
from meshtune.decoding.scoring import row_losses
from meshtune.methods.base import Method
from meshtune.methods.state import Member
from meshtune.model.base import Base
from meshtune.runs.events import Note
from meshtune.runs.observer import Observer
from meshtune.training.full_parameters import holding

ROWS = 8
"""Number of held-out rows per device."""
EVERY = 40
"""Steps between two checks."""
CLEAR = 2.0
"""Standard errors by which a device must be worse before it is reported."""


def looks(config: RunConfig, round_: int) -> bool:
    """Return whether the run checks after round ``round_``, counted from 1."""
    steps = config.train.steps
    return round_ == 1 or round_ * steps // EVERY > (round_ - 1) * steps // EVERY


class OwnTasks:
    """Checks what devices have trained against the frozen model.

    Args:
        base: the frozen model.
        config: the run's settings, with the learning rates found.
        asked: the settings as given, in which a rate may be ``auto``.
        methods: the methods that run.
        devices: their data.
        observer: notified immediately of methods that have made a device worse.
    """

    def __init__(
        self,
        base: Base,
        config: RunConfig,
        asked: RunConfig,
        methods: Sequence[Method],
        devices: Sequence[DeviceData],
        observer: Observer,
    ) -> None:
        self._base, self._config, self._asked = base, config, asked
        self._methods, self._devices, self._observer = methods, devices, observer
        self._frozen: dict[str | int, list[float]] = {}
        self._found: dict[str, dict[str, float]] = {}

    def taken(self) -> dict[str, dict[str, float]]:
        """Return by ``method/device`` the NLL on its own task and the frozen model's, since the last call."""
        found, self._found = self._found, {}
        return found

    def judge(self, members: Mapping[str, Sequence[Member]]) -> None:
        """Check every device's expert, and report the methods that have made a device worse."""
        known: dict[tuple[int, str | int], list[float]] = {}
        for method in self._methods:
            worse = []
            for member in members[method.name]:
                data = self._devices[member.device]
                key = (id(member.expert), _rows_of(data))
                if key not in known:
                    known[key] = self._losses(member.expert, data)
                mine, frozen = known[key], self._of_frozen(data)
                self._found[f"{method.name}/{data.device}"] = {"nll": fmean(mine), "frozen": fmean(frozen)}
                if clearly_worse(mine, frozen):
                    worse.append(data)
            if worse:
                first = self._found[f"{method.name}/{worse[0].device}"]
                self._observer(Note(self._sentence(method, worse, first)))

    def _sentence(self, method: Method, worse: Sequence[DeviceData], first: Mapping[str, float]) -> str:
        data, more = worse[0], len(worse) - 1
        others = f" and {more} other device{'s' if more > 1 else ''}" if more else ""
        lower = {}
        for kind in method.kind.rates:
            key, found = self._config.train.key(kind, method.name), self._asked.train.unsettled(kind, method.name)
            lower[key] = lower_rate(key, self._config.train.peak(kind, method.name), found)
        settings = " and ".join(f"the setting `{one}`" for one in lower.values())
        return (
            f"training has made {method.name} worse than the frozen model on the own task of device {data.device} "
            f"({data.group}){others}: NLL {first['nll']:.2f} against {first['frozen']:.2f} on rows set aside: stop, "
            f"and start again in another folder with {settings}"
        )

    def _of_frozen(self, data: DeviceData) -> list[float]:
        key = _rows_of(data)
        if key not in self._frozen:
            self._frozen[key] = self._losses(None, data)
        return self._frozen[key]

    def _losses(self, expert: Expert | None, data: DeviceData) -> list[float]:
        rows, micro = data.held(ROWS), self._config.train.micro_tokens
        if isinstance(expert, FullExpert):
            with holding(self._base, expert):
                return row_losses(self._base, None, rows, micro)
        return row_losses(self._base, expert, rows, micro)


def _rows_of(data: DeviceData) -> str | int:
    """Return the key of a device's held-out rows: its task, or the device if none are set aside."""
    return data.group if data.aside else data.device


def clearly_worse(mine: Sequence[float], frozen: Sequence[float]) -> bool:
    """Return whether paired losses are higher by :data:`CLEAR` standard errors, or not finite."""
    gaps = [a - b for a, b in zip(mine, frozen, strict=True)]
    if not all(map(math.isfinite, gaps)):
        return True
    spread = stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else 0.0
    return fmean(gaps) > CLEAR * spread
