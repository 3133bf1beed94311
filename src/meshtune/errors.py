"""The errors a user may see. Each message is one sentence that names the thing, the value and the remedy."""

from __future__ import annotations

from collections.abc import Collection

from meshtune.printable import printable


class MeshtuneError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(MeshtuneError):
    """Something the user can fix: a key, a value, a file. The command line prints it and exits with code 2."""


class PayloadError(MeshtuneError):
    """A message that is damaged, not of the format, or contradicts what the receiver knows.

    Nodes count refused messages by class name, so they raise one of the subclasses below.
    """


class MalformedError(PayloadError):
    """A message that is damaged, not of the format, or has a part that is missing or of the wrong kind or shape."""


class OversizedError(PayloadError):
    """A message, or a content, that is larger than announced or allowed."""


class ForeignError(PayloadError):
    """A message from an unknown or impersonated device, or of another federation, model or projection."""


class StaleError(PayloadError):
    """A message of a past version or time, or a delta from a version that the receiver does not hold."""


class EarlyError(PayloadError):
    """A message of a future round."""


class DivergedError(UserError):
    """Training or encoding exceeded the range of a float.

    Attributes:
        what: what is no longer finite, as the middle of a sentence: ``the loss is nan at step 3``.
        number: which of the jobs of a training pass, or which device.

    Args:
        what, number: as above.
        sentence: the message for the user, if more is known.
    """

    def __init__(self, what: str, number: int = 0, sentence: str | None = None) -> None:
        usual = f"training diverged, {what}: start again in another folder with a lower learning rate"
        super().__init__(sentence or usual)
        self.what, self.number = what, number


def enough(number: float) -> str:
    """Return a positive number in a few digits, rounded up, so that "at least" holds for the number as printed."""
    return f"{number * 1.0006:.4g}"


def check_name(kind: str, name: str, known: Collection[str]) -> str:
    """Return ``name``, if it is one of the ``known`` names of a ``kind`` (``method``).

    Raises:
        UserError: it is not; names the nearest, or all of them.
    """
    if name in known:
        return name
    import difflib  # only needed for errors

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
    raise UserError(f"there is no {kind} called {printable(name, 60)}: {hint}")
