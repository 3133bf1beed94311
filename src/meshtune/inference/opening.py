"""From a run's folder to one of its devices, ready to be asked.

The training data are not needed: the base, what devices announced and the newest checkpoint are.
"""

from __future__ import annotations

from pathlib import Path

from meshtune.config.run_config import RunConfig, validate
from meshtune.errors import UserError, check_name
from meshtune.evaluation.exam import FROZEN
from meshtune.files import resuming
from meshtune.inference.session import Session
from meshtune.methods.bank import BankMethod
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import METHODS, get_method
from meshtune.model.loading import load
from meshtune.network.site import open_site
from meshtune.node.stored_announcements import PREPARED, load_announcements
from meshtune.runs.checksums import checksum
from meshtune.runs.manifest import bound
from meshtune.runs.observer import Observer
from meshtune.runs.provenance import Stamp
from meshtune.runs.store import RunStore, round_name
from meshtune.simulator.connecting import connect
from meshtune.simulator.resume import begin, newest, restore
from meshtune.training.full_parameters import weights_of


def open_session(
    path: Path, observer: Observer, device: int = 0, method: str | None = None, router: str | None = None
) -> Session:
    """Load what is needed to ask ``device`` of the run in the folder ``path``.

    Args:
        path: the run's folder.
        observer: told about progress.
        device: who is asked.
        method: under which method of the run, or ``frozen``; None for ``proposed``, or the first that can be asked.
        router: the router of a method that routes; None for the run's own.

    Raises:
        UserError: there is no run, no finished round, no such device, method or router, or the method must be told
            the task of a prompt.
    """
    store = RunStore.open(path)
    store.check_version()
    if store.latest_round() is None:
        raise UserError(f"{path} has no finished round to ask: go on with {resuming(path)}")
    tree = store.config()
    if router is not None:
        validate(tree, str(path)).router.check_announced(router)
        tree["router"] = {**tree["router"], "kind": router}
    config = validate(tree, str(path))
    count = len(config.device_tasks)
    if not 0 <= device < count:
        raise UserError(f"there is no device {device}: the run {path} has devices 0 to {count - 1}")
    chosen = method_of(config, method)
    routes = chosen.routes and method != FROZEN
    if router is not None and not routes:
        raise UserError(f"--router {router}: {method or chosen.name} has no router, leave the option out")
    observer.event("phase", name="load", total=1)
    base = load(config.model, config.adapter.per_layer)
    layers = base.adapters.layers
    factory = ExpertFactory(layers, config.adapter, config.seed, base.dtype, str(base.device), lambda: weights_of(base))
    stamp = Stamp(checksum(bound(store.config())), base.digest)
    own, facts = load_announcements(store, config, layers)
    stamp.check(facts.get("made"), store, PREPARED)
    loaded = newest(store, config.train.rounds)
    assert loaded is not None
    stamp.check(loaded.facts.get("made"), store, round_name(loaded.number))
    graph, network = connect(config, open_site(config), own, layers, factory)
    fresh = begin([chosen], graph, own, layers, factory, network)
    state, _ = restore(fresh, loaded, store, [chosen], factory, network)
    member = state.members[chosen.name][device]
    observer.event("advance", name="load", done=1)
    for note in base.paths.notes():
        observer.event("note", text=note)
    speaks = None if method == FROZEN else chosen
    asked = None if speaks is None else next(iter(speaks.routers(config.router, config.paper)), None)
    return Session(base, config, speaks, member, asked, factory, state.round)


def method_of(config: RunConfig, name: str | None) -> Method:
    """Return the method that answers; any that the run has for the frozen model.

    Raises:
        UserError: the run has none such, or it must be told the task of a prompt.
    """
    has = [get_method(known) for known in config.methods]
    free = [method for method in has if method.routes or not isinstance(method, BankMethod)]
    if name == FROZEN:
        return has[0]
    if name is None:
        first = next((method for method in free if method.name == "proposed"), next(iter(free), None))
        if first is None:
            raise UserError(
                f"{' and '.join(config.methods)} must be told the task of a prompt: ask --method {FROZEN}, or a run "
                "with proposed, whose router finds it"
            )
        return first
    if name not in config.methods:
        known = [*config.methods, FROZEN]
        if name in METHODS:
            raise UserError(f"--method {name}: the run has {', '.join(known)}: ask one of these")
        check_name("method", name, known)
    method = get_method(name)
    if method not in free:
        raise UserError(f"--method {name} must be told the task of a prompt: ask proposed, whose router finds it")
    return method
