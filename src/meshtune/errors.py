"""The errors a user may see. Each message is one sentence that names the thing, the value and the remedy."""

from __future__ import annotations

from collections.abc import Collection

from meshtune.printable import printable


class MeshtuneError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(MeshtuneError):
    """Something the user can mend: a key, a value, a file. The command line prints it and exits with code 2."""


class PayloadError(MeshtuneError):
    """A message that is damaged, is none of the format, or says what the receiver knows cannot be.

    Nodes count what they refuse by the name of the class, so they raise one of those below.
    """


class MalformedError(PayloadError):
    """A message that is damaged, is none of the format, or in which a part is missing or of another kind or shape."""


class OversizedError(PayloadError):
    """A message, or a content, that is larger than was announced or is allowed."""


class ForeignError(PayloadError):
    """A message of a device that is not known, is not who it says, or is of another federation, model or projection."""


class StaleError(PayloadError):
    """A message of a version or a time that is past, or a difference to a version that the receiver does not hold."""


class EarlyError(PayloadError):
    """A message of a round that is still to come."""


class DivergedError(UserError):
    """Training or encoding left the numbers that a float can hold.

    Attributes:
        what: what is no longer finite, as the middle of a sentence: ``the loss is nan at step 3``.
        number: which of the jobs of a training pass, or which device.

    Args:
        what, number: as above.
        sentence: what the user is told, where more is known than these.
    """

    def __init__(self, what: str, number: int = 0, sentence: str | None = None) -> None:
        usual = f"training diverged, {what}: start again in another folder with a lower learning rate"
        super().__init__(sentence or usual)
        self.what, self.number = what, number


def enough(number: float) -> str:
    """Return a positive number in a few digits, rounded up: a remedy that says "at least" must hold as it is said."""
    return f"{number * 1.0006:.4g}"


def check_name(kind: str, name: str, known: Collection[str]) -> str:
    """Return ``name``, if it is one of the ``known`` names of a ``kind`` (``method``).

    Raises:
        UserError: it is none; names the nearest, or all of them.
    """
    if name in known:
        return name
    import difflib  # help and everything that goes well need it not

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
    raise UserError(f"there is no {kind} called {printable(name, 60)}: {hint}")
