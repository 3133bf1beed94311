"""What a device takes from the messages that reach it, each held against what it knows before it is believed.

Whoever sent them has announced itself and so many positions; the model has so many layers of such widths; all devices
share rank, projection and seed by their configuration. What does not fit is a PayloadError, before anything is
generated or allocated for it (:mod:`meshtune.wire.validation`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from meshtune.adapter.blocks import capacity
from meshtune.adapter.mask import part
from meshtune.adapter.mask_claims import Mask
from meshtune.adapter.projection import Fingerprint, Recipe, fingerprint
from meshtune.adapter.sites import LayerSpec, places, sizes
from meshtune.errors import ForeignError, MalformedError, StaleError, UserError
from meshtune.methods.base import Method
from meshtune.methods.state import Announcement, Masks, Member, Update
from meshtune.node.updates import UpdateRules
from meshtune.printable import quoted
from meshtune.routing.statistics import Statistics
from meshtune.wire.codec import apply_difference, decode_keyframe
from meshtune.wire.payload import Message
from meshtune.wire.plain_values import fact, text, whole
from meshtune.wire.positions import decode_positions
from meshtune.wire.validation import MOST_ROWS, Receiver, check_envelope, check_tensors, numbers, packed

_STATISTICS = ("mean", "eigenvalues", "eigenvectors", "diagonal")


def receive(member: Member, message: Message, rules: UpdateRules) -> Update:
    """Return the update in ``message``, whichever way it is coded.

    Raises:
        PayloadError: it is damaged, is not what ``member`` expects of its source, or is a difference to a version that
            the member does not hold.
    """
    version, count = checked_version(member, message, rules), rules.count(member, message.source)
    form, since = rules.settings.values, message.meta.get("since")
    if since is None and message.tensors["values"].dtype != torch.uint8:
        plain = "bfloat16" if rules.settings.differences else form  # a keyframe that coding makes no smaller
        return Update(message.source, version, numbers(message, "values", (count,), [plain]))
    if not rules.settings.differences:
        raise MalformedError(f"an update of device {message.source} is coded, values of type {form} are due")
    values = packed(message, "values", None, ["uint8"])
    data = values.numpy().tobytes()
    if since is None:
        return Update(message.source, version, decode_keyframe(data, count))
    held = member.held.get(message.source)
    has = 0 if held is None else held.version
    if whole(since, "the version that a difference is taken to", 0, version) != has or version != has + 1:
        raise StaleError(
            f"version {version} of device {message.source} came as the difference to version {since}, "
            f"device {member.device} holds version {has}"
        )
    base = rules.origin(member, message.source) if held is None else held.values
    return Update(message.source, version, apply_difference(data, base, form), values)


def checked_version(member: Member, message: Message, rules: UpdateRules) -> int:
    """Return the version of the update in ``message``, which comes from whom, and when, ``member`` can believe.

    Raises:
        PayloadError: it is no update, or of a device that the member does not know, a round to come or one long past.
    """
    check_envelope(message, "update", Receiver(rules.round, member.device, member.known, rules.relays))
    check_tensors(message, ["values"])
    version = version_of(message)
    if rules.behind is not None and version < rules.round - rules.behind:
        raise StaleError(
            f"an update of device {message.source} is of round {version}, more than {rules.behind} rounds behind round "
            f"{rules.round}"
        )
    return version


def version_of(message: Message) -> int:
    """Return which version of its source's values an update holds: the round it was published in.

    Raises:
        PayloadError: what is said about it is no number of a round from 1 to that of the message.
    """
    version = message.meta.get("version", message.round)
    return whole(version, f"the version of an update of device {message.source}", 1, message.round)


def from_messages(
    messages: Sequence[Message],
    layers: Sequence[LayerSpec],
    recipe: Recipe,
    masks: Masks = (),
    method: Method | None = None,
    width: int | None = None,
    receiver: Receiver | None = None,
) -> Announcement:
    """Return the announcement that arrived in ``messages``.

    Args:
        messages: the announcement, then what else its source says of itself.
        layers: the adapted layers of the model.
        recipe: of any projection of this federation; stands in where the method sends none.
        masks: the sender's, where the receiver was told them before.
        method: whose devices are told; None where any kind of announcement will do.
        width: of the prompt vectors behind statistics; None where it is not known.
        receiver: what else it knows.

    Raises:
        PayloadError: something in it is missing, or cannot be, or the sender's projection is not what this device
            generates from its recipe.
    """
    if not messages:
        raise MalformedError("an announcement of no message")
    first, knows = messages[0], receiver or Receiver()
    check_envelope(first, "announce", knows)
    check_tensors(first, (), ["mask"])
    group = text(fact(first.meta, "group"), f"the group of device {first.source}")
    samples = whole(fact(first.meta, "samples"), f"the number of rows of device {first.source}", 1, MOST_ROWS)
    voted = first.meta.get("voted", False)
    if not isinstance(voted, bool):
        raise MalformedError(f"device {first.source} says {quoted(voted)} to whether its mask was voted for")
    sparse = method is not None and method.kind.projected
    if sparse or "recipe" in first.meta or "mask" in first.tensors:
        recipe = _recipe(first, layers, recipe)
        if "mask" in first.tensors:
            masks = tuple(mask_of(first, sizes(layers, recipe.rank)))
        elif not masks:
            raise MalformedError(f"an announcement of device {first.source} came without its mask")
    statistics, codes = None, None
    for message in messages[1:]:
        check_envelope(message, "router", knows)
        if message.source != first.source:
            raise ForeignError(f"an announcement of device {first.source} has a part of device {message.source}")
        if "codes" in message.tensors and codes is None:
            check_tensors(message, ["codes"])
            codes = numbers(message, "codes", (sum(places(layers).values()),)).float().numpy()
        elif "codes" not in message.tensors and statistics is None:
            statistics = _statistics(message, width)
        else:
            raise MalformedError(f"an announcement of device {first.source} says the same twice")
    return Announcement(first.source, group, samples, recipe, masks, statistics, codes, voted=voted)


def mask_of(message: Message, counts: Sequence[int]) -> Mask:
    """Return the mask in ``message``, ``counts`` being d r of every layer.

    Raises:
        PayloadError: there is none, or it is damaged or of another model or rank.
    """
    check_tensors(message, ["mask"])
    data = packed(message, "mask", None, ["uint8"]).numpy().tobytes()
    return part(decode_positions(data, sum(counts)), counts)


def _recipe(message: Message, layers: Sequence[LayerSpec], shared: Recipe) -> Recipe:
    """Return the recipe that ``message`` announces: the federation's, with a block of the sender's own."""
    found = Recipe.from_json(fact(message.meta, "recipe"))
    for name in ("seed", "kind", "rank", "generator"):  # before anything of this rank is generated
        said, mine = getattr(found, name), getattr(shared, name)
        if said != mine:
            raise ForeignError(
                f"device {message.source} announces projections of {name} {quoted(said)}, here it is {quoted(mine)}: "
                "let all devices run one configuration and version"
            )
    if found.kind == "orthogonal":
        room = capacity([layer.inputs for layer in layers], found.rank)
        whole(found.block, f"the block of device {message.source}", 0, room - 1)
    told = Fingerprint.from_json(fact(message.meta, "fingerprint"), found.rank)
    if not fingerprint(found, {layer.site: layer.inputs for layer in layers}).matches(told):
        raise ForeignError(f"device {message.source} generates another projection from {found}: versions differ")
    return found


def _statistics(message: Message, width: int | None) -> Statistics:
    check_tensors(message, _STATISTICS, ["embedding"])
    count = whole(fact(message.meta, "count"), f"the number of prompts of device {message.source}", 1, MOST_ROWS)
    k = message.tensors["mean"].numel() if width is None else width
    q = message.tensors["eigenvalues"].numel()
    whole(q, f"the number of eigenvalues of device {message.source}", 0, k)
    shapes = {"eigenvalues": (q,), "eigenvectors": (k, q)}
    arrays = {name: numbers(message, name, shapes.get(name, (k,))).float().numpy() for name in message.tensors}
    try:
        return Statistics.from_tensors(arrays, count)
    except UserError as error:
        raise MalformedError(f"of device {message.source}: {error}") from error
