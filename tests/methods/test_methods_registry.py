"""Names of methods: those of the catalogue, and those that other packages bring."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshtune.errors import UserError
from meshtune.methods import catalogue
from meshtune.methods.registry import CATALOGUE, check_method, get_method


def test_the_registry_names_what_is_in_the_catalogue() -> None:
    files = {file.stem for file in Path(catalogue.__file__).parent.glob("*.py")} - {"__init__"}
    assert {name: get_method(name).name for name in CATALOGUE} == {name: name for name in files}


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean proposed"):
        get_method("propsed")


MODULE = """
from meshtune.methods.catalogue.lora import Lora

class Halved(Lora):
    name = "halved"

    def mix(self, member, factory):
        mixed = super().mix(member, factory)
        return mixed.with_values(mixed.values / 2)

METHOD = Halved()
BROKEN = "no method"
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with an installed package that adds methods, as pip leaves one."""
    info = tmp_path / "halving-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: halving\nVersion: 1.0\n")
    points = "halved = halving:METHOD\nbroken = halving:BROKEN\nmissing = nowhere:METHOD\nlora = halving:METHOD\n"
    (info / "entry_points.txt").write_text(f"[meshtune.methods]\n{points}")
    (tmp_path / "halving.py").write_text(MODULE)
    return tmp_path


def meshtune(package: Path, *args: str) -> subprocess.CompletedProcess[str]:
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path])}
    call = [sys.executable, "-m", "meshtune.cli.main", *args]
    return subprocess.run(call, capture_output=True, text=True, env=where, check=False)


def test_a_method_of_another_package_is_listed_and_run(package: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    listed = meshtune(package, "methods").stdout
    assert "halved" in listed
    assert "from halving" in listed
    settings["methods"] = ["halved", "lora"]
    settings["train"]["rounds"] = 1
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps({**settings, "model": {"name": "tiny-random"}}))
    done = meshtune(package, "run", str(file), "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    values = {m: [r["value"] for r in rows if r["method"] == m and r["metric"] == "nll"] for m in ("halved", "lora")}
    assert len(values["halved"]) == len(values["lora"]) > 0
    assert values["halved"] != values["lora"]


@pytest.mark.parametrize(
    ("name", "part"), [("broken", "is not a method of that name"), ("missing", "cannot be loaded from nowhere:METHOD")]
)
def test_what_is_none_is_refused(name: str, part: str, package: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps({**settings, "methods": [name]}))
    done = meshtune(package, "run", str(file), "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert part in done.stderr


def test_a_name_that_is_known_is_returned() -> None:
    assert check_method("ffa") == "ffa"
    with pytest.raises(UserError, match=r"^there is no method called zz: choose from proposed, lora, "):
        check_method("zz")
