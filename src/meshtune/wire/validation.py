"""What a receiver checks before it accepts a message: who sent it, when, and whether its parts fit.

The digest of a frame shows that a message arrived as it was sent. It does not show that the sender is honest, of the
same version, or sane. So every claim in a message is checked against what its receiver knows: which devices there are,
which round it is, how many values are expected and of which type. Whatever does not fit raises a
:class:`~meshtune.errors.PayloadError` that says why and quotes at most 100 characters. Plain values are checked by
:mod:`meshtune.wire.plain_values`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from meshtune.errors import EarlyError, ForeignError, MalformedError
from meshtune.printable import quoted
from meshtune.wire.payload import Message

MOST_ROWS = 10**9
"""Maximum number of rows, or prompts, that a device may claim; they weight its update in means."""


@dataclass(frozen=True)
class Receiver:
    """What a device knows before it reads a message.

    Attributes:
        round: its own round; a message may be of this round or an earlier one.
        device: its id, which no message may name as sender or source; None if no particular device reads it.
        devices: ids that may be senders or sources; None if unknown devices may be, as in the handshake.
        relays: whether devices relay others' messages.
    """

    round: int = 0
    device: int | None = None
    devices: Collection[int] | None = None
    relays: bool = True


def check_envelope(message: Message, kind: str, receiver: Receiver) -> None:
    """Check the sender, source, kind and round of ``message``.

    Raises:
        PayloadError: it is of another kind or of a future round; it names the receiver itself or an unknown device; or
            it is relayed although nobody relays.
    """
    if message.kind != kind:
        raise MalformedError(f"a message of kind {quoted(message.kind)} came, expected one of kind {kind}")
    for name, value in (("sender", message.sender), ("source", message.source)):
        if value == receiver.device:
            raise ForeignError(f"device {value} was sent a message that names it as its {name}")
        if receiver.devices is not None and value not in receiver.devices:
            raise ForeignError(f"a message names device {quoted(value)} as its {name}, which has not announced itself")
    if message.sender != message.source and not receiver.relays:
        raise ForeignError(
            f"device {message.sender} relayed a message of device {message.source}, but nobody relays here"
        )
    if message.round > receiver.round:
        raise EarlyError(
            f"device {message.sender} sent a message of round {quoted(message.round)} in round {receiver.round}"
        )


def check_tensors(message: Message, needed: Collection[str], allowed: Collection[str] = ()) -> None:
    """Check that ``message`` has all tensors in ``needed``, and besides them only those in ``allowed``."""
    missing = [name for name in needed if name not in message.tensors]
    if missing:
        raise MalformedError(f"{_whose(message)} came without {' and '.join(missing)}")
    more = [name for name in message.tensors if name not in (*needed, *allowed)]
    if more:
        raise MalformedError(f"{_whose(message)} came with a tensor {quoted(min(more))} that is not part of it")


def numbers(message: Message, name: str, shape: tuple[int, ...], dtypes: Collection[str] = ()) -> Tensor:
    """Return the tensor ``name``, finite numbers in floating point.

    Args:
        message: the message.
        name: of a tensor in it.
        shape: the exact shape; nothing is broadcast.
        dtypes: names of the allowed types; empty for all floating ones.
    """
    tensor = packed(message, name, shape, dtypes)
    if not tensor.dtype.is_floating_point:
        raise MalformedError(f"{_whose(message)} has {name} of type {_type(tensor)}, expected floating point")
    if not bool(tensor.isfinite().all()):
        raise MalformedError(f"{_whose(message)} has {name} that are not finite")
    return tensor


def packed(message: Message, name: str, shape: tuple[int, ...] | None, dtypes: Collection[str]) -> Tensor:
    """Return the tensor ``name``, which must have ``shape`` (None: any one dimension) and one of ``dtypes``."""
    tensor = message.tensors[name]
    fits = tensor.dim() == 1 if shape is None else tuple(tensor.shape) == shape
    if not fits:
        due = "a vector" if shape is None else list(shape)
        raise MalformedError(f"{_whose(message)} has {name} of shape {quoted(list(tensor.shape))}, expected {due}")
    if dtypes and _type(tensor) not in dtypes:
        raise MalformedError(f"{_whose(message)} has {name} of type {_type(tensor)}, expected {' or '.join(dtypes)}")
    return tensor


def _whose(message: Message) -> str:
    article = "an" if message.kind[0] in "aeiou" else "a"
    return f"{article} {message.kind} message of device {message.source}"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
