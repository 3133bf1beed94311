"""What ``import meshtune`` gives: everything that is promised, and nothing heavy before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import meshtune

HEAVY = ("torch", "transformers", "numpy", "pydantic", "rich", "yaml")


def loaded_after(code: str) -> list[str]:
    script = f"import sys\n{code}\nprint([name for name in {HEAVY} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    found: list[str] = eval(shown.splitlines()[-1])
    return found


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert loaded_after("import meshtune") == []
    assert loaded_after("import meshtune\nmeshtune.Note, meshtune.UserError, dir(meshtune)") == []
    assert "torch" not in loaded_after("import meshtune\nmeshtune.load_config({'tasks': ['boolq']})")
    assert "torch" not in loaded_after("import meshtune\nmeshtune.open_run, meshtune.run, meshtune.Run")


def test_help_imports_nothing_heavy() -> None:
    help_ = "from meshtune.cli.main import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass"
    assert loaded_after(help_) == []


def test_every_name_is_there_and_documented() -> None:
    assert set(meshtune.__all__) <= set(dir(meshtune))
    for name in meshtune.__all__:
        found = getattr(meshtune, name)
        if isinstance(found, type) or callable(found):
            assert found.__doc__, name
            assert found.__name__ == name
    with pytest.raises(AttributeError, match="module 'meshtune' has no attribute 'tune'"):
        _ = meshtune.tune
