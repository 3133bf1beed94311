"""Limits that a shell or batch system may have set, reported before they break the loading of libraries."""

from __future__ import annotations

import sys

from meshtune.errors import UserError

LEAST = 2 * 2**30
"""Bytes of address space below which loading torch and scipy may hang or kill the process silently."""


def check_address_space() -> None:
    """Make sure that there is enough address space to load torch and scipy.

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
