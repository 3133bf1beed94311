"""No file imports itself round, no package swallows the others, and no name stands for two things.

The order of the packages is kept by import-linter (``pyproject.toml``); it sees no circles inside a package.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "meshtune"
SHARED = {"__init__", "base", "config", "registry"}
"""Names of modules that every package may have."""
MODULES = 20
"""Most modules that lie side by side in one package."""
WITHOUT_TEST = {
    "inference/reply.py": "fields",
    "methods/preparation.py": "a protocol",
    "runs/events.py": "fields",
    "runs/observer.py": "a type",
    "sandbox/resource_limits.py": "fields",
    "version.py": "a constant",
    "wire/value_forms.py": "constants",
    "wireless/arrays.py": "types",
}
"""Modules without behaviour of their own, and what they hold instead."""
SHARE = 0.15
"""Largest share of the lines that one package may have."""


def modules() -> dict[str, Path]:
    """Return the file of every module that is imported by name: the package, benchmarks, and what tests share."""
    found = {file.stem: file for folder in ("benchmarks", "scripts", "tests") for file in (ROOT / folder).glob("*.py")}
    for file in SOURCE.rglob("*.py"):
        found[".".join(file.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")] = file
    return found


def imported(file: Path) -> Iterator[str]:
    """Yield every name that ``file`` imports, wherever in it: for type checkers and inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports by a relative name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph() -> nx.DiGraph:
    files = modules()
    edges = nx.DiGraph()
    for name, file in files.items():
        for target in imported(file):
            target = target.removeprefix("tests.")
            module = target if target in files else target.rpartition(".")[0]
            if module in files:
                edges.add_edge(name, module)
    return edges


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text(
        "import a\nif TYPE_CHECKING:\n    from b.c import D\ndef f():\n    from e import f, g\n    return f\n"
    )
    assert sorted(imported(file)) == ["a", "b.c.D", "e.f", "e.g"]


def test_no_file_imports_itself_round() -> None:
    edges = graph()
    assert edges.has_edge("meshtune.cli.main", "meshtune.errors")
    assert edges.has_edge("training_speed", "work")
    circles = [set(part) for part in nx.strongly_connected_components(edges) if len(part) > 1]
    assert [sorted(part) for part in circles] == []
    assert not any(edges.has_edge(name, name) for name in edges)


def test_no_package_swallows_the_others() -> None:
    lines: Counter[str] = Counter()
    flat: Counter[Path] = Counter()
    for file in SOURCE.rglob("*.py"):
        inside = file.relative_to(SOURCE).parts
        lines[inside[0] if len(inside) > 1 else ""] += len(file.read_text(encoding="utf-8").splitlines())
        flat[file.parent] += file.name != "__init__.py"
    assert len(lines) > 10
    assert {str(folder.relative_to(SOURCE)): count for folder, count in flat.items() if count > MODULES} == {}
    assert {name: count for name, count in lines.items() if count > SHARE * lines.total()} == {}


def test_every_folder_of_the_package_is_a_package() -> None:
    assert {file.parent for file in SOURCE.rglob("*.py") if not (file.parent / "__init__.py").is_file()} == set()


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
def test_no_two_files_share_a_name(folder: str) -> None:
    shared = SHARED if folder == "src" else {"conftest"}
    names = Counter(file.stem for file in (ROOT / folder).rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} - shared == set()


def test_no_class_name_stands_for_two_things() -> None:
    names: Counter[str] = Counter()
    for file in SOURCE.rglob("*.py"):
        names.update(
            node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ClassDef)
        )
    assert {name for name, count in names.items() if count > 1} == set()


def test_every_module_has_a_test_of_its_name() -> None:
    tests = {file.name: file for file in (ROOT / "tests").rglob("test_*.py")}
    lacking = set()
    for file in SOURCE.rglob("*.py"):
        inside = file.relative_to(SOURCE)
        stem = f"{file.parent.name}_{file.stem}" if file.stem in SHARED else file.stem
        if file.stem != "__init__" and f"test_{stem}.py" not in tests and f"test_{file.stem}.py" not in tests:
            lacking.add(inside.as_posix())
    assert lacking == set(WITHOUT_TEST)
