"""Write the demo's sample data: four tiny tasks in the schemas of BoolQ, PIQA, ARC-Easy and Social IQa.

Every sentence is made here from small templates; nothing comes from the real data sets, and a score on these
files says nothing about them. Each task follows one rule that a small model can learn in a few steps: the
passage states which of two things is more so (BoolQ), a job has its tool (PIQA), a thing has its kind and a
sum its value (ARC-Easy), an event has its feeling (Social IQa). The rows are chosen by hashes of their own
text under one seed, so the files are the same wherever the script runs.

    python examples/demo/make_samples.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meshtune.seeds import key

SEED = 0
TRAIN_ROWS = 120
TEST_ROWS = 40

Row = dict[str, Any]

THINGS = ("kettle", "lamp", "chair", "basket", "barrel", "drum", "ladder", "mirror", "crate", "anchor")
RELATIONS = ("heavier", "taller", "older", "wider")

PEOPLE = (
    "teacher",
    "nurse",
    "farmer",
    "student",
    "baker",
    "neighbour",
    "sailor",
    "gardener",
    "painter",
    "visitor",
)
TOOL_FOR_JOB = {
    "tighten a loose screw": "a screwdriver",
    "drive a nail into a board": "a hammer",
    "cut a sheet of paper": "a pair of scissors",
    "sweep crumbs off the floor": "a broom",
    "dig a hole in the garden": "a shovel",
    "boil water for tea": "a kettle",
    "measure the length of a table": "a tape measure",
    "cut a thick branch in two": "a saw",
    "look at stars that are far away": "a telescope",
    "dry wet hands": "a towel",
    "light up a dark path": "a torch",
    "fasten two sheets of paper together": "a stapler",
    "eat a bowl of soup": "a spoon",
    "put a new colour on a wall": "a paint roller",
    "sew a button on a shirt": "a needle and thread",
    "write down a phone number": "a pencil",
    "stay dry in the rain": "an umbrella",
    "clean teeth before bed": "a toothbrush",
    "find out which way is north": "a compass",
    "find out how warm the room is": "a thermometer",
}

KINDS = {
    "an animal": "cow horse goat rabbit tiger robin salmon beetle",
    "a fruit": "apple pear plum cherry banana grape lemon mango",
    "a tool": "hammer saw wrench chisel drill shovel rake screwdriver",
    "a vehicle": "bus truck bicycle train tractor ship canoe tram",
    "a piece of clothing": "shirt coat scarf skirt sock glove jacket hat",
    "a piece of furniture": "chair table bed sofa desk wardrobe bench stool",
    "a musical instrument": "violin piano trumpet flute drum harp guitar cello",
    "a part of the body": "knee elbow shoulder ankle thumb chin wrist heel",
    "a colour": "red blue green yellow purple brown white black",
    "a metal": "iron copper silver tin zinc gold lead nickel",
    "a planet": "Mercury Venus Mars Jupiter Saturn Uranus Neptune",
    "a shape": "circle square triangle rectangle hexagon oval pentagon",
}

NAMES = ("Ada", "Ben", "Chloe", "Dev", "Elena", "Farid", "Grace", "Hugo", "Iris", "Jonas", "Kira", "Liam")
EVENTS_OF_FEELING = {
    "sad": ("lost a favourite toy on the train", "said goodbye to a friend who moved away"),
    "scared": ("heard a strange growl in the dark wood", "saw a snake next to the tent"),
    "proud": ("won first prize with a home-made kite", "finished a marathon for the first time"),
    "grateful": ("got help from a stranger with a flat tyre", "was given a warm meal by a neighbour"),
    "tired": ("worked all night without any sleep", "carried heavy boxes up the stairs all day"),
    "bored": ("sat in a waiting room for hours with nothing to do", "listened to the same long speech again"),
    "angry": ("found that a stranger had scratched the new car", "was blamed for a thing somebody else did"),
    "amused": ("watched a clown slip on a banana peel", "heard a very funny joke at lunch"),
}
# Feelings that nobody would expect in place of the right one.
WRONG_FEELINGS = {
    "sad": ("amused", "proud", "bored"),
    "scared": ("bored", "amused", "proud"),
    "proud": ("sad", "angry", "bored"),
    "grateful": ("angry", "bored", "scared"),
    "tired": ("amused", "scared", "angry"),
    "bored": ("proud", "grateful", "scared"),
    "angry": ("amused", "grateful", "bored"),
    "amused": ("sad", "scared", "angry"),
}


def pick(count: int, *names: str) -> int:
    """Return a number from 0 to ``count - 1`` that depends on the seed and the names alone."""
    return key(SEED, "demo", *names) % count


def order(items: Sequence[str], *names: str) -> list[str]:
    """Return the items in an order that depends on the seed and the names alone."""
    return sorted(items, key=lambda item: key(SEED, "demo", "order", *names, item))


def article(noun: str) -> str:
    """Return the noun with ``a`` or ``an``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def boolq() -> list[Row]:
    """Return passages that say which of two things is more so, each with a yes/no question on it."""
    rows = []
    for relation in RELATIONS:
        for first in THINGS:
            for second in THINGS:
                if first == second:
                    continue
                passage = f"There was {article(first)} and {article(second)} in the hall. "
                passage += f"The {first} was {relation} than the {second}."
                answer = pick(2, passage) == 0
                a, b = (first, second) if answer else (second, first)
                question = f"was the {a} {relation} than the {b}"
                rows.append({"question": question, "passage": passage, "answer": answer})
    return rows


def piqa() -> list[Row]:
    """Return jobs with the right tool and the tool of another job."""
    rows = []
    for job, tool in TOOL_FOR_JOB.items():
        for person in PEOPLE:
            goal = f"How can the {person} {job}?"
            wrong = order([other for other in TOOL_FOR_JOB.values() if other != tool], goal)[0]
            label = pick(2, goal)
            solutions = [f"Use {tool}.", f"Use {wrong}."]
            rows.append({"goal": goal, "sol1": solutions[label], "sol2": solutions[1 - label], "label": label})
    return rows


def arc_easy() -> list[Row]:
    """Return questions on the kind of a thing, and sums of two small numbers."""
    asked: list[tuple[str, str, list[str]]] = []
    for kind, things in KINDS.items():
        for thing in things.split():
            question = f'What kind of thing does the word "{thing}" name?'
            asked.append((question, kind, order([other for other in KINDS if other != kind], question)[:3]))
    for a in range(1, 13):
        for b in range(a, 13):
            question = f"What is {a} plus {b}?"
            near = [str(a + b + step) for step in (-2, -1, 1, 2, 3) if a + b + step > 0]
            asked.append((question, str(a + b), order(near, question)[:3]))
    rows = []
    for question, right, wrong in asked:
        options = order([right, *wrong], question, "options")
        labels = ["A", "B", "C", "D"]
        choices = {"text": options, "label": labels}
        answer = labels[options.index(right)]
        rows.append({"id": "", "question": question, "choices": choices, "answerKey": answer})
    return rows


def social_i_qa() -> list[Row]:
    """Return events with the feeling that follows and two that do not."""
    rows = []
    for feeling, events in EVENTS_OF_FEELING.items():
        for event in events:
            for name in NAMES:
                context = f"{name} {event}."
                wrong = order(WRONG_FEELINGS[feeling], context)[:2]
                options = order([feeling, *wrong], context, "options")
                answers = {f"answer{letter}": option for letter, option in zip("ABC", options, strict=True)}
                label = str(options.index(feeling) + 1)
                rows.append(
                    {
                        "context": context,
                        "question": f"How would {name} feel afterwards?",
                        **answers,
                        "label": label,
                    }
                )
    return rows


MAKERS = {"boolq": boolq, "piqa": piqa, "arc_easy": arc_easy, "social_i_qa": social_i_qa}


def samples() -> dict[str, str]:
    """Return every file's content by its path below the demo folder; no row is in both splits of a task."""
    files = {}
    for task, make in MAKERS.items():
        rows = sorted(make(), key=lambda row: key(SEED, "demo", "rows", json.dumps(row)))
        cuts = {"train": rows[:TRAIN_ROWS], "test": rows[TRAIN_ROWS : TRAIN_ROWS + TEST_ROWS]}
        for split, chosen in cuts.items():
            for number, row in enumerate(chosen):
                if "id" in row:
                    row["id"] = f"demo-{split}-{number}"
            files[f"{task}/{split}.jsonl"] = "".join(json.dumps(row) + "\n" for row in chosen)
    return files


def main() -> None:
    """Write the files below this script's folder, or below the one given."""
    parser = argparse.ArgumentParser(description="Write the demo's sample data.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    out: Path = parser.parse_args().out
    for name, content in samples().items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="\n")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
