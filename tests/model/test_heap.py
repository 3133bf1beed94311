"""What the C library is told about freed memory."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import pytest

from meshtune.model.heap import keep_freed_memory


class Library:
    """A C library that notes what it is told; ``names`` are the functions that it has."""

    def __init__(self, *names: str) -> None:
        self.told: dict[int, int] = {}
        for name in names:
            setattr(self, name, self.note)

    def note(self, setting: int, value: int) -> int:
        self.told[setting] = value
        return 1


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    def load(library: Library) -> Library:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        keep_freed_memory()
        return library

    return load


def test_glibc_is_told_with_the_numbers_of_its_malloc_h(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """M_ARENA_MAX is -8, M_MMAP_THRESHOLD -3 and M_TRIM_THRESHOLD -1; glibc takes no threshold above 32 MiB."""
    monkeypatch.setattr(sys, "platform", "linux")
    assert loaded(Library("mallopt", "gnu_get_libc_version")).told == {-8: 1, -3: 32 * 2**20, -1: 2**30}


@pytest.mark.parametrize("names", [(), ("mallopt",), ("gnu_get_libc_version",)])
def test_other_libraries_are_left_alone(loaded: Any, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    """musl has a mallopt of its own meaning, or none."""
    monkeypatch.setattr(sys, "platform", "linux")
    assert loaded(Library(*names)).told == {}


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_no_library_is_loaded(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    def none(name: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(ctypes, "CDLL", none)
    monkeypatch.setattr(sys, "platform", platform)
    keep_freed_memory()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a system without glibc")
def test_the_real_library_takes_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """mallopt returns 1 for a value that it takes, 0 for one that it refuses."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        pytest.skip("a system without glibc")
    taken = []

    class Watched:
        gnu_get_libc_version = libc.gnu_get_libc_version

        def mallopt(self, setting: int, value: int) -> None:
            taken.append(libc.mallopt(setting, value))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Watched())
    keep_freed_memory()
    assert taken == [1, 1, 1]
