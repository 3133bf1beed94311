"""The fixed inputs of a run: its data, base model, methods and site.

All errors in them are raised here, before a folder is created: first those that need no model, then the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshtune.config.idle import idle_note
from meshtune.config.run_config import RunConfig
from meshtune.data.partition import DeviceData, Exam, deal, exam_questions, exams
from meshtune.data.pools import gather
from meshtune.data.row_counts import counts_note, cut_rows
from meshtune.data.unlearnt import unlearnt_note
from meshtune.errors import UserError
from meshtune.methods.base import Method
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.methods.state import Announcement
from meshtune.model.base import Base
from meshtune.model.loading import load, locate
from meshtune.network.density_limits import DensityLimit, budget_note, budgets, densities_of
from meshtune.network.site import Site, open_site
from meshtune.network.virtual_clock import Pace
from meshtune.node.announcements import announce, recipes
from meshtune.node.negotiation.mask_agreement import check_negotiated
from meshtune.runs.events import Note, PhaseStarted, Progress
from meshtune.runs.observer import Observer
from meshtune.runs.store import RunStore
from meshtune.simulator.reopening import begun_with
from meshtune.simulator.resume import Loaded
from meshtune.tasks.registry import get_task
from meshtune.topology.graphs import neighbours
from meshtune.training.full_parameters import weights_of
from meshtune.training.learning_rate import check_rates, find_rates, rates_note, with_rates
from meshtune.training.process_memory import forecast_memory


@dataclass
class RunInputs:
    """The fixed inputs of a run."""

    config: RunConfig
    base: Base
    methods: list[Method]
    devices: list[DeviceData]
    papers: Sequence[Exam]
    counts: Mapping[str, Any]
    factory: ExpertFactory
    site: Site | None
    pace: Pace | None
    budgets: Mapping[str, DensityLimit] | None

    @property
    def densities(self) -> tuple[float, ...]:
        """The density of every device."""
        return densities_of(self.config, self.budgets)


def load_inputs(config: RunConfig, observer: Observer) -> RunInputs:
    """Load everything that ``config`` names, and send ``observer`` notes on it.

    Raises:
        UserError: the user has to correct something in the configuration, the data or the model.
    """
    methods = [get_method(name) for name in config.methods]
    observer(PhaseStarted("load", 1))
    idle = idle_note(config)
    if idle is not None:
        observer(Note(idle))
    if config.radio is None:
        neighbours(config.graph.kind, len(config.device_tasks), config.graph.neighbours, config.seed)
    site = open_site(config)  # errors in the graph, positions and gains are also raised before loading
    locate(config.model)
    pools = gather(config)  # errors in the data are raised before a large model is loaded
    devices = deal(config, pools=pools)
    asked = exam_questions(config, pools)
    for note in (*pools.notes, counts_note(devices, pools.exams, asked)):
        observer(Note(note))
    _check_judges(config)
    check_rates(config, methods)
    check_negotiated(config, methods)
    base = load(config.model, config.adapter.per_layer)
    if config.train.max_tokens > base.longest:
        raise UserError(
            f"train.max_tokens={config.train.max_tokens} is beyond the {base.longest} positions that {base.name} has: "
            "lower it"
        )
    layers = base.adapters.layers
    recipes(config, layers)  # raises before any training if blocks run out
    planned = budgets(config, site, layers) if site is not None and config.adapter.density == "planned" else None
    for device in devices:
        device.tokenizer = base.tokenizer
    papers = exams(config, base.tokenizer, asked)
    long, cuts = cut_rows(config, devices, papers)
    for note in long:
        observer(Note(note))
    counts = {name: {**found, **cuts.get(name, {})} for name, found in pools.facts.items()}
    factory = ExpertFactory(
        layers, config.adapter, config.seed, base.dtype, str(base.device), lambda: weights_of(base), config.paper
    )
    pace = None if config.radio is None else Pace(config, base.parameters, devices)
    observer(Progress("load", 1, 1))
    for note in base.notes():
        observer(Note(note))
    unlearnt = unlearnt_note(config)
    if unlearnt is not None:
        observer(Note(unlearnt))
    if planned is not None:
        observer(Note(budget_note(planned)))
    return RunInputs(config, base, methods, devices, papers, counts, factory, site, pace, planned)


def planned(
    inputs: RunInputs, store: RunStore, last: Loaded | None, observer: Observer
) -> tuple[RunInputs, dict[str, Any]]:
    """Forecast memory; return the inputs with the micro-batch size (on resuming, the run's original one), and facts."""
    found = forecast_memory(inputs.base, inputs.config, inputs.methods, inputs.devices, inputs.densities)
    observer(Note(found.text()))
    # With other micro-batches than at its start, rounding would differ.
    plan = begun_with(store, last) or {"micro_tokens": found.micro_tokens, "checkpoint": found.checkpoint}
    train = inputs.config.train.model_copy(update=plan)
    config = inputs.config.model_copy(update={"train": train})
    return replace(inputs, config=config), {**plan, "forecast_bytes": found.total}


def announced(inputs: RunInputs, observer: Observer) -> tuple[list[Announcement], dict[str, Any]]:
    """Compute what every device announces, and the learning rates that are left open."""
    rates: dict[str, Any] = {}

    def settle(own: Sequence[Announcement]) -> RunConfig:
        found = find_rates(inputs.base, inputs.config, inputs.methods, inputs.devices, own, inputs.factory, observer)
        rates.update({kind: one.facts() for kind, one in found.items()})
        return with_rates(inputs.config, inputs.methods, rates)

    made = announce(inputs.base, inputs.config, inputs.devices, inputs.methods, observer, inputs.densities, settle)
    return made, {"rates": rates} if rates else {}


def rated(inputs: RunInputs, rates: Mapping[str, Any], store: RunStore, observer: Observer) -> RunInputs:
    """Return ``inputs`` with the learning rates that were found, and report them."""
    if not rates:
        return inputs
    observer(Note(rates_note(rates)))
    if not any(event["event"] == "rates" for event in store.events()):
        store.append({"event": "rates", **rates})
    return replace(inputs, config=with_rates(inputs.config, inputs.methods, rates))


def _check_judges(config: RunConfig) -> None:
    """Check that answers can be judged before hours are spent on them.

    Raises:
        UserError: an exam executes code written by the model, and it cannot be isolated on this machine.
    """
    named = [name for task in config.tasks for name in (task.task, *task.also)]
    if config.eval.write and not config.eval.unsafe_code and any(get_task(name).executes for name in named):
        from meshtune.sandbox.execution import check_sandbox

        check_sandbox()
