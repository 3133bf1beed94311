"""What a federated method decides, and what it may know.

A method sees one device at a time: its own expert, what others announced, and the newest update it holds from each.
It never knows which engine runs it. It decides where training starts, whether to send, how to mix what arrived before
the next round, and which experts answer a prompt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshtune.adapter.expert import Expert
from meshtune.adapter.route import Bank
from meshtune.methods.config import PaperConfig
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import NEGOTIATED, Announcement, Member
from meshtune.routing.config import RouterConfig
from meshtune.routing.features import Features
from meshtune.routing.routers import Router


@dataclass(frozen=True)
class Answer:
    """Who answers: ``experts`` (G; None is the frozen model) and each prompt's ``gates`` (prompts, G), summing to 1.

    ``bank`` says how the experts are joined where they do not simply stand side by side.
    """

    experts: tuple[Expert | None, ...]
    gates: NDArray[np.float64]
    bank: Bank | None = None


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

    def announces(self, own: Announcement, factory: ExpertFactory) -> Announcement:
        """Return what a device says of itself under this method, of all that it has found out."""
        name = NEGOTIATED if self.negotiates and NEGOTIATED in own.others else self.masks
        return replace(own, masks=own.others[name]) if name in own.others else own

    def reintroduces(
        self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory
    ) -> Announcement:
        """Return what a device's announcement is to those who first hear of it when rounds have been played.

        Args:
            own: what it announced.
            known: what whoever tells of it knows, itself or another.
            factory: builds the experts.
        """
        return own

    def routers(self, router: RouterConfig, paper: PaperConfig) -> tuple[str, ...]:
        """Return the names of the routers it is scored with, its own first; none where it needs none."""
        return router.names if self.routes else ()

    @abstractmethod
    def begin(self, own: Announcement, known: Mapping[int, Announcement], factory: ExpertFactory) -> Expert:
        """Return the expert a device starts from."""

    @abstractmethod
    def mix(self, member: Member, factory: ExpertFactory) -> Expert | None:
        """Return what the member's next round starts from, made of what it holds.

        None where it goes on with its own unrounded values, so that nothing of them is still to be sent.
        """

    @abstractmethod
    def answer(
        self,
        member: Member,
        groups: Sequence[str],
        router: Router | None,
        features: Features,
        factory: ExpertFactory,
    ) -> Answer:
        """Return who answers each prompt.

        Args:
            member: the device that is asked.
            groups: the true group of every prompt; only methods with a perfect router may look.
            router: the fitted router, for methods that route.
            features: what the router looks at, a row a prompt.
            factory: builds the experts.
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
