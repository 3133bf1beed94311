"""Reopening a run's folder: damaged parts are repaired or recomputed, and nothing is combined with parts that do not
match it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from meshtune.adapter.sites import LayerSpec
from meshtune.config.run_config import RunConfig
from meshtune.errors import MeshtuneError, UserError
from meshtune.methods.state import Announcement
from meshtune.node.stored_announcements import PREPARED, load_announcements, save_announcements
from meshtune.runs.events import Note
from meshtune.runs.manifest import DamagedError, reason
from meshtune.runs.observer import Observer
from meshtune.runs.provenance import Stamp
from meshtune.runs.store import RunStore, round_name
from meshtune.simulator.resume import Loaded

PLAN = ("micro_tokens", "checkpoint")
"""Settings that a run keeps from its start, wherever it is resumed: how batches are split into micro-batches."""


def reopened(path: Path, observer: Observer, config: Mapping[str, Any] | None = None) -> RunStore:
    """Return the run in ``path``, whose lock is held, after telling ``observer`` what had to be repaired.

    Raises:
        UserError: it cannot be repaired, or is not the run of ``config``.
    """
    store = RunStore.open(path)
    for note in store.repair():
        observer(Note(note))
    if config is not None:
        store.check_config(config)
    return store


def begun_with(store: RunStore, last: Loaded | None) -> dict[str, Any] | None:
    """Return the run's settings of :data:`PLAN`; None if nothing undamaged holds them."""
    facts: Mapping[str, Any] = {}
    if last is not None:
        facts = last.facts
    elif store.has(PREPARED):
        try:
            facts = store.load(PREPARED)[1]
        except DamagedError:
            return None
    made = facts.get("made")
    plan = made.get("plan") if isinstance(made, Mapping) else None
    if not isinstance(plan, Mapping):
        return None
    micro, checkpoint = (plan.get(key) for key in PLAN)
    if type(micro) is not int or micro < 1 or not isinstance(checkpoint, bool):
        return None
    return dict(zip(PLAN, (micro, checkpoint), strict=True))


def prepared(
    store: RunStore,
    config: RunConfig,
    layers: Sequence[LayerSpec],
    stamp: Stamp,
    work: Callable[[], tuple[list[Announcement], dict[str, Any]]],
    last: Loaded | None,
    observer: Observer,
) -> tuple[list[Announcement], dict[str, Any]]:
    """Return every device's announcement and the facts stored with them, from the store if they are there.

    Args:
        store: the run's folder.
        config: the settings, those of :data:`PLAN` included.
        layers: the adapted layers.
        stamp: what the run is made with.
        work: computes the announcements and the further facts to store.
        last: the checkpoint to resume from.
        observer: notified if stored announcements are damaged and computed again.

    Raises:
        UserError: the announcements or the checkpoint were made with something else.
    """
    found = None
    if store.has(PREPARED):
        try:
            found = _loaded(store, config, layers, stamp)
        except DamagedError as error:
            observer(Note(f"{reason(error)}: the preparation is recomputed"))
    if found is None:
        plan = {key: getattr(config.train, key) for key in PLAN}
        started = time.perf_counter()
        made, more = work()
        seconds = {"prepare": time.perf_counter() - started}
        facts = {"made": {**stamp.facts(), "plan": plan}, "seconds": seconds, **more}
        save_announcements(store, config, layers, made, facts)
        found = _loaded(store, config, layers, stamp)
    own, facts = found
    if last is not None:
        made_with = last.facts.get("made")
        stamp.check(made_with, store, round_name(last.number))
        if not isinstance(made_with, Mapping) or made_with.get("prepared") != facts["digest"]:
            raise UserError(
                f"{round_name(last.number)} in {store.path} was trained from another preparation than {PREPARED} "
                "holds, as when that was lost and recomputed differently on this machine: start the run again in "
                "another folder"
            )
    return own, facts


def _loaded(
    store: RunStore, config: RunConfig, layers: Sequence[LayerSpec], stamp: Stamp
) -> tuple[list[Announcement], dict[str, Any]]:
    made = store.load(PREPARED)[1].get("made")
    stamp.check(made, store, PREPARED)  # first: the rest assumes the same base model and configuration
    try:
        own, facts = load_announcements(store, config, layers)
    except DamagedError:
        raise
    except MeshtuneError as error:
        raise store.damaged(PREPARED, error) from error
    if not isinstance(facts.get("digest"), str) or not isinstance(facts["made"].get("plan"), Mapping):
        raise store.damaged(PREPARED, "it lacks its digest or plan")
    return own, facts
