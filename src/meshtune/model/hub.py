"""Whether the model hub is reachable: without a network, a name fails at once, not after half a minute of retries.

The hub's own client tries five times, with growing pauses, for every file. So its host, or the proxy in front of it, is
contacted once. If nothing answers, only earlier downloads are searched.
"""

from __future__ import annotations

import socket
from functools import cache
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

WAIT = 4.0
"""Seconds within which a host must answer, or it counts as unreachable."""


def why_local() -> str | None:
    """Return why only earlier downloads are available, or None if the hub can be asked."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    if not _answers(constants.ENDPOINT):
        return f"{urlsplit(constants.ENDPOINT).hostname or constants.ENDPOINT} does not answer"
    return None


@cache
def _answers(endpoint: str) -> bool:
    target = urlsplit(endpoint)
    proxy = getproxies().get(target.scheme or "https")
    if proxy and not proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = target.port or (80 if target.scheme == "http" else 443)
    found: list[bool] = []
    # Resolving a name can take longer than the connection's timeout, so it runs in a thread.
    caller = Thread(target=_call, args=(target.hostname or "", port, found), daemon=True)
    caller.start()
    caller.join(WAIT)
    return bool(found)


def _call(name: str, port: int, found: list[bool]) -> None:
    try:
        with socket.create_connection((name, port), timeout=WAIT):
            found.append(True)
    except (OSError, ValueError):
        return
