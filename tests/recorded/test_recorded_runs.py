"""Runs end in the numbers that were recorded: a rebuild of what is inside changes none of them.

A change that is meant to move numbers is recorded anew, with ``python tests/recorded/record.py [NAME ...]``; the
difference of ``runs.json`` then shows what it moved.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshtune.methods.registry import CATALOGUE
from recorded.record import PARTS, RECORDS, RUNS, play, rounding, write_data

SHOWN = 5
"""Differences that are shown."""
TOLERANCES = {
    "networks": (1e-6, 0.0),
    "clock": (1e-9, 0.0),
    "adapters": (1e-6, 0.0),
    "banks": (1e-6, 0.0),
}
"""By part how far a number may be off, relative and absolute. Whole numbers and words must be the same."""
OTHERS = (1e-6, 1e-6)
ELSEWHERE = 2e-3
"""In place of each of these that is not 0, on a machine that rounds otherwise than that of the records: a last digit
decides which way a bfloat16 is rounded. torch's paths for AVX2 and for no vectors at all stay within a fifth of it."""
COUNTS = ("bytes", "bytes by device", "header")
"""Parts whose whole numbers may differ too: they decide how far differences in int4 and int8 can be packed."""


@pytest.fixture(scope="module")
def records() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDS.read_text())["runs"]
    return found


@pytest.fixture(scope="module")
def elsewhere() -> bool:
    return bool(json.loads(RECORDS.read_text())["rounding"] != rounding())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("recorded") / "data")


@pytest.mark.parametrize("name", list(RUNS))
def test_a_run_ends_in_the_recorded_numbers(
    name: str, records: dict[str, Any], elsewhere: bool, data: Path, tmp_path: Path
) -> None:
    record = RUNS[name].record or name
    found = list(differences(records[record], play(name, data, tmp_path / "run"), elsewhere))
    if found:
        pytest.fail(told(name, record, found), pytrace=False)


def differences(
    recorded: Any, now: Any, elsewhere: bool = False, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Yield the part and a sentence for everything in which two records differ, in the order of the first."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in [*recorded, *(key for key in now if key not in recorded)]:
            at = (*path, key)
            if key not in now:
                yield at[0], f"{'/'.join(at)}: recorded {shown(recorded[key])}, now missing"
            elif key not in recorded:
                yield at[0], f"{'/'.join(at)}: not recorded, now {shown(now[key])}"
            else:
                yield from differences(recorded[key], now[key], elsewhere, at)
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        for number, (one, other) in enumerate(zip(recorded, now, strict=True)):
            yield from differences(one, other, elsewhere, (*path, str(number)))
    elif not same(recorded, now, path[0], elsewhere):
        yield path[0], f"{'/'.join(path)}: recorded {shown(recorded)}, now {shown(now)}"


def same(recorded: Any, now: Any, part: str, elsewhere: bool) -> bool:
    """Return whether two values are the same, numbers nearly so."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (recorded, now)):
        return bool(recorded == now)
    relative, absolute = TOLERANCES.get(part, OTHERS)
    if elsewhere:
        relative, absolute = ELSEWHERE, ELSEWHERE if absolute else 0.0
    if isinstance(recorded, int) and isinstance(now, int):
        return recorded == now or (elsewhere and part in COUNTS and math.isclose(recorded, now, rel_tol=relative))
    return math.isclose(recorded, now, rel_tol=relative, abs_tol=absolute)


def shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def told(name: str, record: str, found: list[tuple[str, str]]) -> str:
    """Return what is different, the first first."""
    parts = Counter(part for part, _ in found)
    return "\n".join(
        [
            f"the run '{name}' does not end in the numbers that are recorded of '{record}'; first",
            *(f"  {text}" for _, text in found[:SHOWN]),
            f"in all {len(found)}: " + ", ".join(f"{part} {parts[part]}" for part in PARTS if part in parts),
            f"where that is meant: python tests/recorded/record.py '{record}'",
        ]
    )


def test_all_runs_are_recorded_and_all_methods_run(records: dict[str, Any]) -> None:
    assert list(records) == [name for name, one in RUNS.items() if not one.record]
    assert {one.record for one in RUNS.values() if one.record} <= set(records)
    assert set(records["all methods"]["adapters"]) == set(CATALOGUE)
    for record in records.values():
        assert list(record) == [part for part in PARTS if part in record]


def test_a_difference_is_found_and_named(records: dict[str, Any]) -> None:
    record = records["clusters"]
    copy = json.loads(json.dumps(record))
    assert list(differences(record, copy)) == []
    sending = copy["clock"]["bank"]["per_round"]["sending"]
    sending[2] *= 1 + 1e-10
    copy["adapters"]["lora"]["0"][1] *= 1 + 1e-7
    assert list(differences(record, copy)) == []
    sending[2] *= 1 + 1e-8
    copy["adapters"]["lora"]["0"][1] *= 1 + 1e-5
    copy["bytes"]["paper"]["values"]["1"] += 1
    copy["bytes"]["paper"]["tickets"] = {"1": 3}
    del copy["banks"]["local"]["5"]
    found = list(differences(record, copy))
    assert [text.partition(":")[0] for _, text in found] == [
        "bytes/paper/values/1",
        "bytes/paper/tickets",
        "clock/bank/per_round/sending/2",
        "adapters/lora/0/1",
        "banks/local/5",
    ]
    assert 'bytes/paper/tickets: not recorded, now {"1": 3}' in told("clusters", "clusters", found)
    assert "in all 5: bytes 2, clock 1, adapters 1, banks 1" in told("clusters", "clusters", found)
    kept = [text.partition(":")[0] for _, text in differences(record, copy, elsewhere=True)]
    assert kept == ["bytes/paper/tickets", "banks/local/5"]
