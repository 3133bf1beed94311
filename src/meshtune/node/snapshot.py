"""A device's state as plain values and tensors, and back: the parts of a node's checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from meshtune.methods.state import Member
from meshtune.node.early_messages import EarlyMessages
from meshtune.wire.payload import byte_tensor, decode

Put = Callable[[Tensor], str]
"""Stores a tensor and returns its name."""
Take = Callable[..., Any]
"""Returns a tensor by name; given a source, a version and the names of its parts, it returns that update."""
Versions = dict[int, dict[int, int]]
"""A version per neighbour and source."""


def pack_member(member: Member, put: Put) -> dict[str, Any]:
    """Return what ``member`` trains and holds, without its announcement and the devices it knows."""
    return {
        "values": put(member.expert.values),
        "moments": {name: put(tensor) for name, tensor in member.moments.items()},
        "held": [[u.source, u.version, *_names((u.values, u.coded, u.changed), put)] for u in member.held.values()],
        **({} if member.residual is None else {"residual": put(member.residual)}),
        **({} if member.expert.kept is None else {"kept": put(member.expert.kept)}),
        **({"averaged": list(member.averaged)} if member.averaged else {}),
        "history": list(member.history),
    }


def _names(parts: Iterable[Tensor | None], put: Put) -> list[str | None]:
    """Return the names of the parts of an update, without missing ones at the end."""
    found = [None if part is None else put(part) for part in parts]
    while found and found[-1] is None:
        found.pop()
    return found


def unpack_member(member: Member, data: Mapping[str, Any], take: Take) -> None:
    """The inverse of :func:`pack_member`, for a member that has just begun."""
    member.expert = member.expert.with_values(take(data["values"]))
    if data.get("kept") is not None:
        member.expert = member.expert.keeping(take(data["kept"]))
    member.moments = {name: take(key) for name, key in data["moments"].items()}
    member.history, member.averaged = tuple(data["history"]), tuple(data.get("averaged", ()))
    member.residual = None if data.get("residual") is None else take(data["residual"])
    for source, version, *names in data["held"]:
        member.held[int(source)] = take(int(source), int(version), *names)


def pack_versions(versions: Versions) -> list[list[int]]:
    """Return ``versions`` as rows (neighbour, source, version)."""
    return [[n, source, version] for n, of in sorted(versions.items()) for source, version in sorted(of.items())]


def unpack_versions(rows: Iterable[tuple[int, int, int]]) -> Versions:
    """The inverse of :func:`pack_versions`."""
    found: Versions = {}
    for neighbour, source, version in rows:
        found.setdefault(neighbour, {})[source] = version
    return found


def pack_early(early: EarlyMessages, put: Put) -> dict[str, Any]:
    """Return the messages waiting for their round; empty if there are none."""
    rows = [[sender, put(byte_tensor(data))] for sender, data in early.snapshot()]
    return {"early": rows} if rows else {}


def unpack_early(early: EarlyMessages, data: Mapping[str, Any], take: Take) -> None:
    """The inverse of :func:`pack_early`."""
    for sender, name in data.get("early") or ():
        message = take(name).numpy().tobytes()
        early.wait(sender, decode(message), message)
