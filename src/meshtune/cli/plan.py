"""``meshtune plan``: clusters, power, time, energy and bytes of a configuration, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The configuration.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. --set radio.gamma=1. Repeatable."),
    ] = None,
    density_from: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Take densities from the masks of this run instead of equal ones."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    picture: Annotated[
        Path | None, typer.Option("--map", metavar="FILE.png", help="Draw devices, clusters and links into this file.")
    ] = None,
    why: Annotated[
        int | None,
        typer.Option(metavar="DEVICE", help="Only explain why this device is in its cluster and others are not."),
    ] = None,
) -> None:
    """Plan a run over the air without training it.

    Who forms a cluster with whom and who is refused, at which collision rate, power and energy, how long a round takes,
    and how many bytes every method sends. No weights, no data, no network for the models that the package knows, for
    example model.name=qwen2.5-7b: only shapes count.

    What decides: adapter.rank and adapter.density make the payload; radio.* and places.* the links; clusters.s_max the
    collisions that a cluster may have; compute.* and train.* how long training takes. A file without radio.* is planned
    with the defaults.

        meshtune plan configs/plan-qwen2.5-1.5b.yaml

        meshtune plan configs/plan-qwen2.5-1.5b.yaml --set model.name=qwen2.5-7b --map plan.png

        meshtune plan configs/plan-qwen2.5-1.5b.yaml --why 3

    Every layer has the same density, for entropies need weights; --density-from takes a run's own masks instead.
    """
    from meshtune.cli.flags import in_flags
    from meshtune.errors import UserError, check_name
    from meshtune.printable import printable

    check_name("format", form, ("table", "json"))
    if picture is not None and (picture.suffix.lower() != ".png" or not picture.parent.is_dir()):
        raise UserError(f"--map {picture} cannot be drawn: name a .png file in a folder that is there")
    from meshtune.cli.limits import check_address_space
    from meshtune.cli.watching import watch
    from meshtune.config.config_file import load_config

    config = load_config(file, settings or [])
    check_address_space()
    from meshtune.planning.planner import plan as work_out  # imports torch: only after the configuration is validated

    with watch() as observer:
        found = work_out(config, density_from, observer, why)
    if form == "json":
        typer.echo(in_flags(found.to_json()))
    else:
        from meshtune.cli.show import show_tables
        from meshtune.report.plan_tables import tables

        show_tables(tables(found, why))
    if picture is not None:
        from meshtune.report.map import draw
        from meshtune.report.mapped import of_plan

        try:
            picture.write_bytes(draw(of_plan(found)))
        except OSError as error:
            raise UserError(f"--map {picture} cannot be written ({error.strerror}): name another file") from error
        typer.echo(f"Map: {printable(str(picture))}", err=True)
