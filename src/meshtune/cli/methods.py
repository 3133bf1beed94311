"""``meshtune methods``: what can be run side by side."""

from __future__ import annotations


def methods() -> None:
    """List the methods that a configuration may name.

    For example: meshtune methods, then meshtune demo --set methods=[proposed,local] --out runs/two
    """
    from meshtune.cli.show import show_tables
    from meshtune.methods.registry import METHODS
    from meshtune.report.result_tables import Table

    rows = [[name, text] for name, text in METHODS.items()]
    show_tables([Table("Methods", ["name", "what it is"], rows, labels=2)])
