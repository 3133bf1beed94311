"""Limits that a shell or a batch system may have set, told before the libraries are loaded that stumble over them."""

from __future__ import annotations

import sys

from meshtune.errors import UserError

LEAST = 2 * 2**30
"""Bytes of address space below which loading torch and scipy may hang, or end the process without a word."""


def check_address_space() -> None:
    """Make sure that the address space suffices to load what computes.

    Raises:
        UserError: ``ulimit -v`` leaves less than :data:`LEAST`.
    """
    if sys.platform == "win32":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST:
        raise UserError(
            f"ulimit -v allows {limit / 2**30:.2f} GiB of address space, and torch needs {LEAST / 2**30:g} GiB to be "
            f"loaded: raise it to {LEAST // 1024} or more"
        )
