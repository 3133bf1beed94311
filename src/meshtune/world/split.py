"""Which questions are for testing: decided only by a question's core, so that no seed moves one to training."""

from __future__ import annotations

import hashlib

TEST_SHARE = 5  # one core in five is for testing


def is_test(task: str, core: str) -> bool:
    """Tell whether a question with this core is a test question of the task."""
    state = hashlib.blake2b(f"{task}\x1f{core}".encode(), digest_size=8)
    return int.from_bytes(state.digest(), "little") % TEST_SHARE == 0
