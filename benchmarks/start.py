"""How long ``meshtune --help`` takes, against a Python that starts and does nothing and one that imports torch.

Below, how long loading the embedded base takes where torch and transformers are imported already, and where not.

python benchmarks/start.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

CASES = {
    "meshtune --help": ["-m", "meshtune.cli.main", "--help"],
    "python, nothing": ["-c", "pass"],
    "python, import torch": ["-c", "import torch"],
}

LOAD = """
import time
started = time.perf_counter()
from transformers import AutoTokenizer, Qwen2ForCausalLM
from meshtune.model.loading import load
from meshtune.config.learning_config import ModelConfig
imported = time.perf_counter()
load(ModelConfig())
print(time.perf_counter() - imported, imported - started)
"""


def seconds(arguments: list[str]) -> float:
    """Return the wall time of one process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(7):
        for name, arguments in CASES.items():  # side by side, so that a busy machine is busy for all
            times[name].append(seconds(arguments))
    base = statistics.median(times["python, nothing"])
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"{name:21} median {middle:.3f} s, {min(found):.3f} to {max(found):.3f} s, {middle / base:.1f} x nothing")
    loads = [subprocess.run([sys.executable, "-c", LOAD], capture_output=True, check=True, text=True) for _ in range(7)]
    for name, found in zip(
        ("load the base", "imports before that"),
        zip(*(map(float, x.stdout.split()) for x in loads), strict=True),
        strict=True,
    ):
        print(f"{name:21} median {statistics.median(found):.3f} s, {min(found):.3f} to {max(found):.3f} s")


if __name__ == "__main__":
    main()
