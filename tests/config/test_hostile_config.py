"""Configurations that somebody writes to break things, or by a slip: each ends in a value that makes sense, or in one
sentence, at once.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from meshtune.config.config_file import load_config, validate
from meshtune.config.run_config import RunConfig
from meshtune.config.yaml_reader import BYTES
from meshtune.errors import UserError
from meshtune.printable import printable
from meshtune.wireless.channel import open_channel
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.places import read_positions

NUMBERS = [
    *(math.inf, -math.inf, math.nan, 1e300, -1e300, 1e-300, 10**30, 10**400, 2**63, -1, 0, -0.0, 1.5),
    *(True, False, "1", "nan", "1e400", "fast", "x" * 5000, "\0", "\udc80", None, [], {}, [True], [[math.inf, 0]]),
]
SECOND = 3.0  # on a machine that does other things too


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = [k for k in (field.annotation, *get_args(field.annotation)) if isinstance(k, type)]
        groups = [kind for kind in inner if issubclass(kind, BaseModel)]
        if groups:
            yield from keys(groups[0], f"{prefix}{name}.")
        else:
            yield prefix + name


def tree(key: str, value: Any) -> dict[str, Any]:
    task: dict[str, Any] = {"task": "claims"}
    found: dict[str, Any] = {"tasks": [task], "radio": {}}
    *path, last = key.split(".")
    if path == ["tasks"]:
        task[last] = value
        return found
    node = found
    for part in path:
        node = node.setdefault(part, {})
    node[last] = value
    return found


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield value


def is_well_read(key: str, value: Any) -> None:
    """Check that a value is refused in one sentence of readable length, or read as a number that is finite."""
    began = time.perf_counter()
    try:
        config = validate(tree(key, value), "here")
    except UserError as error:
        text = str(error)
        assert printable(text) == text
        assert text.startswith("here: " if key not in ("tasks.task", "tasks.also") else ("here: ", "unknown task "))
        assert len(text) < 800
    else:
        written = json.loads(config.model_dump_json())
        assert all(math.isfinite(number) for number in numbers(written))
        assert not (isinstance(value, bool) and any(number > 1 for number in numbers(value)))
    assert time.perf_counter() - began < SECOND


@pytest.mark.parametrize("key", [key for key in keys(RunConfig) if key != "validation"])
def test_no_value_of_any_key_breaks_anything(key: str) -> None:
    for value in NUMBERS:
        is_well_read(key, value)


@given(st.sampled_from([*keys(RunConfig)]), st.floats() | st.integers() | st.text(max_size=40) | st.booleans())
@settings(max_examples=300, deadline=None)
def test_nor_does_any_other_value(key: str, value: Any) -> None:
    is_well_read(key, value)


@pytest.mark.parametrize("key", ["train.rounds", "train.lr", "seed", "radio.gamma", "devices.count"])
def test_true_is_no_number(key: str) -> None:
    with pytest.raises(UserError, match="true is not what this key takes"):
        validate(tree(key, True), "here")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.lr", math.inf, "here: train.lr=inf: give a learning rate, 1e-12 to 1e+06, or auto"),
        ("devices.count", 10**12, "here: devices.count=1000000000000: give 1 to 200,000"),
        ("places.radius", 1e300, "here: places.radius=1e+300: give 0.001 to 1e+08 m"),
        ("places.speed", [1, 1e300], "here: places.speed.1=1e+300: give 1e-06 to 100000 m/s"),
        ("compute.frequency", 1e-300, "here: compute.frequency=1e-300: give 1000 to 1e+13 Hz"),
        ("compute.kappa", 1e300, "here: compute.kappa=1e+300: give 0 to 1e-18 J s²"),
        ("radio.power_dbm", 1e5, "here: radio.power_dbm=100000.0: give -200 to 100 dBm"),
        ("seed", 10**5000, "here: seed=a number of hundreds of digits: give 0 to 9,223,372,036,854,775,807"),
        ("data", "x" * 5000, "it has 5,000 characters: give at most 1,000"),
        ("model.name", "a\0b", "it has a NUL or bytes that are not UTF-8: leave them out"),
    ],
    ids=lambda part: part[:40] if isinstance(part, str) else "",
)
def test_a_value_that_makes_no_sense_is_refused_with_its_bounds(key: str, value: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        validate(tree(key, value), "here")
    assert words in str(caught.value)


# Files that a configuration names


def not_files(tmp_path: Path) -> dict[str, Path]:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10 * 2**30)
    return {
        "is not a regular file": Path("/dev/zero"),
        "is not a regular file: ": tmp_path / "pipe",
        "is a folder": tmp_path / "folder",
        "Too many levels of symbolic links": tmp_path / "loop",
        "has 10,737,418,240 bytes, the limit is": tmp_path / "huge",
        "there is no ": tmp_path / "absent",
        "File name too long": tmp_path / ("x" * 300),
        "cannot be read (": tmp_path / "x\0y",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo") or not Path("/dev/zero").exists(), reason="a system without them")
def test_only_regular_files_of_a_bounded_length_are_read(tmp_path: Path) -> None:
    def gains(path: Path) -> None:
        open_channel(RadioConfig(channel="trace", trace=str(path)), 0)

    for words, path in not_files(tmp_path).items():
        began = time.perf_counter()
        for read in (load_config, lambda path: read_positions(path, 3), gains):
            if read is gains and "\0" in str(path):
                continue  # which the settings refuse
            with pytest.raises(UserError) as caught:
                read(path)
            assert words.strip(": ") in str(caught.value)
            assert len(str(caught.value)) < 500
        assert time.perf_counter() - began < SECOND


def test_a_configuration_file_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text("tasks: [claims]\n" + "#" * BYTES)
    with pytest.raises(UserError, match="the limit is 131,072: name a smaller file"):
        load_config(file)
