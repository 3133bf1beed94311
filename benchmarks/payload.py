"""What an update costs on the air, against dense LoRA in bf16, and how long coding it takes, against zstd.

    python benchmarks/payload.py
    python benchmarks/payload.py --figure runs/distortion.png --seeds 0 1 2

Plays rounds of the embedded tasks, `bank` alone and in int4, and takes what devices really send.
With $MESHTUNE_MODELS set, SmolLM2's sizes follow from the bits per value and per mask position that were measured.
With --figure: bytes of an update against accuracy and loss, for each form of values, over seeds; its runs lie below
--out and are not played again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard
from record import Row, at_least, at_most, over, report

import meshtune.node.updates as engine
from meshtune.adapter.sites import LayerSpec, sizes
from meshtune.config.config_file import load_config
from meshtune.config.learning_config import ModelConfig
from meshtune.evaluation.over_seeds import over_seeds
from meshtune.methods.registry import get_method
from meshtune.model.loading import load
from meshtune.node.announcements import to_messages
from meshtune.node.stored_announcements import load_announcements
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import run
from meshtune.wire.codec import apply_difference, encode_difference
from meshtune.wire.payload import Message, encode
from meshtune.wire.value_forms import BITS

STEADY, MEAN = 70.0, 50.0  # at least so many times less than dense LoRA: one later update, ten rounds with the mask
SECONDS = 1.0  # at most so many times as long as zstd, level 3, on the same values in bf16
WANTED = 248_832  # SmolLM2-135M's values at density 0.1 and rank 16
CONFIG = Path(__file__).parents[1] / "configs" / "embedded-paper.yaml"
ALONE = ("methods=[bank]", "router.also=[]")
SHORT = (*ALONE, "eval.questions=2", "eval.elsewhere=1")
TICKS = (5, 6, 8, 10, 15, 20, 30)
CASES = [
    ("bfloat16", 128), ("int8", 128), ("int4", 64), ("int4", 128), ("int4", 256), ("int4", 1024), ("int2", 128)
]  # fmt: skip


@dataclass
class Sent:
    """One device's values as they went out: what was meant, what the receivers held, and the bytes between."""

    values: torch.Tensor
    base: torch.Tensor
    data: bytes


def play(rounds: int, settings: Sequence[str], folder: Path) -> list[list[Sent]]:
    """Play a run of ``bank`` in ``folder``; return every round's updates, one per device."""
    sent: list[Sent] = []
    plain = engine.encode_difference

    def record(values: torch.Tensor, base: torch.Tensor, form: str, block: int) -> bytes:
        sent.append(Sent(values.clone(), base.clone(), plain(values, base, form, block)))
        return sent[-1].data

    engine.encode_difference = record
    try:
        config = load_config(CONFIG, [*SHORT, f"train.rounds={rounds}", "exchange.values=int4", *settings])
        run(config, folder, Silent())
    finally:
        engine.encode_difference = plain
    devices = len(config.device_tasks)
    return [sent[start : start + devices] for start in range(0, len(sent), devices)]


def announced(folder: Path, settings: Sequence[str]) -> tuple[Sequence[LayerSpec], list[int], float]:
    """Return the base's layers, the bytes of every device's announcement, and a mask's mean bits per position."""
    config = load_config(CONFIG, [*SHORT, *settings])
    layers = load(config.model).adapters.layers
    own, _ = load_announcements(RunStore.open(folder), config, layers)
    messages = [to_messages(a, get_method("bank"), layers)[0] for a in own]
    positions = sum(sizes(layers, config.adapter.rank))
    bits = statistics.mean(8 * m.tensors["mask"].numel() / positions for m in messages)
    return layers, [len(encode(m)) for m in messages], bits


def dense(layers: Sequence[LayerSpec], rank: int) -> int:
    """Return the bytes of a dense LoRA update, A and B of all layers in bf16."""
    count = rank * sum(layer.inputs + layer.outputs for layer in layers)
    return len(encode(Message("update", 0, 1, 0, {}, {"values": torch.zeros(count, dtype=torch.bfloat16)})))


def framed(data: bytes, round_: int = 9) -> int:
    """Return the bytes of the message around a coded difference."""
    values = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return len(encode(Message("update", 3, round_, 3, {"since": round_ - 1}, {"values": values})))


def entropy(sent: Sequence[Sent], form: str, block: int) -> float:
    """Return bits per value: the order-0 entropy of the symbols over all of ``sent``, scales left out."""
    top = (1 << (BITS[form] - 1)) - 1
    counts = np.zeros(2 * top + 1)
    for one in sent:
        x = (one.values - one.base.float()).numpy()
        x = np.pad(x, (0, -x.size % block)).reshape(-1, block)
        least = np.abs(x).max(axis=1) / top
        grid = 2.0 ** np.floor(np.log2(np.where(least > 0, least, 1.0)))
        step = np.where(least > 0, np.ceil(least / grid * 16) / 16 * grid, 1.0)
        symbols = np.clip(np.rint(x / step[:, None]), -top, top).astype(int) + top
        counts += np.bincount(symbols.ravel()[: one.values.numel()], minlength=2 * top + 1)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def sizes_of(played: list[list[Sent]], layers: Sequence[LayerSpec], masks: list[int], rank: int) -> list[Row]:
    """Return how many times less the last round's updates are than dense LoRA's, and the mean of all rounds."""
    whole = dense(layers, rank)
    last = [whole / framed(one.data) for one in played[-1]]
    means = []
    for device, mask in enumerate(masks):
        updates = [framed(sent[device].data, number + 1) for number, sent in enumerate(played)]
        means.append(len(played) * whole / (mask + sum(updates)))
    return [
        at_least("bytes: dense bf16 LoRA / int4 update of a later round", last, STEADY),
        at_least(f"bytes: dense bf16 LoRA / mean of {len(played)} rounds with the mask", means, MEAN),
    ]


def seconds(sent: Sequence[Sent], form: str, block: int, runs: int = 5, inner: int = 20) -> list[Row]:
    """Return the times of coding and decoding one update as shares of zstd's, level 3, on the same values in bf16.

    Real updates, of as many devices and late rounds as it takes, are laid end to end to SmolLM2's length.
    Each of ``runs`` figures is a ratio of medians over ``inner`` turns, by turns so that a busy machine is so for both.
    """
    values = torch.cat([one.values for one in sent])[:WANTED].clone()
    base = torch.cat([one.base for one in sent])[:WANTED].clone()
    raw = values.bfloat16().view(torch.int16).numpy().tobytes()
    compressor, decompressor = zstandard.ZstdCompressor(level=3), zstandard.ZstdDecompressor()
    coded, plain = encode_difference(values, base, form, block), compressor.compress(raw)
    works: dict[str, Callable[[], Any]] = {
        "encode": lambda: encode_difference(values, base, form, block),
        "decode": lambda: apply_difference(coded, base),
        "zstd encode": lambda: compressor.compress(raw),
        "zstd decode": lambda: decompressor.decompress(plain),
    }
    ratios: dict[str, list[float]] = {"encode": [], "decode": [], "both": []}
    middles: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(inner):
            for name, work in works.items():
                started = time.perf_counter()
                work()
                times[name].append(time.perf_counter() - started)
        now = {name: statistics.median(found) for name, found in times.items()}
        for name, found in now.items():
            middles[name].append(found)
        for name in ("encode", "decode"):
            ratios[name].append(now[name] / now[f"zstd {name}"])
        ratios["both"].append((now["encode"] + now["decode"]) / (now["zstd encode"] + now["zstd decode"]))
    shown = ", ".join(f"{name} {statistics.median(found) * 1e3:.2f} ms" for name, found in middles.items())
    print(f"{values.numel()} values, {form} in blocks of {block}: {shown}; {len(coded)} bytes, zstd {len(plain)}")
    for name in ("encode", "decode"):
        print(f"{form}, seconds to {name} / zstd -3: {statistics.median(ratios[name]):.2f}")
    return [at_most(f"seconds to encode and decode, {form} / zstd -3", ratios["both"], SECONDS)]


def smollm2(bits: float, mask_bits: float, rounds: int, rank: int, density: float) -> None:
    """Print the ratios of :func:`sizes_of` for SmolLM2's shapes, at measured bits per value and per position."""
    layers = load(ModelConfig(name=str(Path(os.environ["MESHTUNE_MODELS"]) / "smollm2"))).adapters.layers
    positions = sum(sizes(layers, rank))
    update, mask, whole = positions * density * bits / 8, positions * mask_bits / 8, dense(layers, rank)
    mean = rounds * whole / (mask + rounds * update)
    print(f"SmolLM2, by size: dense {whole} bytes, update {update:.0f}, mask {mask:.0f}; ", end="")
    print(f"dense / update {whole / update:.1f}, dense / mean of {rounds} rounds with the mask {mean:.1f}")


def measure(rounds: int = 10, steps: int = 5, block: int = 128, settings: Sequence[str] = ()) -> list[Row]:
    """Return the rows of bytes and of seconds."""
    config = load_config(CONFIG, [*SHORT, *settings])
    own = [f"train.steps={steps}", f"exchange.block={block}", *settings]
    with tempfile.TemporaryDirectory() as folder:
        played = play(rounds, own, Path(folder) / "run")
        layers, masks, mask_bits = announced(Path(folder) / "run", own)
    count = sum(one.values.numel() for one in played[-1])
    bits = 8 * sum(len(one.data) for one in played[-1]) / count
    share = config.adapter.density
    bound = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    print(f"a value {bits:.3f} bits with its scale, entropy of the symbols {entropy(played[-1], 'int4', block):.3f}")
    print(f"a mask's position {mask_bits:.3f} bits, entropy at one density everywhere {bound:.3f}, a bitmap 1")
    rows = sizes_of(played, layers, masks, config.adapter.rank)
    late = [one for sent in reversed(played) for one in sent]
    rows += seconds(late, "int4", block)
    seconds(late, "int8", block)
    if os.environ.get("MESHTUNE_MODELS"):
        smollm2(bits, mask_bits, rounds, config.adapter.rank, share)
    else:
        print("SmolLM2's sizes are left out: MESHTUNE_MODELS is not set")
    return rows


def distortion(
    seeds: Sequence[int], out: Path, settings: Sequence[str] = (), cases: Sequence[tuple[str, int]] = CASES
) -> list[dict]:
    """Run `bank` on the embedded tasks, every form of values; return bytes, accuracy and loss, one entry a seed."""
    table = []
    for form, block in cases:
        found: dict[str, Any] = {"values": form, "block": block, "bytes": [], "acc": [], "nll": []}
        for seed in seeds:
            folder = out / f"{form}-{block}-seed-{seed}"
            if not (folder / "results.json").is_file():
                more = [f"seed={seed}", f"exchange.values={form}", f"exchange.block={block}", *settings]
                run(load_config(CONFIG, [*ALONE, *more]), folder, Silent())
            results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
            found["bytes"].append(results["header"]["methods"]["bank"]["payload_bytes"])
            for metric in ("acc", "nll"):
                mine = [r["value"] for r in results["rows"] if (r["method"], r["metric"]) == ("bank", metric)]
                found[metric].append(float(np.mean(mine)))
        table.append(found)
        shown = [over_seeds(found[m]).with_sd("9.4f") for m in ("acc", "nll")]
        print(
            f"{form:9} block {block:4}  {np.mean(found['bytes']):9.0f} bytes  acc {shown[0]}  nll {shown[1]}",
            flush=True,
        )
    return table


def quality(seeds: Sequence[int], out: Path, settings: Sequence[str] = ()) -> list[Row]:
    """Return how far int4 is from bf16, seed by seed: the ratio of the losses, and points of accuracy."""
    fine, coarse = distortion(seeds, out, settings, [("bfloat16", 128), ("int4", 128)])
    points = [100 * (a - b) for a, b in zip(fine["acc"], coarse["acc"], strict=True)]
    losses = over(coarse["nll"], fine["nll"])
    means = float(np.mean(coarse["nll"]) / np.mean(fine["nll"]))
    print(f"means over seeds: loss {means:.4f} times bf16's, accuracy {np.mean(points):.2f} points below")
    return [
        Row("loss, mean over seeds: int4 / bf16", means, min(losses), max(losses), "<= 1.005", means <= 1.005),
        Row(
            "points of accuracy, mean over seeds: bf16 - int4",
            float(np.mean(points)), min(points), max(points), "<= 0.5", float(np.mean(points)) <= 0.5,
        ),
    ]  # fmt: skip


def draw(table: Sequence[dict], path: Path) -> None:
    """Draw bytes of an update against accuracy and loss; bars are the standard deviation (n - 1) over seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    figure: Any = Figure(figsize=(9.0, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (metric, title) in zip(
        figure.subplots(1, 2), (("acc", "accuracy"), ("nll", "loss of the right answer")), strict=True
    ):
        for found in table:
            label = found["values"] if found["values"] == "bfloat16" else f"{found['values']}, {found['block']}"
            kb, middle = np.mean(found["bytes"]) / 1e3, np.mean(found[metric])
            axis.errorbar(kb, middle, yerr=over_seeds(found[metric]).sd, fmt="o", capsize=3, label=label)
        axis.set(xscale="log", xlabel="kB of one update", title=title)
        axis.xaxis.set_major_locator(FixedLocator(TICKS))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_locator(NullLocator())
        axis.grid(alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), fontsize=8, loc="outside right upper", title="values, block")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200, facecolor="white")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5, help="optimiser steps a round")
    parser.add_argument("--block", type=int, default=128, help="values per scale")
    parser.add_argument("--figure", type=Path, help="draw bytes against quality there, instead")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/distortion"), help="where the figure's runs lie")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of meshtune run")
    parser.add_argument("--quality", action="store_true", help="play int4 and bf16 over the seeds too")
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()
    if args.figure:
        draw(distortion(args.seeds, args.out, args.settings), args.figure)
        return
    rows = measure(args.rounds, args.steps, args.block, args.settings)
    if args.quality:
        rows += quality(args.seeds, args.out, args.settings)
    report(rows, args.json)


if __name__ == "__main__":
    main()
