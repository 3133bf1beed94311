"""Tables of what is trained and sent, computed without the model, and of the paper's own figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshtune.planning.model_sizes import MethodSizes
from meshtune.report.result_tables import Table, bytes_text

PAPER = {
    "lora": 2.01,
    "updated": 0.54,
    "transmitted": 0.27,
}
"""Percent of the model in the paper's Table I: LoRA's parameters, the proposed method's, and its transmitted values."""


def sizes_table(title: str, sizes: Mapping[str, Sequence[MethodSizes]]) -> Table:
    """Return methods (rows) against parameters and bytes.

    Args:
        title: names model, rank and density.
        sizes: by value format, the same methods in the same order.
    """
    forms = list(sizes)
    columns = ["method", "trained", "of the model", *(f"one update, {form}" for form in forms), "mask, once"]
    table = Table(title, [*columns, "router, once"])
    beyond = False
    for found in zip(*sizes.values(), strict=True):
        first, updates = found[0], []
        for each in found:
            beyond |= not each.fits
            updates.append(("-" if not each.update else bytes_text(each.update)) + ("" if each.fits else "*"))
        part = f"{100 * first.share:.3g}%"
        once = [bytes_text(count) if count else "-" for count in (first.mask, first.router)]
        table.rows.append([first.method, f"{first.parameters:,}", part, *updates, *once])
    if beyond:
        table.note = "*: more than one message may hold; the bytes are those that its values would take."
    return table


def paper_table(ours: Mapping[str, tuple[MethodSizes, MethodSizes, int]]) -> Table:
    """Return the paper's Table I in percent beside our counts.

    Args:
        ours: by model: LoRA's and the proposed method's sizes, and the number of positions in B.
    """
    lora, updated, sent = PAPER["lora"], PAPER["updated"], PAPER["transmitted"]
    table = Table("The paper's shares beside our counts", ["what", "the paper", *ours])
    rows: list[list[str]] = [[] for _ in range(7)]
    for dense, sparse, positions in ours.values():
        mine = (
            f"{100 * dense.share:.2f}%",
            f"{100 * sparse.share:.2f}%",
            f"{100 * (1 - sparse.parameters / dense.parameters):.1f}%",
            f"{100 * sparse.share:.2f}%",
            f"{100 * (1 - sparse.parameters / dense.parameters):.1f}%",
            f"{updated / lora * dense.parameters / positions:.2f}",
            f"{sent / lora * dense.parameters / positions:.2f}",
        )
        for row, cell in zip(rows, mine, strict=True):
            row.append(cell)
    heads = (
        ("LoRA, share of the model", f"{lora:.2f}%"),
        ("proposed, share updated", f"{updated:.2f}%"),
        ("fewer updated than LoRA", f"{100 * (1 - updated / lora):.1f}%"),
        ("proposed, share transmitted", f"{sent:.2f}%"),
        ("fewer transmitted than LoRA", f"{100 * (1 - sent / lora):.1f}%"),
        ("density of B at which we would update as much less", "-"),
        ("density of B at which we would transmit as much less", "-"),
    )
    table.rows = [[what, paper, *row] for (what, paper), row in zip(heads, rows, strict=True)]
    return table
