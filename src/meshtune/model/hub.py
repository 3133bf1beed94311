"""Whether the model hub can be reached: without a network, a name ends in a sentence, not in half a minute of retries.

The hub's own client asks five times, with growing pauses, for every file. So its host, or the proxy before it, is
called once; where nothing answers, only what was downloaded before is looked at.
"""

from __future__ import annotations

import socket
from functools import cache
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

WAIT = 4.0
"""Seconds in which a host answers, or counts as one that cannot be reached."""


def why_local() -> str | None:
    """Return why only files downloaded before can be had, or None where the hub can be asked."""
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
    # Looking a name up can take longer than any timeout of the connection, so it is done aside.
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
