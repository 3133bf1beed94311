"""``meshtune tasks``: what devices can learn, where it comes from and under which licence."""

from __future__ import annotations

# Of the hub's tasks: options a question, and the mean of 1 / options (of ScienceQA: over 600 text-only test questions).
CHANCE = {
    "boolq": ("2", "0.50"),
    "piqa": ("2", "0.50"),
    "social_i_qa": ("3", "0.33"),
    "hellaswag": ("4", "0.25"),
    "arc_easy": ("3 to 5", "0.25"),
    "arc_challenge": ("3 to 5", "0.25"),
    "scienceqa": ("2 to 5", "0.44"),
}


def tasks() -> None:
    """List the tasks that a configuration may name.

    For example: meshtune tasks, then tasks: [boolq, piqa] in a configuration
    """
    from meshtune.cli.show import show_tables
    from meshtune.report.tables import Table
    from meshtune.tasks.generated import GeneratedTask
    from meshtune.tasks.registry import TASKS

    rows = []
    for name, task in TASKS.items():
        if isinstance(task, GeneratedTask):
            origin, chance = "made here", f"{task.chance:.2f}"
            options = "written" if task.written else str(len(next(task.rows("test"))["options"]))
        else:
            origin = task.hub_id if task.hub_config is None else f"{task.hub_id} ({task.hub_config})"
            options, chance = CHANCE.get(name, ("written" if task.written else "-", "-"))
        parted = task.splits.get("train") == task.splits["test"]
        tested = f"part of {task.splits['test']}" if parted else task.splits["test"]
        rows.append([name, origin, tested, options, chance, task.licence])
    columns = ["name", "on the hub", "tested on", "options", "chance", "licence of the data"]
    note = "Any folder with <task>/train.jsonl and <task>/test.jsonl in the same fields serves as well."
    show_tables([Table("Tasks", columns, rows, labels=6, note=note)])
