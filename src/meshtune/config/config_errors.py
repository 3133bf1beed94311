"""Errors for mistakes in a configuration: one sentence with the key, its value and the allowed values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from meshtune.printable import printable

SHOWN = 100
"""Characters of an override that are shown."""
VALUE = 60
"""Characters of a value, or of an unknown key, that are shown."""
MESSAGE = 600
"""Characters of the reason that are shown."""


def sentence(model: type[BaseModel], error: ValidationError, where: str, overrides: Sequence[str] = ()) -> str:
    """Return the first mistake in one sentence.

    Args:
        model: the model of the whole configuration.
        error: pydantic's error.
        where: the configuration's origin.
        overrides: the ``key=value`` texts applied to it.
    """
    # A mistyped key first: it explains why another is missing.
    found = error.errors(include_url=False)
    first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    parts = [printable(str(part), VALUE) for part in first["loc"]]
    key = ".".join(parts)
    where, given_here = _origin(where, first, overrides)
    if first["type"] == "extra_forbidden":
        known = _keys_at(model, parts[:-1])
        near = difflib.get_close_matches(parts[-1], known, n=1)
        if near:
            hint = f"did you mean {'.'.join([*parts[:-1], near[0]])}?"
        else:
            hint = f"known keys: {', '.join(known)}"
        return f"{where}: there is no key {key}: {hint}"
    if first["type"] == "missing":
        return f"{where}: the key {key} is missing"
    cause = first.get("ctx", {}).get("error")
    message = str(cause) if cause is not None else first["msg"]
    given = first.get("input")
    shown = f"={_shown(given)}" if isinstance(given, str | int | float | bool) else ""
    # For incompatible keys, the message names them.
    named = [where, f"{key}{shown}"] if parts and not given_here else [where]
    return ": ".join([*named, printable(message[0].lower() + message[1:], MESSAGE)])


def _origin(where: str, mistake: Mapping[str, Any], overrides: Sequence[str]) -> tuple[str, bool]:
    """Return where a mistake comes from, and whether that is an override of this very key.

    If keys are incompatible, some may have been overridden: those are named after the configuration.

    Args:
        where: the configuration's origin.
        mistake: pydantic's error; its location may be a group of keys, or nothing.
        overrides: in the order in which they were applied.
    """
    loc, unknown = [str(part) for part in mistake["loc"]], mistake["type"] == "extra_forbidden"
    partly = []
    for override in reversed(overrides):
        path = override.partition("=")[0].split(".")
        shown = setting_shown(override)
        inside = path[: len(loc)] == loc
        if loc[: len(path)] == path or (inside and unknown):
            return shown, loc == path
        if inside and (loc or re.search(rf"\b{re.escape(path[0])}\b", mistake["msg"])):
            partly.append(shown)
    return " ".join([where, *(["with", " and ".join(reversed(partly))] if partly else [])]), False


def setting_shown(override: str) -> str:
    """Return how an error names the override ``key=value``."""
    shown = printable(override, SHOWN).replace("`", "'")
    return f"the setting `{shown}`"


def _shown(value: str | float) -> str:
    if isinstance(value, int) and value.bit_length() > 1000:
        return "a number of hundreds of digits"  # which Python would refuse to print
    return printable(str(value), VALUE)


def _keys_at(model: Any, path: Sequence[str]) -> list[str]:
    for part in path:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        kinds = (annotation, *get_args(annotation))
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        model = inner[0]
    return list(model.model_fields)
