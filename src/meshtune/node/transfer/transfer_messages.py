"""The messages of content transfer, as values and as bytes in the project's own format.

``offer`` announces a content by digest and size, and includes a small one; ``taken`` acknowledges offers; ``fetch``
requests a part and ``part`` carries one; ``alive`` is a keep-alive. docs/payload.md lists them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshtune.errors import ForeignError, MalformedError, OversizedError
from meshtune.node.transfer.config import LONGEST_PART
from meshtune.printable import quoted
from meshtune.wire.payload import Message, PayloadLimits, byte_tensor, decode, encode
from meshtune.wire.plain_values import fact, text, whole
from meshtune.wire.validation import check_tensors, packed

_DIGEST = 32
_LIMITS = PayloadLimits(LONGEST_PART + 8192, 4096, 1, LONGEST_PART, 1)


class Content(NamedTuple):
    """The key of a content: the BLAKE2b digest of its bytes, 64 hexadecimal digits, and their number."""

    digest: str
    size: int


@dataclass(frozen=True)
class Offer:
    """A content that its sender holds for the receiver.

    Attributes:
        session: the sender's session, which increases with each of its starts.
        number: number of this offer among the sender's offers to this receiver, from 1; contents are delivered in this
            order.
        oldest: the lowest number the sender still offers; lower ones that have not arrived never will.
        source: the device whose content it is.
        version: version of the update in it; 0 if it carries none.
        content: the key of the content offered.
        data: the content itself if it is small; None if it must be fetched.
    """

    session: int
    number: int
    oldest: int
    source: int
    version: int
    content: Content
    data: bytes | None = None


@dataclass(frozen=True)
class Taken:
    """Every offer of the receiver's ``session`` up to ``number`` has been taken, refused or withdrawn."""

    session: int
    number: int


@dataclass(frozen=True)
class PartRequest:
    """Requests ``length`` bytes of ``content`` starting at ``offset``."""

    content: Content
    offset: int
    length: int


@dataclass(frozen=True)
class ContentPart:
    """One or more bytes of ``content`` starting at ``offset``; None if the sender no longer holds the content."""

    content: Content
    offset: int
    data: bytes | None


@dataclass(frozen=True)
class KeepAlive:
    """Says that its sender is alive."""


Transferred = Offer | Taken | PartRequest | ContentPart | KeepAlive


def content_of(data: bytes) -> Content:
    """Return the key of ``data``."""
    return Content(hashlib.blake2b(data, digest_size=_DIGEST).hexdigest(), len(data))


def write_transfer(said: Transferred, device: int, federation: str) -> bytes:
    """Return ``said`` as ``device`` of ``federation`` sends it."""
    meta: dict[str, Any] = {"federation": federation}
    data, source = None, device
    if isinstance(said, Offer | PartRequest | ContentPart):
        meta |= said.content._asdict()
    match said:
        case Offer():
            kind, data, source = "offer", said.data, said.source
            meta |= {name: getattr(said, name) for name in ("session", "number", "oldest", "version")}
        case Taken():
            kind, meta = "taken", {**meta, "session": said.session, "number": said.number}
        case PartRequest():
            kind, meta = "fetch", {**meta, "offset": said.offset, "length": said.length}
        case ContentPart():
            kind, data, meta = "part", said.data, {**meta, "offset": said.offset}
        case KeepAlive():
            kind = "alive"
    tensors = {"content": byte_tensor(data)} if data else {}
    return encode(Message(kind, device, 0, source, meta, tensors))


def read_transfer(data: bytes, sender: int, federation: str) -> Transferred:
    """Return what ``sender`` said.

    Raises:
        MalformedError: the message is damaged, of another kind, or invalid.
        OversizedError: it exceeds the maximum length of a part.
        ForeignError: it names another sender or federation.
    """
    message = decode(data, _LIMITS)
    if message.sender != sender:
        raise ForeignError(f"device {sender} sent a message that names device {message.sender} as its sender")
    meta, who = message.meta, f"of a message of device {sender}"
    if text(fact(meta, "federation"), f"the federation {who}") != federation:
        raise ForeignError(f"device {sender} is of another federation, {quoted(meta['federation'])}")

    def number(name: str, low: int = 0) -> int:
        return whole(fact(meta, name), f"the {name} {who}", low, (1 << 63) - 1)

    def content() -> Content:
        digest = text(fact(meta, "digest"), f"the digest {who}", 2 * _DIGEST)
        if len(digest) != 2 * _DIGEST or set(digest) - set("0123456789abcdef"):
            raise MalformedError(f"the digest {who} is {quoted(digest)}: expected {2 * _DIGEST} hexadecimal digits")
        return Content(digest, number("size", 1))

    def body() -> bytes | None:
        check_tensors(message, (), ["content"])
        if not message.tensors:
            return None
        return packed(message, "content", None, ["uint8"]).numpy().tobytes()

    match message.kind:
        case "offer":
            said = Offer(
                number("session"), number("number", 1), number("oldest", 1), message.source, number("version"),
                content(), body(),
            )  # fmt: skip
            if said.oldest > said.number:
                raise MalformedError(
                    f"device {sender} offers number {said.number}, but its oldest offer is {said.oldest}"
                )
            if said.data is not None and content_of(said.data) != said.content:
                raise MalformedError(f"device {sender} sent a content other than it offered")
            return said
        case "taken":
            return Taken(number("session"), number("number"))
        case "fetch":
            asked = PartRequest(content(), number("offset"), number("length", 1))
            if asked.length > LONGEST_PART:
                raise OversizedError(
                    f"device {sender} requests {asked.length} bytes at once: the limit is {LONGEST_PART}"
                )
            return asked
        case "part":
            return ContentPart(content(), number("offset"), body())
        case "alive":
            return KeepAlive()
        case kind:
            raise MalformedError(f"a message of kind {quoted(kind)} came, expected one that transfers contents")
