"""What a device trains and sends under a method, computed from the model's shape alone.

A plan knows layers, rank, density and the form of values, but no weights, data or masks. Parameter counts and plain
bytes are exact; coded bytes are expected values (:mod:`meshtune.wire.payload_sizes`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import places, sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.methods.base import Method
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.model.skeleton import Skeleton
from meshtune.node.announcements import facts
from meshtune.routing.config import RouterConfig
from meshtune.wire.payload import DTYPES, Message, PayloadLimits
from meshtune.wire.payload_sizes import PLAIN, mask_bytes, message_bytes

Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Element type and shape by name."""


@dataclass(frozen=True)
class MethodSizes:
    """What one device trains and sends under one method; bytes are those of one copy.

    Attributes:
        method: its name.
        parameters: trained scalars (``parameters_updated`` in results).
        share: their share of all weights of the model.
        update: bytes of one update, values and header; 0 if nothing is exchanged.
        fits: whether one message may hold that update (:class:`meshtune.wire.payload.PayloadLimits`).
        mask: bytes of its coded mask, sent once.
        router: bytes of its task statistics or task codes, sent once.
        control: bytes of frames and headers of what is sent once.
    """

    method: str
    parameters: int
    share: float
    update: int
    fits: bool
    mask: int
    router: int
    control: int

    @property
    def once(self) -> int:
        """Bytes of everything sent once, before the first round."""
        return self.mask + self.router + self.control


def method_sizes(
    skeleton: Skeleton,
    name: str,
    adapter: AdapterConfig,
    exchange: ExchangeConfig,
    router: RouterConfig | None = None,
) -> MethodSizes:
    """Return what one device trains and sends under the method called ``name``.

    Args:
        skeleton: the model's shape.
        name: a name of ``meshtune methods``.
        adapter: rank and density; how the density is spread over layers does not change the totals.
        exchange: form of values and values per scale.
        router: sketch and prompts of the task statistics; None for the defaults.

    Raises:
        UserError: there is no such method, or the density is outside (0, 1].
    """
    method = get_method(name)
    positions = sum(sizes(skeleton.layers, method.masks.columns(adapter)))
    density = adapter.share if method.masks.selects else 1.0  # without a mask all of B is trained
    trained = method.kind.count(skeleton.layers, adapter, density, skeleton.parameters)
    sent = method.kind.sent(skeleton.layers, adapter, density, skeleton.parameters)
    update = 0
    if method.sharing.sends:
        update = method.kind.update_bytes(sent, skeleton.layers, adapter, exchange.values, exchange.block)
    coded = exchange.values not in PLAIN or any(method.kind.chosen(skeleton.layers, adapter))
    elements = update if coded else sent
    fits = update <= PayloadLimits().total and elements <= PayloadLimits().elements
    mask, statistics, control = 0, 0, 0
    if method.sharing.sends:
        mask = mask_bytes(positions, density) if method.kind.projected else 0
        control = _announced(skeleton, method, adapter, mask) - mask
        for message, tensors in _router(skeleton, method, router or RouterConfig()):
            inside = sum(DTYPES[dtype] * math.prod(shape) for dtype, shape in tensors.values())
            statistics, control = statistics + inside, control + message_bytes(message, tensors) - inside
    return MethodSizes(name, trained, trained / skeleton.parameters, update, fits, mask, statistics, control)


def _announced(skeleton: Skeleton, method: Method, adapter: AdapterConfig, mask: int) -> int:
    recipe = Recipe(seed=0, kind=adapter.projection, block=0, rank=method.masks.columns(adapter))
    own = Announcement(0, "task", 10_000, recipe)  # a name and a number of typical length
    message = Message("announce", 0, 0, 0, facts(own, method, skeleton.layers))
    return message_bytes(message, {"mask": ("U8", (mask,))} if method.kind.projected else {})


def _router(skeleton: Skeleton, method: Method, router: RouterConfig) -> list[tuple[Message, Tensors]]:
    """Return the messages of task statistics (method section 8) and task codes (eq. 26), and their tensors."""
    messages: list[tuple[Message, Tensors]] = []
    if method.routing.statistics:
        k = skeleton.width
        q = min(router.sketch, router.prompts, k)
        held: Tensors = {
            "mean": ("BF16", (k,)), "eigenvalues": ("BF16", (q,)), "eigenvectors": ("BF16", (k, q)),
            "diagonal": ("BF16", (k,)),
        }  # fmt: skip
        if router.embeds:
            held["embedding"] = ("BF16", (k,))
        if router.abstain != "never":
            held["limits"] = ("F32", (2,))
        messages.append((Message("router", 0, 0, 0, {"count": router.prompts}), held))
    if method.routing.codes:
        codes = sum(places(skeleton.layers).values())
        messages.append((Message("router", 0, 0, 0), {"codes": ("BF16", (codes,))}))
    return messages
