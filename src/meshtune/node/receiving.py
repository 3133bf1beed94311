"""What a device reads from incoming messages; everything is checked against what it knows before it is accepted.

The sender has announced itself and its number of positions. The number and widths of the model's layers are known. All
devices share rank, projection and seed through their configuration. Anything that does not fit raises a PayloadError
before anything is generated or allocated for it (:mod:`meshtune.wire.validation`).
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
from meshtune.node.summed_updates import read_update
from meshtune.node.updates import UpdateRules, completed
from meshtune.printable import quoted
from meshtune.routing.statistics import Statistics
from meshtune.wire.codec import apply_difference, decode_keyframe
from meshtune.wire.payload import Message
from meshtune.wire.plain_values import fact, text, whole
from meshtune.wire.positions import decode_positions
from meshtune.wire.validation import MOST_ROWS, Receiver, check_envelope, check_tensors, numbers, packed

_STATISTICS = ("mean", "eigenvalues", "eigenvectors", "diagonal")


def receive(member: Member, message: Message, rules: UpdateRules) -> Update:
    """Return the update in ``message``, a keyframe or a difference.

    Raises:
        PayloadError: it is damaged, does not match what ``member`` knows of its source, or is a difference to a version
            that the member does not hold.
    """
    version, count = checked_version(member, message, rules), rules.count(member, message.source)
    if member.expert.summed is not None:
        return read_update(member, message, version, rules.base(member, message.source), rules.settings)
    form, since = rules.settings.values, message.meta.get("since")
    if since is None and message.tensors["values"].dtype != torch.uint8:
        if rules.settings.differences:  # a keyframe that coding would not shrink
            return Update(message.source, version, numbers(message, "values", (count,), ["bfloat16"]))
        part = numbers(message, "values", (len(range(count)[member.expert.turn(version)]),), [form])
        return Update(message.source, version, completed(part, member, message.source, version, rules))
    if not rules.settings.differences:
        raise MalformedError(f"an update of device {message.source} is coded, expected values of type {form}")
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
    base = rules.base(member, message.source)[member.expert.turn(version)]
    part = apply_difference(data, base, form)
    return Update(message.source, version, completed(part, member, message.source, version, rules), values)


def checked_version(member: Member, message: Message, rules: UpdateRules) -> int:
    """Return the version of the update in ``message``, after checking that ``member`` can accept its source and round.

    Raises:
        PayloadError: it is not an update, or is from an unknown device, for a future round, or too old.
    """
    check_envelope(message, "update", Receiver(rules.round, member.device, member.known, rules.relays))
    check_tensors(message, ["values"])
    version = version_of(message)
    if rules.behind is not None and version < rules.round - rules.behind:
        raise StaleError(
            f"an update of device {message.source} is of round {version}, more than {rules.behind} rounds older than "
            f"round {rules.round}"
        )
    return version


def version_of(message: Message) -> int:
    """Return the version of an update: the round in which its source published it.

    Raises:
        PayloadError: the stated version is not a round number from 1 to the message's round.
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
        messages: the announcement, then its source's further messages.
        layers: the adapted layers of the model.
        recipe: any projection recipe of this federation; used if the method sends none.
        masks: the sender's masks, if the receiver already has them.
        method: the method of the announcing devices; None to accept any kind of announcement.
        width: width of the prompt vectors behind the statistics; None if unknown.
        receiver: what else the receiver knows.

    Raises:
        PayloadError: something is missing or invalid, or the sender's projection differs from what this device
            generates from its recipe.
    """
    if not messages:
        raise MalformedError("an announcement without messages")
    first, knows = messages[0], receiver or Receiver()
    check_envelope(first, "announce", knows)
    check_tensors(first, (), ["mask"])
    group = text(fact(first.meta, "group"), f"the group of device {first.source}")
    samples = whole(fact(first.meta, "samples"), f"the number of rows of device {first.source}", 1, MOST_ROWS)
    voted = first.meta.get("voted", False)
    if not isinstance(voted, bool):
        raise MalformedError(f"device {first.source} sent {quoted(voted)} as `voted`, expected true or false")
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
            raise MalformedError(f"an announcement of device {first.source} has a duplicate part")
    return Announcement(first.source, group, samples, recipe, masks, statistics, codes, voted=voted)


def mask_of(message: Message, counts: Sequence[int]) -> Mask:
    """Return the mask in ``message``; ``counts`` is d r of every layer.

    Raises:
        PayloadError: there is none, it is damaged, or it belongs to another model or rank.
    """
    return read_mask(coded_mask(message), counts)


def coded_mask(message: Message) -> bytes:
    """Return the coded mask in ``message``, which must hold no other tensor.

    Raises:
        PayloadError: the tensors are not exactly one mask, or the mask is not a vector of bytes.
    """
    check_tensors(message, ["mask"])
    return packed(message, "mask", None, ["uint8"]).numpy().tobytes()


def read_mask(data: bytes, counts: Sequence[int]) -> Mask:
    """Return the mask coded in ``data``; ``counts`` is d r of every layer.

    Raises:
        PayloadError: it is damaged, or belongs to another model or rank.
    """
    return part(decode_positions(data, sum(counts)), counts)


def _recipe(message: Message, layers: Sequence[LayerSpec], shared: Recipe) -> Recipe:
    """Return the recipe announced in ``message``: the federation's, with the sender's own block."""
    found = Recipe.from_json(fact(message.meta, "recipe"))
    for name in ("seed", "kind", "rank", "generator"):  # check before generating anything of this rank
        said, mine = getattr(found, name), getattr(shared, name)
        if said != mine:
            raise ForeignError(
                f"device {message.source} announces projections of {name} {quoted(said)}, expected {quoted(mine)}: "
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
    check_tensors(message, _STATISTICS, ["embedding", "limits"])
    count = whole(fact(message.meta, "count"), f"the number of prompts of device {message.source}", 1, MOST_ROWS)
    k = message.tensors["mean"].numel() if width is None else width
    q = message.tensors["eigenvalues"].numel()
    whole(q, f"the number of eigenvalues of device {message.source}", 0, k)
    shapes = {"eigenvalues": (q,), "eigenvectors": (k, q), "limits": (2,)}
    arrays = {name: numbers(message, name, shapes.get(name, (k,))).float().numpy() for name in message.tensors}
    try:
        return Statistics.from_tensors(arrays, count)
    except UserError as error:
        raise MalformedError(f"of device {message.source}: {error}") from error
