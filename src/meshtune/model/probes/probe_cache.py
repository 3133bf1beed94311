"""Verdicts of the probes kept on disk, so that a base that was probed once is not probed again.

One small JSON file a base, named by a hash of everything that a verdict depends on: the base's digest and
configuration, the element type, the device, how it is held, and the versions of the libraries. A file that cannot be
read or written is no error: the base is probed again.
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
"""Counts up when the probes change: older verdicts then no longer count."""
_LARGEST = 1 << 20


def folder() -> Path:
    """Return where verdicts lie: ``$MESHTUNE_CACHE``, else ``meshtune`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    own = os.environ.get("MESHTUNE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "meshtune"


def key_of(model: Any, digest: str, *more: object) -> str:
    """Return the key of a verdict.

    Args:
        model: the Hugging Face model, before anything is changed in it.
        digest: of its weights and tokenizer.
        more: what else the verdict depends on.
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
    """Return the verdict kept under ``key``; None where there is none that can be read."""
    try:
        file = folder() / f"probe-{key}.json"
        if file.stat().st_size > _LARGEST:
            return None
        data = json.loads(file.read_text(encoding="utf-8"))
        return Paths.from_json(data["paths"]) if data["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, RuntimeError):
        return None


def remember(key: str, paths: Paths) -> None:
    """Keep a verdict under ``key``, where that is possible."""
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
