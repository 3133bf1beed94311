"""Limits of a shell are told before the libraries stumble over them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from meshtune.cli.limits import check_address_space
from meshtune.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a system without ulimit")
GIB = 2**30


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that a shell has set this limit, in bytes."""
    import resource

    def pretend(to: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (to, resource.RLIM_INFINITY))

    return pretend


def test_a_limit_below_two_gib_is_refused_with_the_number_to_set(limit: Callable[[int], None]) -> None:
    """``ulimit -v`` counts in KiB: 2 GiB are 2,097,152 of them."""
    limit(GIB + GIB // 2)
    said = (
        "^ulimit -v allows 1.50 GiB of address space, and torch needs 2 GiB to be loaded: raise it to 2097152 or more$"
    )
    with pytest.raises(UserError, match=said):
        check_address_space()
    limit(2 * GIB - 1)
    with pytest.raises(UserError, match=r"allows 2\.00 GiB"):
        check_address_space()


@pytest.mark.parametrize("to", [2 * GIB, 2097152 * 1024, 2**60, -1])
def test_enough_or_no_limit_is_let_be(limit: Callable[[int], None], to: int) -> None:
    limit(to)
    check_address_space()


def test_where_there_is_no_ulimit_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)  # importing it raises
    check_address_space()


def test_an_address_space_too_small_to_load_torch_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("tasks: [claims]\n")
    line = f"ulimit -v 600000; {sys.executable} -m meshtune.cli.main run {tmp_path}/c.yaml --out {tmp_path}/out"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ulimit -v allows 0.57 GiB of address space, and torch needs 2 GiB")
    assert not (tmp_path / "out").exists()
