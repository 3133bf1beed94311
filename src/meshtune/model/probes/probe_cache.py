"""Verdicts of the probes kept on disk, so that a base that was probed once is not probed again.

There is one small JSON file per base, named by a hash of everything that a verdict depends on: the base's digest and
configuration, the element type, the device, the storage format, and the versions of the libraries. A file that cannot
be read or written is not an error: the base is probed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from meshtune.model.paths import Paths

PROBES = 3
"""Incremented when the probes change, which invalidates older verdicts."""
_LARGEST = 1 << 20


def folder() -> Path:
    """Return the folder of verdicts: ``$MESHTUNE_CACHE``, else ``meshtune`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    own = os.environ.get("MESHTUNE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "meshtune"


def key_of(model: Any, digest: str, *more: object) -> str:
    """Return the key of a verdict.

    Args:
        model: the Hugging Face model, before anything is changed in it.
        digest: of its weights and tokenizer.
        more: anything else that the verdict depends on.
    """
    first = next(iter(model.parameters()))
    facts = [
        PROBES,
        digest,
        str(model),
        model.config.to_json_string(use_diff=False),
        str(model.config._attn_implementation),
        str(first.dtype),
        first.device.type,
        platform.machine(),
        *(version(name) for name in ("torch", "transformers", "meshtune")),
        *more,
    ]
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


def recall(key: str) -> Paths | None:
    """Return the verdict stored under ``key``; None if there is no readable one."""
    try:
        file = folder() / f"probe-{key}.json"
        if file.stat().st_size > _LARGEST:
            return None
        data = json.loads(file.read_text(encoding="utf-8"))
        return Paths.from_json(data["paths"]) if data["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, RuntimeError):
        return None


def remember(key: str, paths: Paths) -> None:
    """Store a verdict under ``key``, if possible."""
    with suppress(OSError, RuntimeError):
        where = folder()
        where.mkdir(parents=True, exist_ok=True)
        new = where / f"probe-{key}.{uuid4().hex}.tmp"
        try:
            new.write_text(json.dumps({"key": key, "paths": paths.to_json()}, indent=1) + "\n", encoding="utf-8")
            new.replace(where / f"probe-{key}.json")
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)
