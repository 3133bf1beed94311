"""The errors a user may see. Each message is one sentence that names the thing, the value and the remedy."""

from __future__ import annotations


class MeshtuneError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(MeshtuneError):
    """Something the user can mend: a key, a value, a file. The command line prints it and exits with code 2."""
