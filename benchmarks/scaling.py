"""What a device sends, stores and computes as devices, clusters and tasks grow: the planner's numbers beside formulas.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --devices 10 1000 30000 --models smollm2-135m --out scaling

Every plan is `meshtune plan`'s own (meshtune.planning.planner), at a constant number of neighbours in range; the
formulas are those of benchmarks/scaling_forms.py and docs/scaling.md. Beside a number stands its ratio to its formula
in brackets. The plan expects; so whole rounds of devices with small experts are flown besides, and routers fitted. A
minute on one core, and 0.9 GB at 30,000 devices.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import scaling_forms as forms
from record import exponent
from scaling_found import (
    IN_RANGE,
    REACH,
    Pair,
    Planned,
    apart,
    configure,
    fitted,
    flown,
    piece_of,
    planned,
    short,
    stacked,
)

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from meshtune.errors import UserError
from meshtune.network.geometry import MOST_PAIRS
from meshtune.network.virtual_clock import SLACK
from meshtune.wireless.link import Radio, payload_limit

RANKS = {"smollm2-135m": 16, "qwen2.5-1.5b": 32}
"""The default shapes: models and their ranks."""
MILLION = 10**6
STORE = 8 * 10**9
"""Bytes that a device may keep, where the last table asks when they are full."""
LABELS = {
    "within": "within cluster, a round",
    "between": "between clusters, an exchange",
    "once": "announcements, once",
    "crossing": "updates over the busiest link",
    "airtime": "on the air between clusters, s",
    "computing": "computing a round, s",
}


def lasts(seconds: float) -> str:
    """Return seconds, minutes, hours or days, whichever reads well."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 3 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    print("| " + " | ".join(head) + " |\n|" + "---:|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) if not isinstance(cell, float) else short(cell) for cell in row) + " |")
    print(flush=True)


def limits(piece: forms.Piece, base: Planned, growth: float) -> list[tuple[str, float, str]]:
    """Return what is full or late first as devices are added: what, at how many devices, and what a million take.

    Late is what takes as long as the T_inner rounds from one exchange between clusters to the next.
    """
    config = configure("smollm2-135m", 16, 10)  # for the default radio
    assert config.radio is not None
    radio, inner = Radio.of(config.radio), config.clusters.inner_rounds
    window, late = (1 + SLACK) * radio.gamma, inner * base.round
    room = payload_limit(radio, 1 / REACH**2, 1) / 8
    hops = base.hops * (MILLION / base.devices) ** growth
    matrix = f"{short(forms.core(MILLION, 8, piece.sketch))}B"
    return [
        ("the router's inner matrix is wider than k", piece.width / (piece.sketch + 1), matrix),
        ("the router's inner matrix fills 8 GB", math.sqrt(STORE / 8) / (piece.sketch + 1), matrix),
        ("all that was heard fills 8 GB, as a run holds it", STORE / piece.held, f"{short(piece.held * MILLION)}B"),
        ("all that was heard fills 8 GB, as it came", STORE / piece.packed, f"{short(piece.packed * MILLION)}B"),
        ("an exchange between clusters is late", late / window, lasts(window * MILLION)),
        ("an exchange is late, were windows filled to what 100 m carry", late / window * room / piece.update,
         lasts(window * MILLION * piece.update / room)),
        ("announcements over one link of 100 m, windows filled, are late", late / radio.gamma * room / piece.once,
         lasts(radio.gamma * MILLION * piece.once / room)),
        ("one update across the forest, hop by hop, is late",
         base.devices * (late / window / base.hops) ** (1 / growth), f"{hops:,.0f} hops, {lasts(window * hops)}"),
        ("pairs in range pass MOST_PAIRS", 2 * MOST_PAIRS / IN_RANGE, f"{short(MILLION * IN_RANGE / 2)} pairs"),
    ]  # fmt: skip


def grown(name: str, rank: int, counts: Sequence[int]) -> list[Planned]:
    """Plan ``counts`` devices each, and print them."""
    found = [planned(configure(name, rank, count)) for count in counts]
    print(f"\n## {name}, rank {rank}: devices\n")
    table(
        ["devices", "m~", *LABELS.values()],
        [[f"{one.devices:,}", one.mates, *(one.pairs[key] for key in LABELS)] for one in found],
    )
    table(
        ["devices", "clusters", "with links between", "busiest device, an exchange", "hops", "outside the largest part",
         "T_round, s", "exchange at least, s", "plan, s"],
        [[f"{one.devices:,}", f"{len(one.members):,}", one.gates, float(one.busiest), one.hops, one.alone,
          one.round, one.exchange, one.seconds] for one in found],
    )  # fmt: skip
    return found


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(RANKS), help="as model.name; ranks 16 unless known")
    parser.add_argument("--devices", type=int, nargs="+", default=[10, 30, 100, 300, 1000, 3000, 10_000, 30_000])
    parser.add_argument("--most", type=int, nargs="*", default=[1, 2, 3, 4, 6, 8], help="devices of a cluster at most")
    parser.add_argument("--groups", type=int, nargs="*", default=[10, 30, 100, 1000], help="task groups")
    parser.add_argument("--among", type=int, default=1000, help="devices where clusters and groups are varied")
    parser.add_argument("--flown", type=int, nargs="*", default=[10, 20, 40, 80], help="devices of whole rounds")
    parser.add_argument("--sources", type=int, nargs="*", default=[10, 30, 100, 200], help="devices behind a router")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder of the picture")
    args = parser.parse_args(given)
    counts, grows = sorted(args.devices), {}
    for name in args.models:
        rank = RANKS.get(name, 16)
        piece = piece_of(configure(name, rank, 10))
        grows[name] = piece, grown(name, rank, counts)
        by_cluster(name, rank, args.most, args.among)
        by_groups(name, rank, args.groups, args.among, piece)
        fit(piece, args.sources)
        breaks(name, piece, grows[name][1])
    if args.flown:
        print("\n## Whole rounds, small experts\n")
        rows = [(count, flown(count)) for count in args.flown]
        table(["devices", *rows[0][1]], [[count, *pairs.values()] for count, pairs in rows])
    from scaling_figure import draw

    print(draw(grows, args.out / "scaling.png"))


def by_cluster(name: str, rank: int, most: Sequence[int], devices: int) -> None:
    """Plan clusters of at most ``most`` devices, whatever collides, and print them."""
    found = [planned(configure(name, rank, devices, most=size, s_max=1.0)) for size in most]
    if found:
        print(f"\n## {name}, rank {rank}: clusters of {devices:,} devices\n")
        table(
            ["at most", "m~", "clusters", "hops", *list(LABELS.values())[:3], "collision rate, largest"],
            [[size, one.mates, len(one.members), one.hops, *(one.pairs[key] for key in list(LABELS)[:3]), one.rate]
             for size, one in zip(most, found, strict=True)],
        )  # fmt: skip
        config = configure(name, rank, devices)
        assert config.radio is not None
        radio = config.radio.model_copy(update={"cast": "broadcast"})
        one = planned(config.model_copy(update={"radio": radio}))
        sent = (f"{LABELS[key]}, {short(one.pairs[key].found)}B" for key in ("within", "between"))
        print(f"by broadcast, S_max {config.clusters.s_max:g}: {'; '.join(sent)}\n")


def by_groups(name: str, rank: int, groups: Sequence[int], devices: int, piece: forms.Piece) -> None:
    """Print what grows with task groups; the plan of ``devices`` says whether what is sent does."""
    rows = []
    for count in groups:
        config = configure(name, rank, devices, count)
        refused = ""
        try:
            one = planned(config)
        except UserError:
            refused = "gaussian"
            adapter = config.adapter.model_copy(update={"projection": "gaussian"})
            one = planned(config.model_copy(update={"adapter": adapter}))
        sent = one.pairs["within"].found, one.pairs["between"].found
        seconds, peak = fitted(piece.width, min(count, 100), min(count, 100), piece.sketch)
        told = f"{seconds:.2g} s, {short(peak)}B" if count <= 100 else "-"
        rows.append(
            [f"{count:,}", refused or "orthogonal", *sent, piece.packed * count, forms.soft(piece, count), told]
        )
    if rows:
        print(f"\n## {name}, rank {rank}: task groups of {devices:,} devices; {piece.blocks} blocks\n")
        table(["groups", "projection", "within", "between", "bank by groups, B", "soft gate / base", "router"], rows)
        bank = Pair(stacked(name, rank), 4.0 * piece.pair)
        print(f"a group's share of the soft bank {bank} B; coherence of gaussian projections {apart(piece)}\n")


def fit(piece: forms.Piece, sources: Sequence[int]) -> None:
    """Fit routers from all devices' sketches, eight groups, and print them."""
    found = [(count, fitted(piece.width, count, min(8, count), piece.sketch)) for count in sources]
    if found:
        table(
            ["devices behind the router", "factors", "inner matrix, B", "s", "peak, B"],
            [[count, forms.columns(count, 8, piece.sketch), forms.core(count, 8, piece.sketch), seconds, peak]
             for count, (seconds, peak) in found],
        )  # fmt: skip


def breaks(name: str, piece: forms.Piece, found: Sequence[Planned]) -> None:
    """Print how hops and the plan's own time grow, from 100 and 3,000 devices on, and what breaks where."""
    far, many = ([one for one in found if one.devices >= least] for least in (100, 3000))
    if len(far) < 2:
        return
    last = far[-1]
    hops = exponent([one.devices for one in far], [one.hops for one in far])
    print(f"hops grow as devices^{hops:.2f}")
    if len(many) > 1:
        plans = exponent([one.devices for one in many], [one.seconds for one in many])
        million = last.seconds * (MILLION / last.devices) ** plans
        print(f"a plan's seconds grow as devices^{plans:.2f}: {lasts(million)} for a million")
    print(f"\n## {name}, rank {piece.rank}: where it breaks\n")
    rows = sorted(limits(piece, last, hops), key=lambda row: row[1])
    table(["what", "from devices", "a million"], [[what, f"{at:,.0f}", then] for what, at, then in rows])


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
