"""Runs side by side, as tables or rows."""

from __future__ import annotations

import json
from pathlib import Path

from pretended import call, finish


def test_compare_prints_tables_and_rows(tmp_path: Path) -> None:
    for name in ("one", "two"):
        finish(tmp_path / name)
    runs = [tmp_path / "one", tmp_path / "two"]
    shown = call("compare", *runs)
    assert shown.exit_code == 0, shown.stderr
    assert "2.00 ± 0.10" in shown.stdout
    rows = json.loads(call("compare", *runs, "--format", "json").stdout)
    assert [row["run"] for row in rows] == ["one"] * 4 + ["two"] * 4
    assert call("compare", *runs, "--format", "csv").stdout.startswith("run,method,seed,")
    assert call("compare", *runs, "--format", "markdown", "--metric", "acc").stdout.startswith("**accuracy by task")
    assert call("compare", *runs, "--format", "pdf").exit_code == 2
