"""The byte ledger: bytes sent, by device, round and purpose.

Unicast counts every copy, a broadcast one. A relayed message counts entirely as ``relayed``, regardless of its content;
radio retransmissions count as ``repeated``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

KINDS = ("values", "masks", "router", "control", "relayed")
REPEATED, INVENTORY, TRANSFER = "repeated", "inventory", "transfer"
"""Further kinds, listed only if there are any: radio retransmissions, control messages about who holds what, and the
overhead of content transfer between peers."""
FURTHER = (REPEATED, INVENTORY, TRANSFER)

_Key = tuple[str, int, int, str]  # method, round, sender, kind


class Ledger:
    """Bytes by method, round, sender and kind."""

    def __init__(self) -> None:
        self._bytes: dict[_Key, int] = {}
        self._payload: dict[str, tuple[int, int]] = {}

    def record(
        self, method: str, round_: int, sender: int, receiver: int, split: Mapping[str, int], relayed: bool
    ) -> None:
        """Count one message from ``sender`` to ``receiver``; ``split`` is bytes by kind.

        Raises:
            ValueError: a kind is unknown or a count negative; nothing of the message is counted then.
        """
        for kind, count in split.items():
            if kind not in (*KINDS, *FURTHER):
                raise ValueError(f"{kind} is not a kind of bytes: {', '.join((*KINDS, *FURTHER))}")
            if count < 0:
                raise ValueError(f"device {sender} cannot send {count} bytes of {kind} to device {receiver}")
        total = sum(split.values())
        if not relayed and split.get("values"):
            self._payload[method] = max(self._payload.get(method, (0, 0)), (round_, total))
        for kind, count in ({"relayed": total} if relayed else split).items():
            key = (method, round_, sender, kind)
            self._bytes[key] = self._bytes.get(key, 0) + count

    def total(self, method: str) -> dict[str, int]:
        """Return the method's bytes by kind, over the whole run and all devices."""
        return self._sum(key for key in self._bytes if key[0] == method)

    def per_round(self, method: str) -> dict[int, dict[str, int]]:
        """Return the method's bytes by kind for every round; round 0 is the handshake."""
        return self._by(method, 1)

    def per_device(self, method: str) -> dict[int, dict[str, int]]:
        """Return the method's bytes by kind for every sending device."""
        return self._by(method, 2)

    def payload_bytes(self, method: str) -> int:
        """Return the bytes of one device's own update in the newest round: the largest one, 0 if there are none."""
        return self._payload.get(method, (0, 0))[1]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {
            "bytes": [[*key, count] for key, count in sorted(self._bytes.items())],
            "payload": {method: list(found) for method, found in self._payload.items()},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Ledger:
        """The inverse of :meth:`to_json`."""
        ledger = Ledger()
        for method, round_, sender, kind, count in data["bytes"]:
            ledger._bytes[str(method), int(round_), int(sender), str(kind)] = int(count)
        ledger._payload = {str(m): (int(r), int(n)) for m, (r, n) in data["payload"].items()}
        return ledger

    def _by(self, method: str, field: Literal[1, 2]) -> dict[int, dict[str, int]]:
        keys = [key for key in self._bytes if key[0] == method]
        found = sorted({key[field] for key in keys})
        return {one: self._sum(key for key in keys if key[field] == one) for one in found}

    def _sum(self, keys: Iterable[_Key]) -> dict[str, int]:
        result = dict.fromkeys(KINDS, 0)
        for key in keys:
            result[key[3]] = result.get(key[3], 0) + self._bytes[key]
        return result
