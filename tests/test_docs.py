"""Every command in the README and in docs/ is executed, every link leads somewhere, every key is described.

Commands run in order, page by page, in a folder of their own that sees the repository's configs and source.
Runs get a few overrides that make them small. Below ``<!-- long -->``, a run's configuration is loaded and
its help is called; so it is for benchmarks.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from meshtune.cli.main import app
from meshtune.config.config_file import load_config, validate
from meshtune.config.federation_config import TaskConfig
from meshtune.config.run_config import RunConfig
from meshtune.report.results_file import parse_results
from meshtune.runs.metrics import METRICS, metrics_in

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^(?P<long><!-- long -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = (
    "devices.per_task=1",
    "devices.count=null",
    "train.rounds=1",
    "train.steps=2",
    "train.batch=2",
    "train.max_tokens=64",
    "eval.questions=2",
    "eval.elsewhere=1",
    "router.prompts=8",
    "adapter.calibration_batches=1",
    "adapter.entropy_tokens=16",
)
ELSEWHERE = ("pip install", "git clone", "cd ")  # what prepares a machine is not for a test to do


def blocks(page: Path, *kinds: str) -> Iterator[tuple[bool, str]]:
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["kind"] in kinds:
            yield match["long"] is not None, match["text"]


def commands(page: Path) -> list[tuple[bool, str]]:
    found = []
    for long, text in blocks(page, "sh", "console", "bash"):
        console = any(line.startswith("$ ") for line in text.splitlines())
        for line in text.replace("\\\n", " ").splitlines():
            if console and not line.startswith("$ "):
                continue  # what the command printed
            command = line.removeprefix("$ ").split("  #")[0].strip()
            if command and not command.startswith("#"):
                found.append((long, command))
    return found


def call(*args: str) -> str:
    result = CliRunner().invoke(app, list(args))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, f"meshtune {shlex.join(args)}\n{result.stderr}"
    return result.stdout


@cache
def help_of(script: str) -> str:
    """Return what a script says to ``--help``; several pages name the same one, and each start takes seconds."""
    command = [sys.executable, str(ROOT / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def execute(command: str, long: bool, made: set[str]) -> None:
    if command.startswith(ELSEWHERE):
        return
    if command.startswith("make "):
        target = command.split()[1]
        recipe = subprocess.run(["make", "-n", "-C", str(ROOT), target], capture_output=True, text=True, check=True)
        runs = [line for line in recipe.stdout.splitlines() if "/meshtune demo" in line]
        assert bool(runs) == (target == "demo")
        for line in runs:
            execute(line.partition("bin/")[2], long, made)
        return
    program, *args = shlex.split(command)
    if program == "python":  # a benchmark takes minutes: its options and its configuration are checked
        assert all(arg in help_of(args[0]) for arg in args if arg.startswith("--"))
        for file in (arg for arg in args if arg.endswith(".yaml")):
            load_config(Path(file), [value for option, value in pairwise(args) if option == "--set"])
        return
    assert program == "meshtune", f"no test knows how to execute {command!r}"
    given = args[1:] if args and args[0] in ("demo", "run") else []
    files = [arg for arg in given if arg.endswith(".yaml")]
    if long:
        if files:
            load_config(Path(files[0]), [value for option, value in pairwise(given) if option == "--set"])
        call(args[0], "--help")
    elif args[:1] in (["demo"], ["run"]):
        name = Path(files[0]).stem if files else "demo"
        folder = given[given.index("--out") + 1] if "--out" in given else f"runs/{name}"
        if folder in made:
            call("run", "--out", folder)  # the page made it above with the small settings: it is resumed
        else:
            made.add(folder)
            call(*args, *(part for setting in SMALL for part in ("--set", setting)))
    elif args[:1] == ["eval"] and "--questions" in args:
        args[args.index("--questions") + 1] = "3"
        call(*args)
    else:
        call(*args)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_every_command_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("configs", "src"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHTUNE_MODELS", raising=False)
    made: set[str] = set()
    for long, command in commands(page):
        execute(command, long, made)


def test_the_python_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a comment below a ``print`` shows is what is printed."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    for _, text in blocks(ROOT / "docs/python.md", "python"):
        exec(compile(f"from __future__ import annotations\n{text}", "docs/python.md", "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        assert {line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")} <= set(printed)


def links(page: Path) -> list[Path]:
    """Return the files that ``page`` links."""
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    return [(page.parent / target).resolve() for target in targets if "://" not in target]


def test_every_link_leads_somewhere_and_every_page_is_linked() -> None:
    found = {(page.name, target) for page in PAGES for target in links(page)}
    assert {(name, str(target)) for name, target in found if not target.exists()} == set()
    assert set(PAGES) - {target for _, target in found} <= {ROOT / "README.md"}


def named(text: str) -> set[str]:
    """Return the modules, or things in them, and the files that ``text`` names; those of results are not kept here."""
    files = set(re.findall(r"(?<![\w/<])(?:src|tests|benchmarks|scripts|configs|docs)/[\w/.-]+\.\w+", text))
    modules = re.findall(r"\bmeshtune(?:\.[a-z]\w*){2,}(?:\.\w+)*", text)
    return set(modules) | {file for file in files if "/results/" not in file}


def is_there(name: str) -> bool:
    if "/" in name:
        return (ROOT / name).is_file()
    parts = name.split(".")
    for cut in range(len(parts), 1, -1):
        file = ROOT.joinpath("src", *parts[:cut]).with_suffix(".py")
        if file.is_file():
            return cut == len(parts) or re.search(rf"\b{parts[cut]}\b", file.read_text("utf-8")) is not None
    return ROOT.joinpath("src", *parts, "__init__.py").is_file()


def test_what_is_named_is_there() -> None:
    assert named("meshtune.model.loading.load, `meshtune.seeds`, src/a.py") == {
        "meshtune.model.loading.load",
        "src/a.py",
    }
    tried = ("meshtune.model.loading.load", "meshtune.model.nobody", "meshtune.model.loading.nobody", "docs/nobody.md")
    assert [is_there(name) for name in tried] == [True, False, False, False]
    files = [*PAGES, *(file for folder in ("src", "benchmarks", "scripts") for file in (ROOT / folder).rglob("*.py"))]
    found = {(file.name, name) for file in files for name in named(file.read_text("utf-8"))}
    assert len(found) > 500
    assert {(file, name) for file, name in found if not is_there(name)} == set()


def test_the_architecture_names_every_package_in_the_order_that_is_kept() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^      (\w+)/ ", page, re.MULTILINE)
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0][
        "layers"
    ]
    assert listed == layers[:-1]
    short = re.findall(rf"`((?:{'|'.join(listed)})\.[a-z]\w*)`", page)
    assert len(short) > 10
    assert [name for name in short if not is_there(f"meshtune.{name}")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_merge_left_its_marks(page: Path) -> None:
    assert not re.search(r"^(<<<<<<<|=======$|>>>>>>>)", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_yaml_shown_is_accepted() -> None:
    for page in PAGES:
        for _, text in blocks(page, "yaml"):
            validate(yaml.safe_load(text), page.name)
    for file in sorted((ROOT / "configs").glob("*.yaml")):
        load_config(file)


def described() -> dict[str, str]:
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \| (.*?) \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        models = [kind for kind in (field.annotation, *get_args(field.annotation)) if is_model(kind)]
        if models and not isinstance(field.default, tuple) and not field.is_required():
            yield from keys(models[0], f"{prefix}{name}.")
        else:
            yield prefix + name, field


def test_every_key_is_described_with_its_default() -> None:
    shown = described()
    known = {**dict(keys(RunConfig)), **dict(keys(TaskConfig))}
    assert set(shown) == set(known)
    for name, field in known.items():
        if field.is_required():
            assert shown[name] == "required"
        elif name != "key":  # its default is computed
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert yaml.safe_load(shown[name].strip("`")) == default, name


def test_the_ten_keys_come_first_with_their_defaults() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|`]+(?:`[^|]*)*\| `([a-z_.]+)` \| (.+?) \|$", page.partition("\n## ")[0], re.MULTILINE)
    assert len(rows) == 10
    shown = described()
    assert {key: default.strip("`") for key, default in rows} == {key: shown[key].strip("`") for key, _ in rows}


def test_the_results_page_shows_what_is_read() -> None:
    page = ROOT / "docs/results-format.md"
    whole, line = (json.loads(text) for _, text in blocks(page, "json"))
    results = parse_results(whole, page.name)
    assert results.header.methods["proposed"].bytes["relayed"] == 0
    assert results.header.router["whitened"].groups == list(results.header.groups)
    assert results.rows[0].metric == "nll"
    assert {len(line[key]) for key in ("questions", *metrics_in(line))} == {2}
    assert metrics_in(line) == ["nll", "option_nll", "acc", "acc_norm"]
    assert results.header.exams == {group: group for group in results.header.groups}
    text = page.read_text(encoding="utf-8")
    assert all(f"| `{metric}` |" in text for metric in (*METRICS, "pass@k"))
