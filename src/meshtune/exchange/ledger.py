"""The byte ledger: what left which device, in which round, for what.

Unicast counts every copy. A relayed message counts wholly as ``relayed``, whatever is inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = ("values", "masks", "router", "control", "relayed")


class Ledger:
    """Bytes by method, round, sender and kind."""

    def __init__(self) -> None:
        self._bytes: dict[tuple[str, int, int, str], int] = {}
        self._payload: dict[str, tuple[int, int]] = {}

    def record(
        self, method: str, round_: int, sender: int, receiver: int, split: Mapping[str, int], relayed: bool
    ) -> None:
        """Count one message from ``sender`` to ``receiver``; ``split`` is bytes by kind."""
        total = sum(split.values())
        if not relayed and split.get("values"):
            self._payload[method] = max(self._payload.get(method, (0, 0)), (round_, total))
        for kind, count in ({"relayed": total} if relayed else split).items():
            if kind not in KINDS:
                raise ValueError(f"{kind} is no kind of bytes: {', '.join(KINDS)}")
            key = (method, round_, sender, kind)
            self._bytes[key] = self._bytes.get(key, 0) + count

    def total(self, method: str) -> dict[str, int]:
        """Return the method's bytes by kind, over the whole run and all devices."""
        return self._sum(method, lambda key: True)

    def per_round(self, method: str) -> dict[int, dict[str, int]]:
        """Return the method's bytes by kind for every round; round 0 is the handshake."""
        rounds = sorted({key[1] for key in self._bytes if key[0] == method})
        return {n: self._sum(method, lambda key, n=n: key[1] == n) for n in rounds}

    def per_device(self, method: str) -> dict[int, dict[str, int]]:
        """Return the method's bytes by kind for every sending device."""
        devices = sorted({key[2] for key in self._bytes if key[0] == method})
        return {d: self._sum(method, lambda key, d=d: key[2] == d) for d in devices}

    def payload_bytes(self, method: str) -> int:
        """Return the size of one device's update message in the newest round (the largest device's); 0 if none was sent."""
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

    def _sum(self, method: str, wanted: Any) -> dict[str, int]:
        result = dict.fromkeys(KINDS, 0)
        for key, count in self._bytes.items():
            if key[0] == method and wanted(key):
                result[key[3]] += count
        return result
