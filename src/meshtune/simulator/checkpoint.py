"""The state of a run as tensors and JSON-able facts, and back: the content of a checkpoint after a round.

Every distinct tensor is stored once. Everything read is checked against the run's methods, devices and expert sizes
before any of it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from meshtune.methods.base import Method
from meshtune.methods.state import Member, Update
from meshtune.network.federation_state import FederationState
from meshtune.network.virtual_clock import pack, unpack
from meshtune.runs.records import LONGEST, first_fault
from meshtune.wire.ledger import Ledger

Count = Annotated[int, Field(ge=0, le=LONGEST)]


_Three = Annotated[list[Count], Field(min_length=3, max_length=3)]
_Four = Annotated[list[Count], Field(min_length=4, max_length=4)]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class _Node(_Facts):
    values: str
    moments: dict[str, str]
    held: list[list[int | str | None]]
    residual: str | None = None
    kept: str | None = None
    averaged: list[Count] = Field(default_factory=list)
    history: list[str]
    sent: list[_Three]
    came: list[_Three]
    theirs: list[_Three]
    told: list[_Four]
    early: list[list[int | str]] = Field(default_factory=list)
    refused: dict[str, Count]


class _Bytes(_Facts):
    bytes: list[Annotated[list[int | str], Field(min_length=5, max_length=5)]]
    payload: dict[str, Annotated[list[Count], Field(min_length=2, max_length=2)]]


class _Tick(_Facts):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    seconds: Annotated[float, Field(ge=0)]
    sending: Annotated[float, Field(ge=0)]
    computing: Annotated[float, Field(ge=0)]
    airtime: Annotated[float, Field(ge=0)]
    outages: Count
    lost: Count
    late: Count
    away: Count
    inventory: Annotated[float, Field(ge=0)] = 0.0
    inventory_seconds: Annotated[float, Field(ge=0)] = 0.0


class _State(_Facts):
    round: Count
    nodes: dict[str, list[_Node]]
    ledger: _Bytes
    seconds: dict[str, Annotated[float, Field(ge=0)]]
    clocks: dict[str, list[_Tick]] = Field(default_factory=dict)


def pack_state(state: FederationState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state as tensors (each distinct one once) and JSON-able facts."""
    tensors: dict[str, Tensor] = {}
    names: dict[tuple[object, ...], str] = {}

    def put(tensor: Tensor) -> str:
        kept = tensor.detach().cpu().contiguous()
        content = xxhash.xxh3_128_hexdigest(kept.reshape(-1).view(torch.uint8).numpy().data)
        key = (kept.dtype, kept.shape, content)
        if key not in names:
            names[key] = f"t{len(names)}"
            tensors[names[key]] = kept
        return names[key]

    nodes = {method: [node.snapshot(put) for node in nodes_of] for method, nodes_of in state.nodes.items()}
    facts = {
        "round": state.round,
        "nodes": nodes,
        "ledger": state.ledger.to_json(),
        "seconds": state.seconds,
        "clocks": pack(state.clocks),
    }
    return tensors, facts


def unpack_state(fresh: FederationState, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> FederationState:
    """Restore what :func:`pack_state` wrote into a state that has just begun; bit-exact.

    Methods that are missing from the fresh state are skipped.

    Raises:
        ValueError: it is not the state of such a run; the message says what does not fit. ``fresh`` is then unchanged.
    """
    try:
        found = _State.model_validate(facts)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error
    _fit(found, fresh, tensors)
    ledger, clocks = _past(found, facts)
    updates: dict[tuple[Any, ...], Update] = {}

    def take(first: str | int, *more: Any) -> Any:
        if isinstance(first, str):
            return tensors[first]
        version, *names = more
        values, *others = names
        parts = (None if name is None else tensors[name] for name in others)
        made = Update(first, version, tensors[values], *parts)
        return updates.setdefault((first, version, *names), made)

    for method, nodes_of in fresh.nodes.items():
        for node, saved in zip(nodes_of, found.nodes[method], strict=True):
            node.restore(saved.model_dump(), take)
    fresh.ledger, fresh.round, fresh.seconds = ledger, found.round, dict(facts["seconds"])
    fresh.clocks.update({m: c for m, c in clocks.items() if m in fresh.nodes})
    return fresh


def _past(found: _State, facts: Mapping[str, Any]) -> tuple[Ledger, Any]:
    """Return the ledger and the clocks."""
    for method, round_, sender, kind, count in found.ledger.bytes:
        if not (isinstance(method, str) and isinstance(kind, str)):
            raise ValueError("the ledger: a method or a kind is no name")
        if any(not isinstance(n, int) or not 0 <= n <= LONGEST for n in (round_, sender, count)):
            raise ValueError("the ledger: a round, a device or a count of bytes is impossible")
    return Ledger.from_json(facts["ledger"]), unpack(facts.get("clocks", {}))


def _fit(found: _State, fresh: FederationState, tensors: Mapping[str, Tensor]) -> None:
    """Check that ``found`` fits the devices and methods of ``fresh``."""
    for method, nodes_of in fresh.members.items():
        saved = found.nodes.get(method)
        if saved is None or len(saved) != len(nodes_of):
            raise ValueError(f"{method} has not {len(nodes_of)} devices")
        if method in fresh.clocks and len(found.clocks.get(method, [])) != found.round + 1:
            raise ValueError(f"the clock of {method} has not {found.round + 1} rounds")
        for member, one in zip(nodes_of, saved, strict=True):
            _fit_node(fresh.nodes[method][member.device].method, member, one, len(nodes_of), found.round, tensors)


def _fit_node(
    method: Method, member: Member, saved: _Node, devices: int, round_: int, tensors: Mapping[str, Tensor]
) -> None:
    where = f"device {member.device}"
    values = member.expert.values

    def sized(key: Any, dtype: torch.dtype | None = None) -> Tensor:
        tensor = tensors.get(key) if isinstance(key, str) else None
        if tensor is None or tensor.dim() != 1 or (dtype is not None and tensor.dtype != dtype):
            raise ValueError(f"{where} has no such tensor")
        return tensor

    if sized(saved.values, values.dtype).numel() != member.expert.count:
        raise ValueError(f"{where} has not {member.expert.count} values")
    for key in saved.moments.values():
        if key not in tensors or tensors[key].numel() not in (1, member.expert.count):
            raise ValueError(f"{where} has no such optimiser state")
    if saved.residual is not None and sized(saved.residual).numel() != member.expert.count:
        raise ValueError(f"{where} has no such residual")
    if saved.kept is not None:
        due = method.kind.kept(member.expert.layers)
        if not due or sized(saved.kept, torch.float32).numel() != due:
            raise ValueError(f"{where} keeps no such values")
    for entry in saved.held:
        if not 3 <= len(entry) <= 5:
            raise ValueError(f"{where} holds no such update")
        source, version, *keys = entry
        if (
            type(source) is not int
            or type(version) is not int
            or not (0 <= source < devices and 0 <= version <= round_)
        ):
            raise ValueError(f"{where} holds an update that no device sent")
        sized(keys[0])
        for part, kind in zip(keys[1:], (torch.uint8, torch.int16), strict=False):
            if part is not None:
                sized(part, kind)
    for early in saved.early:
        if len(early) != 2 or type(early[0]) is not int or not 0 <= early[0] < devices:
            raise ValueError(f"{where} holds a message that no device sent")
        sized(early[1], torch.uint8)
    for neighbour, source, *versions in (*saved.sent, *saved.came, *saved.theirs, *saved.told):
        if max(neighbour, source) >= devices or max(versions) > round_:
            raise ValueError(f"{where} has traded what no device sent")
