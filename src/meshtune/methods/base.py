"""What a federated method decides, and what it may know.

A method sees one device at a time: its own expert, what others announced, and the newest update it holds from each.
It never knows which engine runs it. It decides where training starts, whether to send, how to mix what arrived before
the next round, and which experts answer a prompt.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Expert, LoraExpert, Projections, SparseExpert
from meshtune.adapter.full_expert import FullExpert
from meshtune.adapter.mask import join, vote
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Bank
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.methods.config import PaperConfig
from meshtune.methods.mates import alike, joined_mean, trained_mean
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.routers import OracleRouter, Router
from meshtune.routing.statistics import Statistics

Made = TypeVar("Made")
Masks = tuple[NDArray[np.int64], ...]
"""Per layer sorted flat positions."""
NEGOTIATED = "negotiated"
"""The name among :attr:`Announcement.others` of a mask that the groups of a cluster agreed on."""


@dataclass(frozen=True)
class Announcement:
    """What a device says once about itself.

    Attributes:
        device: its id.
        group: its declared task key.
        samples: N_i, how many training rows it holds.
        recipe: what regenerates its projections A.
        masks: per layer its own calibrated mask, sorted flat positions; empty for methods without masks.
        statistics: its task statistics for the router, or None where the method sends none.
        codes: its task codes h0 of eq. 26, place after place (sum of k,), or None where no method asks for them.
        others: masks that it found in other ways than calibration, by name; never sent under that name.
        scores: what ranked the positions of ``masks``, all layers end to end (sum of d r,), until masks are negotiated;
            never sent.
        voted: whether ``masks`` is what its group agreed on before, so that it takes part in no vote: what devices
            tell those that they meet on their way.
    """

    device: int
    group: str
    samples: int
    recipe: Recipe
    masks: Masks = ()
    statistics: Statistics | None = None
    codes: NDArray[np.float32] | None = None
    others: Mapping[str, Masks] = field(default_factory=dict)
    scores: NDArray[np.floating[Any]] | None = None
    voted: bool = False

    @cached_property
    def mask_digest(self) -> str:
        """A hash of the mask."""
        return hashlib.blake2b(b"|".join(m.tobytes() for m in self.masks), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Update:
    """The values a device published behind round ``version``, as they arrived.

    Attributes:
        source: the device.
        version: the round.
        values: (nnz or parameters,).
        coded: what they were made of, where they came as a difference to the version before: (bytes,), to be passed on.
    """

    source: int
    version: int
    values: Tensor
    coded: Tensor | None = None


@dataclass
class Member:
    """One device under one method.

    Attributes:
        device: its id.
        own: its own announcement.
        expert: what it trains, as it stands.
        moments: its optimiser's state.
        known: announcements it holds, by device id, its own included.
        held: the newest update it holds from each device, as published, its own included.
        history: what identifies the optimiser's past, so that equal training is done once.
        residual: what its last update left out and mixing took from its expert (count,), to be sent with the next.
        clusters: the cluster of every device, where the air made clusters; empty where all are in one.
        timely: whether a mix takes this round's updates only, as where rounds end whether or not all have been heard;
            else the newest of every device, however old.
    """

    device: int
    own: Announcement
    expert: Expert
    moments: dict[str, Tensor] = field(default_factory=dict)
    known: dict[int, Announcement] = field(default_factory=dict)
    held: dict[int, Update] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    residual: Tensor | None = None
    clusters: Mapping[int, int] = field(default_factory=dict)
    timely: bool = False

    def groups(self) -> dict[str, list[int]]:
        """Return the devices of every group it knows, ids ascending, groups sorted."""
        result: dict[str, list[int]] = {}
        for device in sorted(self.known):
            result.setdefault(self.known[device].group, []).append(device)
        return dict(sorted(result.items()))

    def holders(self, group: str) -> list[int]:
        """Return the devices of ``group`` whose updates it holds, ids ascending."""
        return [device for device in self.groups().get(group, []) if device in self.held]

    def counted(self, devices: Sequence[int]) -> list[int]:
        """Return those of ``devices`` whose updates count in this round's mix; it holds one of each."""
        if not self.timely:
            return list(devices)
        now = self.held[self.device].version
        return [device for device in devices if self.held[device].version == now]


@dataclass(frozen=True)
class Answer:
    """Who answers: ``experts`` (G; None is the frozen model) and each prompt's ``gates`` (prompts, G), summing to 1.

    ``bank`` says how the experts are joined where they do not simply stand side by side.
    """

    experts: tuple[Expert | None, ...]
    gates: NDArray[np.float64]
    bank: Bank | None = None


class Workshop:
    """Builds experts from announcements; shared by the devices of a process so that equal experts exist once.

    Args:
        layers: the adapted layers of the base model.
        adapter: rank and scale.
        seed: of LoRA's common initialisation.
        dtype: of the frozen projections.
        device: where projections live.
        weights: returns all weights of the base model (parameters,), for methods that train them.
    """

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        adapter: AdapterConfig,
        seed: int,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        weights: Callable[[], Tensor] | None = None,
    ) -> None:
        self.layers = layers
        self.adapter = adapter
        self.seed = seed
        self._dtype, self._device, self._weights = dtype, device, weights
        self._full: FullExpert | None = None
        self._projections: dict[Recipe, Projections] = {}
        self._voted: dict[tuple[object, ...], SparseExpert] = {}
        self._mixed: dict[tuple[tuple[int, int, int], ...], Expert] = {}
        self._made: dict[tuple[object, ...], object] = {}
        self._positions: dict[str, Tensor] = {}
        self.routers: dict[tuple[object, ...], Router] = {}

    def projections(self, recipe: Recipe) -> Projections:
        """Return the A of ``recipe``, made once."""
        if recipe not in self._projections:
            self._projections[recipe] = Projections(recipe, self._dtype, self._device)
        return self._projections[recipe]

    def lora(self) -> LoraExpert:
        """Return a fresh LoRA expert; the same on every device, so that averages mean something."""
        return LoraExpert(self.layers, self.adapter.rank, self.adapter.scale, seed=self.seed, device=self._device)

    def full(self) -> FullExpert:
        """Return the base model itself, as what is trained."""
        if self._full is None:
            assert self._weights is not None
            self._full = FullExpert(self.layers, self._weights())
        return self._full

    def alone(self, own: Announcement) -> SparseExpert:
        """Return a fresh sparse expert over the device's own mask, B = 0."""
        return self._voted_expert([own])

    def group_expert(self, members: Sequence[Announcement]) -> SparseExpert:
        """Return a fresh sparse expert over the mask the group's members agree on by vote, B = 0."""
        return self._voted_expert(members)

    def _voted_expert(self, members: Sequence[Announcement]) -> SparseExpert:
        key = tuple((member.device, member.recipe, member.mask_digest) for member in members)
        if key not in self._voted:
            masks = (
                list(members[0].masks)
                if len(members) == 1
                else vote([(m.device, list(m.masks)) for m in members], sizes(self.layers, self.adapter.rank))
            )
            self._voted[key] = SparseExpert(self.layers, self.projections(members[0].recipe), masks, self.adapter.scale)
        return self._voted[key]

    def mean(self, shape: Expert, updates: Sequence[Update], samples: Mapping[int, int]) -> Expert:
        """Return ``shape`` with sum_j w_j values_j / sum_j w_j of what arrived, w_j = N_j (eq. 9, normalised once)."""
        key = tuple((u.source, u.version, id(u.values)) for u in updates)
        if key not in self._mixed:
            total = sum(samples[u.source] for u in updates)
            mixed = torch.zeros_like(updates[0].values, dtype=torch.float32)
            for update in updates:
                mixed.add_(update.values.float(), alpha=samples[update.source] / total)
            self._mixed[key] = shape.with_values(mixed)
        return self._mixed[key]

    def positions(self, announced: Announcement) -> Tensor:
        """Return where a device's values stand in all layers' B laid end to end (nnz,)."""
        if announced.mask_digest not in self._positions:
            joined = join(announced.masks, sizes(self.layers, self.adapter.rank))
            self._positions[announced.mask_digest] = torch.from_numpy(joined)
        return self._positions[announced.mask_digest]

    def once(self, key: tuple[object, ...], make: Callable[[], Made]) -> Made:
        """Return what ``make`` returned when it was first asked for under ``key`` since the last exchange."""
        if key not in self._made:
            self._made[key] = make()
        return cast(Made, self._made[key])

    def forget(self) -> None:
        """Drop what was mixed in past rounds."""
        self._mixed.clear()
        self._made.clear()


class Method(ABC):
    """One federated method.

    Attributes:
        name: what users call it.
        kind: ``sparse``, ``lora`` or ``full``: what its devices train.
        exchanges: whether anything leaves a device.
        routes: whether it sends task statistics and answers through a router.
        codes: whether it sends the task codes of eq. 26.
        masks: how its masks are found: ``calibrated``, a name of :attr:`Announcement.others`, or empty for none.
        negotiates: whether it takes negotiated masks instead, where there are some: it adds the expansions of several
            groups, so that their collisions hurt.
        pooled: whether all its devices train one expert on all their rows together.
        alone: whether its devices know their own task only.
        relays: whether it passes on other devices' updates.
        keeps: whether a device still holds others' updates in the next round, so that differences to them do.
    """

    name = ""
    kind = "sparse"
    exchanges = True
    routes = False
    codes = False
    masks = "calibrated"
    negotiates = False
    pooled = False
    alone = False
    relays = False
    keeps = True

    def announces(self, own: Announcement, workshop: Workshop) -> Announcement:
        """Return what a device says of itself under this method, of all that it has found out."""
        name = NEGOTIATED if self.negotiates and NEGOTIATED in own.others else self.masks
        return replace(own, masks=own.others[name]) if name in own.others else own

    def reintroduces(self, member: Member, workshop: Workshop) -> Announcement:
        """Return what a device's announcement is to those who first hear of it when rounds have been played."""
        return member.known[member.device]

    def routers(self, router: RouterConfig, paper: PaperConfig) -> tuple[str, ...]:
        """Return the names of the routers it is scored with, its own first; none where it needs none."""
        return router.names if self.routes else ()

    @abstractmethod
    def begin(self, own: Announcement, known: Mapping[int, Announcement], workshop: Workshop) -> Expert:
        """Return the expert a device starts from."""

    @abstractmethod
    def mix(self, member: Member, workshop: Workshop) -> None:
        """Set the member's expert to what the next round starts from, out of what it holds."""

    @abstractmethod
    def answer(
        self,
        member: Member,
        groups: Sequence[str],
        router: Router | None,
        features: Features,
        workshop: Workshop,
    ) -> Answer:
        """Return who answers each prompt.

        Args:
            member: the device that is asked.
            groups: the true group of every prompt; only methods with a perfect router may look.
            router: the fitted router, for methods that route.
            features: what the router looks at, a row a prompt.
            workshop: builds the experts.
        """

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        """Return what each expert of :meth:`answer` knows, a task key, and the devices whose training is in it."""
        return [(member.own.group, (member.device,))]


def held_gates(router: Router, seen: Features, held: Sequence[str], own: str) -> NDArray[np.float64]:
    """Return the router's gates (prompts, held) over the groups that a device holds experts of, summing to 1.

    Where all that the router wants are still on their way, the device's ``own`` group answers.
    """
    gates = router.gates(seen)[:, [list(router.groups).index(group) for group in held]]
    gates[gates.sum(axis=1) <= 0, list(held).index(own)] = 1.0
    found: NDArray[np.float64] = gates / gates.sum(axis=1, keepdims=True)
    return found


def only(expert: Expert | None, prompts: int) -> Answer:
    """Return the answer in which one expert answers all prompts."""
    return Answer((expert,), np.ones((prompts, 1)))


class BankMethod(Method):
    """Experts kept apart by group: nothing is overwritten, no cross terms (method section 6, ``bank``)."""

    relays = True

    def reintroduces(self, member: Member, workshop: Workshop) -> Announcement:
        own = member.known[member.device]
        trained = self.begin(own, member.known, workshop)
        if not isinstance(trained, SparseExpert):
            return own
        return replace(own, masks=tuple(mask.cpu().numpy() for mask in trained.masks), voted=True)

    def begin(self, own: Announcement, known: Mapping[int, Announcement], workshop: Workshop) -> Expert:
        if self.kind == "lora":
            return workshop.lora()
        if own.voted:
            return workshop.alone(own)
        mates = [known[d] for d in sorted(known) if known[d].group == own.group]
        return workshop.group_expert([mate for mate in mates if not mate.voted])

    def mix(self, member: Member, workshop: Workshop) -> None:
        # A device alone in its group goes on with its own unrounded values; a group takes the mean of what was sent.
        # A mate several hops away counts with the newest that has arrived, which is as many rounds old; unless rounds
        # end on time, when those who are not heard in one are left out of its mean.
        mates = len(member.groups()[member.own.group])
        mixed = member.counted(member.holders(member.own.group))
        if mates > 1 and (len(mixed) > 1 or not member.timely):
            member.expert = self._mean(member, mixed, workshop, member.device)

    def of_group(self, member: Member, group: str, workshop: Workshop) -> Expert:
        """Return the group's expert: the mean of what the member holds from the group."""
        return self._mean(member, member.holders(group), workshop)

    def _mean(self, member: Member, devices: Sequence[int], workshop: Workshop, own: int | None = None) -> Expert:
        """Return the mean of what is held from these devices of one group; what ``own`` trains of it, if given."""
        updates = [member.held[d] for d in devices]
        samples = {d: member.known[d].samples for d in member.known}
        first = self.begin(member.known[devices[0]], member.known, workshop)
        if not isinstance(first, SparseExpert):  # all have one shape
            return workshop.mean(first, updates, samples)
        others = (self.begin(member.known[d], member.known, workshop) for d in devices[1:])
        shapes = [first, *(shape for shape in others if isinstance(shape, SparseExpert))]
        if alike(shapes):
            return workshop.mean(first, updates, samples)
        weights = [float(samples[d]) for d in devices]
        if own is not None:
            return trained_mean(shapes, updates, weights, devices.index(own))
        key = ("joined", *((u.source, u.version, id(u.values)) for u in updates))
        return workshop.once(key, lambda: joined_mean(shapes, updates, weights))

    def bank(self, member: Member, workshop: Workshop) -> dict[str, Expert]:
        """Return the experts it can answer with, by group, in the order of :meth:`sources`."""
        return {g: self.of_group(member, g, workshop) for g, _ in self.sources(member)}

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        return [(g, tuple(member.holders(g))) for g in member.groups() if member.holders(g)]

    def oracle(self, member: Member, groups: Sequence[str], workshop: Workshop) -> Answer:
        """Return the perfect router's answer; a group it has no expert of is answered by its own group's."""
        bank = self.bank(member, workshop)
        gates = OracleRouter(list(bank)).gates_for([g if g in bank else member.own.group for g in groups])
        return Answer(tuple(bank.values()), gates)
