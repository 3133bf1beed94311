"""Which versions a node holds, which ones its neighbours say they hold, and the newest known to exist.

Neighbours exchange ``have`` messages with triples (source, version held, newer version heard of). Only triples that
changed since the last message are sent. The newest version of every update thus becomes known throughout a connected
part of the graph before anything large is sent, and nobody requests a copy that is about to be outdated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from meshtune.errors import MalformedError
from meshtune.wire.payload import Message
from meshtune.wire.validation import Receiver, check_envelope, check_tensors, packed

Entry = tuple[int, int, int]
"""A source, the version of its update that the sender holds, and a newer one it has heard of; 0 for none."""
_WIDE = 1 << 31


class Inventory:
    """What one node knows about who holds which version.

    Attributes:
        holds: per source, the version that this node holds and can send.
        theirs: per neighbour and source, the version that the neighbour holds.
        newest: per source, the newest version heard of since :meth:`open`.
    """

    def __init__(self) -> None:
        self.holds: dict[int, int] = {}
        self.theirs: dict[int, dict[int, int]] = {}
        self.newest: dict[int, int] = {}
        self._told: dict[int, dict[int, tuple[int, int]]] = {}

    def open(self, holds: Mapping[int, int], neighbours: Iterable[int] = ()) -> None:
        """Start a phase in which the devices present relay updates to each other.

        Args:
            holds: per source, the version that this node can send.
            neighbours: the neighbours present; versions held only by others may be out of reach.
        """
        self.holds, self.newest = dict(holds), dict(holds)
        for neighbour in neighbours:
            for source, version in self.theirs.get(neighbour, {}).items():
                self.newest[source] = max(version, self.newest.get(source, 0))
        for told in self._told.values():
            told.update({source: (version, 0) for source, (version, _) in told.items()})

    def hold(self, source: int, version: int) -> None:
        """Record that this node now holds ``version`` of ``source``'s update."""
        self.holds[source] = version
        self.newest[source] = max(version, self.newest.get(source, 0))

    def hears(self, neighbour: int, source: int) -> int:
        """Return the version of ``source``'s update that ``neighbour`` holds, 0 for none."""
        return self.theirs.get(neighbour, {}).get(source, 0)

    def news(self, neighbour: int, hearsay: bool = True) -> list[Entry]:
        """Return what has changed since the last message to ``neighbour``, and mark it as sent.

        Without ``hearsay`` the result covers only what this node holds itself.
        """
        told = self._told.setdefault(neighbour, {})
        found = []
        for source in sorted(self.newest.keys() | told.keys()):
            held, newest = self.holds.get(source, 0), self.newest.get(source, 0)
            state = (held, newest if hearsay and newest > held else 0)
            if told.get(source, (0, 0)) != state:
                told[source] = state
                found.append((source, *state))
        return found

    def on_have(self, neighbour: int, entries: Iterable[Entry]) -> None:
        """Record the entries reported by ``neighbour``."""
        theirs = self.theirs.setdefault(neighbour, {})
        for source, version, newest in entries:
            theirs[source] = version
            self.newest[source] = max(version, newest, self.newest.get(source, 0))

    def snapshot(self) -> dict[str, list[list[int]]]:
        """Return plain values for a checkpoint."""
        return {
            "theirs": [[n, s, v] for n, held in sorted(self.theirs.items()) for s, v in sorted(held.items())],
            "told": [[n, s, *state] for n, told in sorted(self._told.items()) for s, state in sorted(told.items())],
        }

    def restore(self, data: Mapping[str, Sequence[Sequence[int]]]) -> None:
        """The inverse of :meth:`snapshot`."""
        for neighbour, source, version in data["theirs"]:
            self.theirs.setdefault(neighbour, {})[source] = version
        for neighbour, source, version, newest in data["told"]:
            self._told.setdefault(neighbour, {})[source] = (version, newest)


def have_message(sender: int, round_: int, entries: Sequence[Entry], meta: Mapping[str, Any] | None = None) -> Message:
    """Return the message that reports ``entries`` to a neighbour."""
    wide = any(source >= _WIDE for source, _, _ in entries)
    rows = torch.tensor(entries, dtype=torch.int64 if wide else torch.int32).reshape(-1, 3)
    return Message("have", sender, round_, sender, meta or {}, {"entries": rows})


def entries_of(message: Message, receiver: Receiver, newest: int | None = None) -> list[Entry]:
    """Return the entries of a ``have`` message; no version may exceed ``newest``, by default the message's round.

    Raises:
        PayloadError: it is not a ``have`` message, or it reports impossible versions.
    """
    check_envelope(message, "have", receiver)
    check_tensors(message, ["entries"])
    rows = message.tensors["entries"]
    packed(message, "entries", (rows.shape[0] if rows.dim() else 0, 3), ["int32", "int64"])
    most = message.round if newest is None else newest
    found = [(int(source), int(held), int(newer)) for source, held, newer in rows.tolist()]
    for source, held, newer in found:
        if source < 0 or not 0 <= held <= most or not 0 <= newer <= most:
            raise MalformedError(
                f"device {message.sender} reports versions {held} and {newer} of device {source} in round "
                f"{message.round}"
            )
    return found


def want_message(sender: int, round_: int, sources: Sequence[int], meta: Mapping[str, Any] | None = None) -> Message:
    """Return the message that requests from a neighbour what it holds of ``sources``."""
    wide = any(source >= _WIDE for source in sources)
    asked = torch.tensor(sources, dtype=torch.int64 if wide else torch.int32)
    return Message("want", sender, round_, sender, meta or {}, {"sources": asked})


def sources_of(message: Message, receiver: Receiver) -> list[int]:
    """Return the sources that a ``want`` message requests.

    Raises:
        PayloadError: it is not a ``want`` message.
    """
    check_envelope(message, "want", receiver)
    check_tensors(message, ["sources"])
    return [int(source) for source in packed(message, "sources", None, ["int32", "int64"]).tolist()]
