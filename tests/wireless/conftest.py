"""A recorded channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from channels import PAIRS


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.csv"
    rows = [f"{at},{b},{a},{-60 - a - b / 10 - at}" for at in (1, 2, 3) for a, b in PAIRS]
    file.write_text("\n".join(["round,a,b,gain_db", *rows]) + "\n", encoding="utf-8")
    return file
