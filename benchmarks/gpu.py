"""All that is measured on a GPU, within a budget of minutes: each part in a process of its own, one after the other.

    python benchmarks/gpu.py --model model.gguf --minutes 12
    python benchmarks/gpu.py --device cpu --steps 2 --model tiny-random --minutes 1    # a dress rehearsal

The parts: convert (a GGUF file becomes a folder, which loads in a second), same (adapters trained on the CPU and on the
GPU in float32 are equal), speed (tokens per second against a stock PEFT loop in bfloat16 and against the card's own
matrix rate), curve (benchmarks/evidence.py at growing lengths, with the time that is left; a length that results or
--out already hold is not computed again). Every result is printed and added to --results as soon as it is known. A part
that fails does not stop the next; each but the last may take half of the time that is left. benchmarks/gpu.sh does this
on a machine without a network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PARTS = ("convert", "same", "speed", "curve")
GRACE = 10
"""Seconds that a part may take to end when its time is up."""


def add(path: Path, record: dict[str, Any]) -> None:
    """Add one record to the JSON list in ``path``, whole or not at all."""
    records = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in [*records, record])
    fresh.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    fresh.replace(path)


def joined(model: str, folder: Path, size: int | None = None, sha256: str | None = None) -> str:
    """Return ``model``; if there are only pieces of it (model.gguf.part0, part1 and so on), join them in ``folder``.

    Raises:
        SystemExit: the whole is not of this size or digest, or a piece is missing.
    """
    whole = Path(model)
    pieces = {int(end): piece for piece in whole.parent.glob(f"{whole.name}.part*") if (end := ending(piece)).isdigit()}
    if not whole.exists() and pieces:
        if sorted(pieces) != list(range(len(pieces))):
            raise SystemExit(f"{model}: the pieces are {sorted(pieces)}: a number is missing")
        folder.mkdir(parents=True, exist_ok=True)
        whole = folder / whole.name
        with whole.open("wb") as out:
            for _, piece in sorted(pieces.items()):
                out.write(piece.read_bytes())
    if whole.is_file():
        found = whole.stat().st_size
        if size is not None and found != size:
            raise SystemExit(f"{whole} has {found} bytes, not {size}: copy it again")
        if sha256 is not None and hashlib.sha256(whole.read_bytes()).hexdigest() != sha256.lower():
            raise SystemExit(f"{whole} does not have the digest {sha256}: copy it again")
        return str(whole)
    if size is not None or sha256 is not None:
        raise SystemExit(f"{model} is no file, whose size or digest could be checked")
    return model


def ending(piece: Path) -> str:
    """Return what follows ``.part``."""
    return piece.name.rpartition(".part")[2]


def play(args: argparse.Namespace) -> None:
    """Run one part in this process; print and keep every result as it comes."""
    import gpu_parts

    facts = {"part": args.part, "when": time.strftime("%F %T"), **gpu_parts.facts(args)}
    failed = False
    for line, found in getattr(gpu_parts, args.part)(args):
        print(f"{args.part}: {line}", flush=True)
        if found is not None:
            add(args.results, {**facts, **found})
            failed = failed or "failed" in found
    raise SystemExit(int(failed))


def start(part: str, words: list[str], left: float) -> dict[str, str]:
    """Run one part in a process of its own for about ``left`` seconds; return what went wrong, by kind."""
    until = ["--until", str(time.time() + left)]
    process = subprocess.Popen([sys.executable, __file__, *words, *until, "--part", part])
    try:
        code = process.wait(left + GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return {"stopped": f"not done in its {left:.0f} s"}
    return {"failed": f"exit code {code}, the reason is above"} if code else {}


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = os.environ.get("MESHTUNE_MODELS")
    model = f"{models}/smollm2.gguf" if models else None
    what = "a GGUF file, whole or as FILE.part0, FILE.part1 ..., a folder or tiny-random"
    parser.add_argument("--model", default=model, required=model is None, help=what)
    parser.add_argument("--size", type=int, help="bytes that the GGUF file must have")
    parser.add_argument("--sha256", help="digest that the GGUF file must have")
    parser.add_argument("--data", type=Path, help="folder with the tasks; $MESHTUNE_DATA, else generated tasks")
    parser.add_argument("--minutes", type=float, default=12.0, help="for everything, installing wheels included")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a dress rehearsal")
    parser.add_argument("--steps", type=int, default=10, help="of training in same and speed")
    parser.add_argument("--runs", type=int, default=5, help="turns in speed")
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256, 1024, 4000], help="lengths of the curve")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the curve")
    parser.add_argument("--methods", nargs="+", help="of the curve; evidence.py's by default")
    parser.add_argument("--rates", type=float, nargs="+", help="learning rates of the curve instead of the grids")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu", help="for the runs and the model's folder")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "gpu.json", help="a JSON list")
    parser.add_argument("--began", type=float, default=time.time(), help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    words = sys.argv[1:]
    args = options().parse_args(words)
    for name in ("out", "results", "data"):
        given = getattr(args, name)
        setattr(args, name, given and given.resolve())
    args.data = args.data or (Path(os.environ["MESHTUNE_DATA"]).resolve() if os.environ.get("MESHTUNE_DATA") else None)
    if args.data is not None:
        os.environ["MESHTUNE_DATA"] = str(args.data)
    if args.part is not None:
        os.chdir(ROOT)
        play(args)
        return
    until = args.began + 60 * args.minutes
    name = joined(args.model, args.out, args.size, args.sha256)
    name = str(Path(name).resolve()) if Path(name).exists() else name
    words += ["--model", name, "--out", str(args.out), "--results", str(args.results)]
    words += ["--data", str(args.data)] if args.data is not None else []
    failed = False
    args.parts = [part for part in PARTS if part in args.parts and (part != "convert" or name.endswith(".gguf"))]
    for part in args.parts:
        left = until - time.time()
        if left <= 0:
            print(f"{part}: left out, the {args.minutes:g} minutes are over", flush=True)
            continue
        wrong = start(part, words, left if part == args.parts[-1] else left / 2)
        for kind, why in wrong.items():
            print(f"{part}: {kind}: {why}", flush=True)
            add(args.results, {"part": part, "when": time.strftime("%F %T"), kind: why})
        failed = failed or "failed" in wrong
    print(f"{max(0.0, until - time.time()):.0f} s are left; results are in {args.results}", flush=True)
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
