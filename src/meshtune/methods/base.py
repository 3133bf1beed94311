"""What a federated method decides, and what it may know.

A method sees one device at a time: its own expert, what others announced, and the newest update it holds from each.
It never knows which engine runs it. It decides where training starts, whether to send, how to mix received updates
before the next round, and which experts answer a prompt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.expert import Expert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.route import Bank
from meshtune.methods.config import PaperConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.policies import CALIBRATED, SPARSE, UNROUTED, AdapterKind, MaskPolicy, Routing, Sharing
from meshtune.methods.state import Announcement, Member
from meshtune.routing.features import Features
from meshtune.routing.routers import Router


@dataclass(frozen=True)
class Prompts:
    """The prompts given to one device.

    Attributes:
        groups: the true task group of every prompt; only methods with a perfect router may look.
        router: the fitted router, for methods that route.
        features: the router's inputs, one row per prompt.
    """

    groups: Sequence[str]
    router: Router | None
    features: Features

    def fitted(self) -> Router:
        """Return the router of a method that routes.

        Raises:
            ValueError: there is none.
        """
        if self.router is None:
            raise ValueError("a method that routes is asked without a router")
        return self.router

    def gates(self, held: Sequence[str], own: str) -> NDArray[np.float64]:
        """Return the router's gates (prompts, held) over the groups that a device holds experts of.

        If none of the experts that the router selects has arrived yet, the device's ``own`` group answers. Gates sum to
        1, or to less if the router leaves a part of the answer to the frozen model.
        """
        router = self.fitted()
        gates = router.gates(self.features)[:, [list(router.groups).index(group) for group in held]]
        gates[gates.sum(axis=1) <= 0, list(held).index(own)] = 1.0
        found: NDArray[np.float64] = gates / gates.sum(axis=1, keepdims=True)
        if router.abstention is not None:
            found *= router.abstention.known(self.features)[:, None]
        return found


@dataclass(frozen=True)
class Answer:
    """Who answers: ``experts`` (G; None is the frozen model) and each prompt's ``gates`` (prompts, G).

    Gates sum to 1, or to less: the rest belongs to the frozen model.

    ``bank`` defines how the experts are combined if not simply by their gates.
    """

    experts: tuple[Expert | None, ...]
    gates: NDArray[np.float64]
    bank: Bank | None = None


class Method(ABC):
    """One federated method.

    Attributes:
        name: its public name.
        kind: what its devices train.
        masks: how the positions that they train are found.
        sharing: what they send in a round.
        routing: how prompts find experts, and so what devices announce for routing.
        ceiling: the name of the method with the same experts and a perfect router; empty if there is none.
    """

    name = ""
    ceiling = ""
    kind: AdapterKind = SPARSE
    masks: MaskPolicy = CALIBRATED
    sharing: Sharing = Sharing()
    routing: Routing = UNROUTED

    def rows(self, device: int, devices: int) -> Sequence[int]:
        """Return the devices, of 0 to ``devices`` - 1, whose rows ``device`` trains on."""
        return (device,)

    def knows(self, member: Member, group: str) -> bool:
        """Return whether a device's answers to prompts of ``group`` are meaningful for the method."""
        return True

    def announces(self, own: Announcement, factory: ExpertFactory) -> Announcement:
        """Return what a device announces under this method, from everything it has computed."""
        masks = self.masks.of(own) or own.masks
        recipe = self.recipe(own, factory.adapter, factory.paper)
        return own if masks is own.masks and recipe == own.recipe else replace(own, masks=masks, recipe=recipe)

    def recipe(self, own: Announcement, adapter: AdapterConfig, paper: PaperConfig) -> Recipe:
        """Return the recipe of the A that a device trains after: by default that of its group, as it was prepared, of
        as many rows as the masks have columns.
        """
        return replace(own.recipe, rank=self.masks.columns(adapter))

    def reintroduces(
        self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory
    ) -> Announcement:
        """Return a device's announcement for devices that first learn of it after some rounds.

        Args:
            own: what it announced originally.
            known: the announcements known to the device that passes it on, which may be itself.
            factory: builds the experts.
        """
        return own

    @abstractmethod
    def begin(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        """Return the expert that a device starts from."""

    @abstractmethod
    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        """Return what the member's next round starts from, computed from what it holds.

        None if it continues with its own unrounded values, so that no residual remains to be sent.
        """

    @abstractmethod
    def answer(self, member: Member, prompts: Prompts, factory: ExpertFactory) -> Answer:
        """Return who answers each prompt.

        Args:
            member: the device.
            prompts: the prompts given to it.
            factory: builds the experts.
        """

    def sources(self, member: Member) -> list[tuple[str, tuple[int, ...]]]:
        """Return, per expert of :meth:`answer`, its task key and the devices whose training it contains."""
        return [(member.own.group, (member.device,))]

    def experts(self, member: Member, factory: ExpertFactory) -> list[tuple[str, tuple[int, ...], Expert]]:
        """Return the experts that a device can answer with, each with its :meth:`sources`; by default its own.

        Bank methods hold one per group. The aggregate of a cluster is not the expert of one device.
        """
        return [(member.own.group, (member.device,), member.expert)]


def only(expert: Expert | None, prompts: int) -> Answer:
    """Return the answer in which one expert answers all prompts."""
    return Answer((expert,), np.ones((prompts, 1)))
