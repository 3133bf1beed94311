"""Rewrites the engine's messages in terms of command-line options.

Errors and notes name arguments and settings as Python does, in backquotes: `` `tokens` `` and ``the setting
`train.lr=0.001` ``. On a command line these are ``--tokens`` and ``--set train.lr=0.001``.
"""

from __future__ import annotations

import re

_OPTIONS = {
    "density_from": "--density-from",
    "method": "--method",
    "options": "--options",
    "out": "--out",
    "overrides": "--set",
    "router": "--router",
    "temperature": "--temperature",
    "tokens": "--tokens",
    "unsafe_code": "--unsafe-code",
}
_NAMED = re.compile(r"(?:(?<=`) and )?the setting `(?P<setting>[^`]+)`|`(?P<argument>" + "|".join(_OPTIONS) + ")`")


def in_flags(text: str) -> str:
    """Return ``text`` with arguments and settings replaced by options."""

    def option(found: re.Match[str]) -> str:
        if found["argument"]:
            return _OPTIONS[found["argument"]]
        return f"{' ' if found[0].startswith(' ') else ''}--set {found['setting']}"

    return _NAMED.sub(option, text)
