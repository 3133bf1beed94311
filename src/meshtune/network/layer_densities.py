"""How many positions of each layer devices will train, before training: equal densities, or those of a run's masks.

Entropies need weights and prompts, which a plan does not have. Without a run, every layer therefore has the same
density. If a run has prepared its masks, its densities per layer and its counts per output row are used instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from meshtune.adapter.layer_budget import layer_counts
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import MeshtuneError, UserError
from meshtune.files import resuming
from meshtune.methods.base import Method
from meshtune.methods.state import Masks
from meshtune.node.stored_announcements import PREPARED, load_announcements
from meshtune.runs.store import RunStore
from meshtune.topology.collision import Use, expected, of_masks
from meshtune.wireless.arrays import Ints


@dataclass(frozen=True, eq=False)
class Planned:
    """What is known about all devices' masks.

    Attributes:
        use: the basis for collision rates.
        rate: ``expected`` or ``rows``, according to ``use``.
        density: share of B's positions that a device trains; the largest if devices differ.
        notes: what a reader should know about them.
        counts: (devices, layers) positions of each layer in a calibrated mask; ``sizes``: (layers,) d r.
    """

    use: Use
    rate: str
    density: float
    notes: tuple[str, ...]
    counts: Ints
    sizes: Ints


def uniform(config: RunConfig, layers: Sequence[LayerSpec], density: Sequence[float], masked: bool = True) -> Planned:
    """Return equal densities for all layers.

    Args:
        config: ``adapter.*``, ``clusters.rate``.
        layers: the adapted layers of the model.
        density: of every device's calibrated mask.
        masked: whether collisions are counted on these masks; otherwise all positions collide.
    """
    room = sizes(layers, config.adapter.rank)
    held, counts = np.array(room), _equal(room, density)
    shares = counts / held if len(set(density)) > 1 else np.broadcast_to(counts[0] / held, counts.shape)
    use = expected(shares if masked else np.broadcast_to(1.0, counts.shape), room)
    least, most = min(density), max(density)
    if not masked:
        full = "every position is trained, so any two devices collide everywhere: range and power alone decide clusters"
        return Planned(use, "expected", 1.0, (full,), counts, held)
    if least == 1:
        full = (
            "every position is trained, so any two devices collide everywhere: only clusters.s_max=1 lets them form "
            "clusters"
        )
        return Planned(use, "expected", most, (full,), counts, held)
    notes = []
    if config.adapter.budget != "uniform":
        told = f"density {most:g}" if least == most else "its device's density"
        notes.append(
            f"adapter.budget={config.adapter.budget} needs weights and prompts, so every layer is taken to have "
            f"{told}: `density_from` RUN takes a run's own"
        )
    if config.clusters.rate == "rows":
        notes.append(
            "clusters.rate=rows needs masks, so collision rates are expected from densities alone (eq. 19); real masks "
            "concentrate on the same output rows and collide about 3 times as often in pairs"
        )
    return Planned(use, "expected", most, tuple(notes), counts, held)


def _equal(room: Sequence[int], density: Sequence[float]) -> Ints:
    """Return the positions per layer of calibrated masks (devices, layers), all layers equally dense."""
    each = {share: np.array(layer_counts(None, room, share, "uniform"), dtype=np.int64) for share in set(density)}
    if len(each) == 1:
        return np.broadcast_to(each[density[0]], (len(density), len(room)))
    return np.array([each[share] for share in density])


def from_run(config: RunConfig, layers: Sequence[LayerSpec], devices: int, method: Method, run: Path) -> Planned:
    """Return the densities of ``method``'s masks in the folder ``run``, assigned to devices in order.

    Raises:
        UserError: there is no run, it has not prepared such masks, or it has another rank, model or number of devices;
            or the method has no masks.
    """
    if not method.masks.selects:
        raise UserError(f"`density_from` {run}: {method.name} trains every position: leave the option out")
    store = RunStore.open(run)
    theirs = validate(store.config(), str(run))
    rank, count = config.adapter.rank, len(theirs.device_tasks)
    if theirs.adapter.rank != rank:
        raise UserError(
            f"`density_from` {run}: its masks are of rank {theirs.adapter.rank}, the plan's adapter.rank is {rank}: "
            "plan with the run's"
        )
    if count != devices:
        raise UserError(
            f"`density_from` {run}: it has {count} devices, the plan {devices}: plan with the setting "
            f"`devices.count={count}`"
        )
    if not store.has(PREPARED):
        raise UserError(f"`density_from` {run}: its masks are not prepared yet: resume with {resuming(run)}")
    try:
        announced, _ = load_announcements(store, theirs, layers)
    except UserError:
        raise
    except MeshtuneError as error:
        raise UserError(
            f"`density_from` {run}: its model is {theirs.model.name}, the plan's {config.model.name}, and their layers "
            f"differ in size ({error}): plan with the run's model"
        ) from error
    masks = [method.masks.of(own) for own in announced]
    if not all(masks):
        raise UserError(
            f"`density_from` {run}: it has no masks of {method.name}: name a run with {method.name} among its methods"
        )
    ours, told = ([task.key for task in one.device_tasks] for one in (config, theirs))
    differing = [device for device in range(count) if ours[device] != told[device]]
    columns = method.masks.columns(theirs.adapter)
    planned = _of_masks(config, layers, masks, [own.masks for own in announced], run, columns)
    if not differing:
        return planned
    first = differing[0]
    note = f"device {first} has the task {ours[first]}, its mask is one of {told[first]}: masks are taken in order"
    return replace(planned, notes=(*planned.notes, note))


def _of_masks(
    config: RunConfig,
    layers: Sequence[LayerSpec],
    masks: Sequence[Masks],
    calibrated: Sequence[Masks],
    run: Path,
    rank: int,
) -> Planned:
    room, whole = sizes(layers, rank), sizes(layers, config.adapter.rank)
    used = _counts(masks)
    density = float(used.sum(axis=1).max() / sum(room))
    share = density if config.adapter.density == "planned" else config.adapter.share
    counts = _counts(calibrated) if all(calibrated) else _equal(whole, [share] * len(masks))
    notes = [f"densities are those of the masks in {run}: {density:.3g} over all layers"]
    rate = config.clusters.rate
    return Planned(of_masks(masks, room, rank, rate), rate, density, tuple(notes), counts, np.array(whole))


def _counts(masks: Sequence[Masks]) -> Ints:
    return np.array([[positions.size for positions in mask] for mask in masks], dtype=np.int64)
