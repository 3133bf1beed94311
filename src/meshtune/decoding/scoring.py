"""Scoring questions under a routed model: one routing decision per sequence, made from its prompt.

Rows of many experts share one pass over the base model. Rows with a single expert are grouped by expert; rows that mix
a bank carry their gates. Measures are those of method section 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray

from meshtune.adapter.expert import Expert
from meshtune.adapter.route import Bank, Route, Segments
from meshtune.model.base import Base
from meshtune.model.cores import side_by_side
from meshtune.model.encoding import Row
from meshtune.model.micro_batch import micro_batches
from meshtune.model.packing import Packed
from meshtune.runs.metrics import pass_at
from meshtune.tasks.base import Question


@dataclass(frozen=True)
class Ask:
    """One tokenised question, and the experts that answer it.

    Attributes:
        rows: one row per option.
        expert: the single expert that answers, or None for the frozen model; ignored if ``gates`` is given.
        gates: (G,) weights over the bank's experts.
        prompt: the prompt's tokens, if the answer is to be written.
    """

    rows: Sequence[Row]
    expert: Expert | None = None
    gates: NDArray[np.float64] | None = None
    prompt: tuple[int, ...] = ()


@dataclass(frozen=True)
class Score:
    """The model's score of a question's options: summed log-probability (O,) and token count (O,) of each."""

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]


def score(
    base: Base,
    asks: Sequence[Ask],
    micro_tokens: int,
    bank: Bank | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Score]:
    """Return the score of every ask, in order.

    Args:
        base: the frozen model.
        asks: the questions; either all with gates (then ``bank`` is needed) or none.
        micro_tokens: padded tokens of one pass.
        bank: the experts that gates weight.
        progress: called after every pass with the number of finished rows.
    """
    sheets = [sheet for number, ask in enumerate(asks) for sheet in _sheets(number, ask, base)]
    sums = [[0.0] * len(ask.rows) for ask in asks]
    done = 0
    first: dict[int, int] = {}
    for number, ask in enumerate(asks):
        first.setdefault(id(ask.expert), number)
    sheets.sort(key=lambda sheet: (first[id(asks[sheet.ask].expert)], len(sheet.tokens), sheet.ask, sheet.options))
    parts = [[sheets[i] for i in part] for part in micro_batches(base, [len(s.tokens) for s in sheets], micro_tokens)]

    def nll_of(part: Sequence[_Sheet]) -> list[float]:
        packed = Packed(
            [sheet.tokens for sheet in part],
            base.device,
            *(
                ([sheet.positions for sheet in part], [sheet.parts for sheet in part])
                if any(len(sheet.options) > 1 for sheet in part)
                else ()
            ),
        )
        route = route_of(base, [asks[sheet.ask] for sheet in part], bank)
        where = [start + at for start, sheet in zip(packed.starts, part, strict=False) for at in sheet.sources]
        labels = [label for sheet in part for label in sheet.labels]
        with torch.no_grad(), base.adapters.routed(route):
            hidden = base.read(packed)[torch.tensor(where, device=base.device)]
            return base.token_losses(hidden, torch.tensor(labels, device=base.device)).double().tolist()

    for part, nll in zip(parts, side_by_side(base, nll_of, parts), strict=True):
        owners = [(sheet.ask, option) for sheet in part for option in sheet.owners]
        for (number, option), value in zip(owners, nll, strict=True):
            sums[number][option] -= value
        done += sum(len(sheet.options) for sheet in part)
        if progress is not None:
            progress(done)
    return [Score(tuple(found), tuple(row.answer for row in ask.rows)) for found, ask in zip(sums, asks, strict=True)]


@dataclass(frozen=True)
class _Sheet:
    """One row of a scoring pass: a prompt once, then its options, which do not see each other.

    ``sources``, ``labels``, ``owners``: for every answer token the column of the hidden state that predicts it, the
    token, and the option it belongs to.
    """

    ask: int
    options: tuple[int, ...]
    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    parts: tuple[int, ...]
    sources: tuple[int, ...]
    labels: tuple[int, ...]
    owners: tuple[int, ...]


def _sheets(number: int, ask: Ask, base: Base) -> list[_Sheet]:
    """Return the rows that score ``ask``: one if all options share their prompt, else one per option."""
    prompts = {row.tokens[: row.prompt] for row in ask.rows}
    # In a padded pass a window counts columns, and the last option comes after all others.
    columns = ask.rows[0].prompt + sum(row.answer - 1 for row in ask.rows)
    together = base.beside and (base.packs or columns <= base.window)
    if len(prompts) == 1 and together:
        return [_sheet(number, tuple(range(len(ask.rows))), ask.rows)]
    return [_sheet(number, (option,), ask.rows) for option in range(len(ask.rows))]


def _sheet(number: int, options: tuple[int, ...], rows: Sequence[Row]) -> _Sheet:
    prompt = rows[options[0]].prompt
    tokens = list(rows[options[0]].tokens[:prompt])
    positions = list(range(prompt))
    parts = [0] * prompt
    sources: list[int] = []
    labels: list[int] = []
    owners: list[int] = []
    for option in options:
        answer = rows[option].tokens[prompt:]
        start = len(tokens)
        sources += [prompt - 1, *range(start, start + len(answer) - 1)]
        labels += answer
        owners += [option] * len(answer)
        tokens += answer[:-1]  # no label follows an option's last token
        positions += range(prompt, prompt + len(answer) - 1)
        parts += [option + 1] * (len(answer) - 1)
    return _Sheet(
        number,
        options,
        tuple(tokens),
        tuple(positions),
        tuple(parts),
        tuple(sources),
        tuple(labels),
        tuple(owners),
    )


def route_of(base: Base, asks: Sequence[Ask], bank: Bank | None) -> Route:
    """Return the route of a batch whose rows ask ``asks``; rows of one expert are grouped."""
    if asks[0].gates is not None:
        assert bank is not None
        gates = np.stack([ask.gates for ask in asks if ask.gates is not None])
        return bank.route(torch.from_numpy(gates).to(base.device, torch.float32))
    runs: list[tuple[Expert | None, int]] = []
    for ask in asks:
        if runs and runs[-1][0] is ask.expert:
            runs[-1] = (ask.expert, runs[-1][1] + 1)
        else:
            runs.append((ask.expert, 1))
    return Segments(runs)


def row_losses(base: Base, expert: Expert | None, rows: Sequence[Row], micro_tokens: int) -> list[float]:
    """Return the mean NLL over the answer tokens of each row, under ``expert`` or the frozen model (None)."""
    found = score(base, [Ask([row], expert) for row in rows], micro_tokens)
    return [-one.logprobs[0] / one.tokens[0] for one in found]


def measure_written(
    score: Score, grades: Sequence[Mapping[str, float]] = (), ks: Sequence[int] = ()
) -> dict[str, float]:
    """Return the measures of one written question, given the reference's score and its samples' ``grades``, if any.

    ``nll``: mean over the reference's tokens. The task's grades: mean over the samples; ``acc_norm`` equals ``acc``.
    ``pass@k``: for every k of ``ks``. There are no options to choose from, so no ``option_nll``.
    """
    names = grades[0] if grades else ()
    means = {name: fmean(grade[name] for grade in grades) for name in names}
    norm = {"acc_norm": means["acc"]} if "acc" in means else {}
    right = sum(grade.get("acc") == 1 for grade in grades)
    passes = {f"pass@{k}": pass_at(len(grades), right, k) for k in ks}
    return {"nll": -score.logprobs[0] / score.tokens[0], **means, **norm, **passes}


def measure(question: Question, score: Score) -> dict[str, float]:
    """Return the four measures of one question (method section 10).

    ``nll``: mean over the right option's tokens; ``option_nll``: -log softmax over the options' summed
    log-probabilities at the right one; ``acc``: argmax of the sums; ``acc_norm``: argmax of the sums divided by the
    option's characters. Options of equal text share one score, and choosing among n of them counts 1 / n.
    """
    first = {option: number for number, option in reversed(list(enumerate(question.options)))}
    sums = np.asarray([score.logprobs[first[option]] for option in question.options])
    right = question.answer
    chance = 1 / question.options.count(question.options[right])
    per_character = sums / np.asarray([max(1, len(option)) for option in question.options])
    top = sums.max()
    return {
        "nll": float(-sums[right] / score.tokens[right]),
        "option_nll": float(np.log(np.exp(sums - top).sum()) + top - sums[right]),
        "acc": chance * (int(np.argmax(sums)) == first[question.options[right]]),
        "acc_norm": chance * (int(np.argmax(per_character)) == first[question.options[right]]),
    }
