"""The sentence on tasks that no device has: with fewer devices than tasks, some are asked but not learnt."""

from __future__ import annotations

from meshtune.config.run_config import RunConfig
from meshtune.printable import printable

NAMED = 10


def unlearnt_note(config: RunConfig) -> str | None:
    """Return the sentence, with the remedy; None if every task has a device."""
    keys = config.unlearnt
    if not keys:
        return None
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    named = f"{', '.join(printable(key, 40) for key in keys[:NAMED])}{more}"
    which, are, them = ("task", "is", "it") if len(keys) == 1 else ("tasks", "are", "them")
    return (
        f"{which} {named} {are} asked, but no device has {them}: nobody learns {them}, and averages leave {them} out; "
        f"devices.count={len(config.tasks)} gives every task a device"
    )
