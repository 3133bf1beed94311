"""How long ``meshtune --help`` takes, against a Python that starts and does nothing and one that imports torch.

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


if __name__ == "__main__":
    main()
