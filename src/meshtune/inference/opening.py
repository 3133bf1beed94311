"""From a run's folder to its devices, ready to be asked.

This needs the base, the devices' announcements and the newest checkpoint, but not the training data. The base is loaded
with the first device and shared by all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError, check_name
from meshtune.evaluation.exam import FROZEN
from meshtune.files import resuming
from meshtune.inference.device import Device
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import METHODS, get_method
from meshtune.methods.state import Announcement
from meshtune.model.base import Base
from meshtune.model.loading import load
from meshtune.network.federation_state import FederationState
from meshtune.network.site import open_site
from meshtune.node.stored_announcements import PREPARED, load_announcements
from meshtune.runs.checksums import checksum
from meshtune.runs.events import Note, PhaseStarted, Progress
from meshtune.runs.manifest import bound
from meshtune.runs.observer import Observer
from meshtune.runs.provenance import Stamp
from meshtune.runs.store import RunStore, round_name
from meshtune.simulator.connecting import connect
from meshtune.simulator.resume import begin, newest, restore
from meshtune.training.full_parameters import weights_of


@dataclass(frozen=True)
class _Loaded:
    """State shared by all devices of a run, whatever their method."""

    base: Base
    factory: ExpertFactory
    own: list[Announcement]
    stamp: Stamp


class DeviceLoader:
    """Loads devices of one run; they share its base model.

    Args:
        path: the run's folder.
        observer: receives progress events.
    """

    def __init__(self, path: Path, observer: Observer) -> None:
        self._path, self._observer = path, observer
        self._shared: _Loaded | None = None
        self._states: dict[tuple[str, int], FederationState] = {}

    def load(self, device: int = 0, method: str | None = None, router: str | None = None) -> Device:
        """Return ``device`` as of the newest finished round.

        Args:
            device: its id.
            method: a method of the run, or ``frozen``; None for ``proposed``, or else the first that can be asked.
            router: the router, for a method that routes; None for the run's own.

        Raises:
            UserError: there is no run, no finished round, no such device, method or router, or the method needs to know
                the task of a prompt.
        """
        path = self._path
        store = RunStore.open(path)
        store.check_version()
        if store.latest_round() is None:
            raise UserError(f"{path} has no finished round to ask: resume with {resuming(path)}")
        tree = store.config()
        config = _routed_by(tree, router, path)
        count = len(config.device_tasks)
        if not 0 <= device < count:
            raise UserError(f"there is no device {device}: the run {path} has devices 0 to {count - 1}")
        chosen = method_of(config, method)
        routes = chosen.routing.statistics and method != FROZEN
        if router is not None and not routes:
            raise UserError(f"`router` {router}: {method or chosen.name} has no router, leave the option out")
        shared = self._load(store, config)
        state = self._state(store, config, chosen, shared)
        member = state.members[chosen.name][device]
        speaks = None if method == FROZEN else chosen
        asked = None if speaks is None else next(iter(speaks.routing.names(config.router, config.paper)), None)
        return Device(shared.base, config, speaks, member, asked, shared.factory, state.round)

    def _load(self, store: RunStore, config: RunConfig) -> _Loaded:
        if self._shared is None:
            self._observer(PhaseStarted("load", 1))
            base = load(config.model, config.adapter.per_layer)
            layers, dtype, place = base.adapters.layers, base.dtype, str(base.device)
            factory = ExpertFactory(
                layers, config.adapter, config.seed, dtype, place, lambda: weights_of(base), config.paper
            )
            stamp = Stamp(checksum(bound(store.config())), base.digest)
            own, facts = load_announcements(store, config, layers)
            stamp.check(facts.get("made"), store, PREPARED)
            self._shared = _Loaded(base, factory, own, stamp)
            self._observer(Progress("load", 1, 1))
            for note in base.paths.notes():
                self._observer(Note(note))
        return self._shared

    def _state(self, store: RunStore, config: RunConfig, method: Method, shared: _Loaded) -> FederationState:
        """Return the run's state under ``method``; read once per checkpoint."""
        loaded = newest(store, config.train.rounds)
        assert loaded is not None
        key = (method.name, loaded.number)
        if key not in self._states:
            shared.stamp.check(loaded.facts.get("made"), store, round_name(loaded.number))
            layers, factory = shared.base.adapters.layers, shared.factory
            graph, network = connect(config, open_site(config), shared.own, layers, factory)
            fresh = begin([method], graph, shared.own, layers, factory, network)
            self._states[key] = restore(fresh, loaded, store, [method], factory, network)[0]
        return self._states[key]


def _routed_by(tree: dict[str, Any], router: str | None, path: Path) -> RunConfig:
    """Return the configuration in ``tree`` with another ``router``, if one is given."""
    config = validate(tree, str(path))
    if router is None:
        return config
    config.router.check_announced(router)
    return validate({**tree, "router": {**tree["router"], "kind": router}}, str(path))


def method_of(config: RunConfig, name: str | None) -> Method:
    """Return the method that answers; for the frozen model, any method of the run.

    Raises:
        UserError: the run does not have it, or it needs to know the task of a prompt.
    """
    has = [get_method(known) for known in config.methods]
    free = [method for method in has if not method.routing.oracle]
    if name == FROZEN:
        return has[0]
    if name is None:
        first = next((method for method in free if method.name == "proposed"), next(iter(free), None))
        if first is None:
            raise UserError(
                f"{' and '.join(config.methods)} must be told the task of a prompt: ask `method` {FROZEN}, or a "
                "run with proposed, whose router finds it"
            )
        return first
    if name not in config.methods:
        known = [*config.methods, FROZEN]
        if name in METHODS:
            raise UserError(f"`method` {name}: the run has {', '.join(known)}: ask one of these")
        check_name("method", name, known)
    method = get_method(name)
    if method not in free:
        raise UserError(f"`method` {name} must be told the task of a prompt: ask proposed, whose router finds it")
    return method
