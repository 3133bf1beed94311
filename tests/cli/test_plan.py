"""``meshtune plan`` as it is typed: tables, JSON, the map, and every mistake in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from meshtune.cli.main import app
from meshtune.report.result_tables import bytes_text
from meshtune.topology.phrases import figure, watts

ROOT = Path(__file__).parents[2]
TREE: dict[str, Any] = {
    "model": {"name": "tiny-random"},
    "tasks": ["boolq", "piqa"],
    "devices": {"count": 4},
    "adapter": {"rank": 4},
    "radio": {"range": 100.0},
    "places": {"positions": [[0, 0], [30, 0], [0, 40], [400, 0]]},
    "methods": ["bank", "lora"],
}


def call(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["plan", *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(TREE))
    return path


def test_json_says_what_the_table_says(file: Path) -> None:
    code, out, err = call(str(file), "--format", "json")
    assert code == 0
    tree = json.loads(out)
    assert "forming clusters" in err
    code, out, _ = call(str(file))
    assert code == 0
    lines = out[out.index("\nDevices\n") :].splitlines()
    for device in tree["devices"]:
        cells = re.split(r"  +", next(line for line in lines if line.startswith(f"{device['device']} ")))
        sent = device["bytes"]["bank"]
        assert cells[1:5] == [
            device["task"],
            str(device["cluster"]),
            str(len(device["neighbours"])),
            watts(device["power"]) if device["power"] else "-",
        ]
        assert cells[5] == watts(device["headroom"])
        assert cells[-2] == (bytes_text(sent["round"]) if sent["round"] else "-")
    for cluster in tree["clusters"]:
        assert re.search(rf"^{cluster['cluster']} .* {len(cluster['members'])} +{figure(cluster['rate'])} ", out, re.M)
    assert f"{tree['weights']:,} weights" in out
    assert all(note in out for note in tree["notes"])


def test_set_why_and_map(file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    code, out, err = call(str(file), "--set", "radio.range=20", "--why", "1", "--map", str(picture))
    assert code == 0
    assert out.startswith("Device 1\n")
    assert "device 1 is alone: no other device is within 20 m, the nearest, 0, is 30 m away" in out
    assert "\nDevices\n" not in out
    assert f"Map: {picture}" in err
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_neither_data_nor_weights_are_needed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHTUNE_DATA", "/nowhere")
    code, out, _ = call(
        str(file), "--set", "data=/nowhere", "--set", "model.name=qwen2.5-7b", "--set", "devices.count=4"
    )
    assert code == 0
    assert "7,615,616,512 weights" in out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["radio.bandwidth=0"], "radio.bandwidth=0: give 1 to 1e+15 Hz"),
        (["radio.bandwidth=-1"], "radio.bandwidth=-1: give 1 to 1e+15 Hz"),
        (["radio.gamma=-0.5"], "radio.gamma=-0.5: give 1e-06 to 1e+09 s"),
        (["radio.gamma=0"], "radio.gamma=0: give 1e-06 to 1e+09 s"),
        (["radio.range=0"], "radio.range=0: give 0.001 to 1e+08 m"),
        (["radio.noise_dbm_hz=.nan"], "--set radio.noise_dbm_hz=.nan: input should be a finite number"),
        (
            ["radio.noise_dbm_hz=-4000"],
            "radio.noise_dbm_hz=-4000: give -300 to 50 dBm/Hz",
        ),
        (["clusters.s_max=0"], "clusters.s_max=0: input should be greater than or"),
        (["clusters.s_max=1.5"], "clusters.s_max=1.5: input should be less than or equal to 1"),
        (["clusters.smax=0.1"], "there is no key clusters.smax: did you mean clusters.s_max?"),
        (
            ["places.positions=[[0, 0], [1, 1], [0, 0], [2, 2]]"],
            "devices 0 and 2 both stand at (0, 0): move one of them",
        ),
        (["places.positions=[[0, 0]]"], "places.positions places 1 devices and there are 4: give one x and y for each"),
        (["places.positions=null", "places.file=FOLDER/none.csv"], "none.csv"),
        (["places.positions=null", "places.file=FOLDER/columns.csv"], "columns.csv"),
        (["places.positions=null", "places.file=FOLDER/few.csv"], "places 1 of 4 devices: add a line for device 1"),
        (["radio.channel=trace", "radio.trace=FOLDER/short.csv"], "short.csv"),
        (["radio.channel=papr"], "there is no channel called papr: did you mean paper?"),
        (["methods=[local]"], "methods=[local] send nothing, so there is no exchange to plan: add one that does"),
        (["compute.epsilon=1", "compute.c_max=0.1"], "compute.c_max=0.1 cycles a round pay for no trained value"),
        (["model.name=nowhere/at-all.gguf"], "at-all.gguf"),
        (["compute.frequency=0"], "compute.frequency=0: give 1000 to 1e+13 Hz"),
    ],
)
def test_a_mistake_is_one_sentence(file: Path, tmp_path: Path, settings: list[str], words: str) -> None:
    (tmp_path / "columns.csv").write_text("device,x\n0,1\n")
    (tmp_path / "few.csv").write_text("device,x,y\n0,1,1\n")
    (tmp_path / "short.csv").write_text("round,a,b,gain_db\n1,0,1,-71.5\n")
    given = [part.replace("FOLDER", str(tmp_path)) for setting in settings for part in ("--set", setting)]
    code, out, err = call(str(file), *given)
    last = err.strip().splitlines()[-1]
    assert (code, out) == (2, "")
    assert last.startswith("error: ")
    assert words in last
    assert err.count("error: ") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "xml"], "there is no format called xml: choose from table, json"),
        (["--map", "nowhere/map.png"], "name a .png file in a folder that is there"),
        (["--map", "map.pdf"], "name a .png file in a folder that is there"),
        (["--why", "9"], "there is no device 9: the plan has devices 0 to 3"),
        (["--density-from", "nowhere"], "nowhere holds no run"),
    ],
)
def test_a_wrong_option_is_one_sentence(file: Path, options: list[str], words: str) -> None:
    code, out, err = call(str(file), *options)
    assert (code, out) == (2, "")
    assert words in err.strip().splitlines()[-1]


def test_a_file_that_is_not_there() -> None:
    code, _, err = call("nowhere.yaml")
    assert code == 2
    assert "there is no configuration file nowhere.yaml" in err


def test_nobody_in_reach_and_a_graph_in_parts_are_told_and_no_error(file: Path) -> None:
    code, out, _ = call(str(file), "--set", "radio.power_dbm=-160")
    assert code == 0
    assert "the graph is disconnected into 4 parts of 1, 1, 1, 1 devices, 4 of them devices alone" in out
    assert "device 0 is alone: the cheapest link of 2 in range, to 1, needs" in out


def test_the_page_shows_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/plan.md").read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(The plan\n.*?)^```$", page, re.M | re.S)
    assert shown is not None
    code, out, _ = call("configs/plan-qwen2.5-1.5b.yaml")
    assert code == 0
    assert [line.rstrip() for line in out.strip().splitlines()] == shown[1].strip().splitlines()
