"""The requests of an exam: each distinct (answering expert, question) pair once, however many devices share it.

Devices with the same bank answer identically, ``hard_moe`` uses the same experts as ``bank`` if the router is
right, and ``local`` uses its own again. So results are looked up by what answers, not by which device asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from meshtune.adapter.full_expert import FullExpert
from meshtune.adapter.route import Bank
from meshtune.data.partition import Exam
from meshtune.decoding.generation import generate
from meshtune.decoding.sampling import Writing
from meshtune.decoding.scoring import Ask, Score, score
from meshtune.methods.base import Answer
from meshtune.model.base import Base
from meshtune.model.cores import side_by_side
from meshtune.model.encoding import Row
from meshtune.training.full_parameters import holding

Key = tuple[str, int]
"""The expert or bank that answers, and the number of the question."""


def ask_of(answer: Answer, number: int, rows: Sequence[Row], prompt: tuple[int, ...] = ()) -> Ask:
    """Return the request for prompt ``number``: to a single expert or none, or to the bank weighted by gates.

    Args:
        answer: the experts that answer.
        number: the prompt's row in the answer's gates.
        rows: its options, tokenised.
        prompt: its own tokens, if an answer is to be written.
    """
    gates = answer.gates[number]
    if not gates.any():  # the frozen model answers
        return Ask(rows, None, prompt=prompt)
    if answer.bank is None and gates.max() == 1.0:
        return Ask(rows, answer.experts[int(gates.argmax())], prompt=prompt)
    return Ask(rows, None, gates, prompt)


def bank_of(answer: Answer) -> Bank:
    """Return the bank of experts that an answer's gates weigh."""
    return answer.bank or Bank([expert for expert in answer.experts if expert is not None])


class AnswerRequests:
    """The distinct asks of one exam.

    Args:
        paper: the exam.
    """

    def __init__(self, paper: Exam) -> None:
        self._paper = paper
        self._parts: dict[str, _Part] = {}

    def add(self, answer: Answer, count: int) -> list[Key]:
        """Add the first ``count`` questions for ``answer``; return the keys of the future results."""
        keys = []
        bank = bank_of(answer)
        for q in range(count):
            ask = ask_of(answer, q, self._paper.rows[q], self._paper.prompts[q])
            if ask.gates is not None:
                key = (bank.digest + hashlib.blake2b(ask.gates.tobytes(), digest_size=8).hexdigest(), q)
                self._parts.setdefault(bank.digest, _Part(bank)).asks.setdefault(key, ask)
            elif isinstance(ask.expert, FullExpert):
                key = (ask.expert.digest, q)
                part = self._parts.setdefault(ask.expert.digest, _Part(weights=ask.expert))
                part.asks.setdefault(key, replace(ask, expert=None))
            else:
                key = ("frozen" if ask.expert is None else ask.expert.digest, q)
                self._parts.setdefault("", _Part()).asks.setdefault(key, ask)
            keys.append(key)
        return keys

    @property
    def options(self) -> int:
        """How many options there are to score."""
        return sum(len(ask.rows) for part in self._parts.values() for ask in part.asks.values())

    @property
    def asks(self) -> int:
        """How many prompts there are to answer."""
        return sum(len(part.asks) for part in self._parts.values())

    def score(self, base: Base, micro_tokens: int, progress: Callable[[int], None]) -> dict[Key, Score]:
        """Return the score of every ask; ``progress`` is told the number of options done."""
        found: dict[Key, Score] = {}
        done = 0
        for part in self._parts.values():
            counted = _behind(progress, done)
            with holding(base, part.weights):
                scores = score(base, list(part.asks.values()), micro_tokens, part.bank, counted)
            found.update(zip(part.asks, scores, strict=True))
            done += sum(len(ask.rows) for ask in part.asks.values())
        return found

    def write(
        self,
        base: Base,
        writing: Writing,
        micro_tokens: int,
        ended: Callable[[], None],
        known: Mapping[Key, list[str]] | None = None,
        keep: Callable[[dict[Key, list[str]]], None] | None = None,
    ) -> dict[Key, list[str]]:
        """Return the answers to every ask.

        Decoding a token for a few rows is cheap compared with the passes around it, so parts are written in parallel;
        those that put other weights into the model are written alone.

        Args:
            base: the frozen model.
            writing: decoding settings.
            micro_tokens: padded tokens of one pass over prompts.
            ended: called whenever an answer has ended, by one thread at a time.
            known: answers that need not be written again.
            keep: called with new answers whenever a batch is done, by one thread at a time.
        """
        lock = Lock()

        def tell() -> None:
            with lock:
                ended()

        def write(part: _Part) -> list[list[str]]:
            keys = list(part.asks)
            mine = {i: known[key] for i, key in enumerate(keys) if known and key in known}

            def kept(fresh: dict[int, list[str]]) -> None:
                if keep is not None:
                    with lock:
                        keep({keys[i]: texts for i, texts in fresh.items()})

            return generate(base, list(part.asks.values()), writing, micro_tokens, part.bank, tell, mine, kept)

        found: dict[Key, list[str]] = {}
        frozen = [part for part in self._parts.values() if part.weights is None]
        for part, texts in zip(frozen, side_by_side(base, write, frozen), strict=True):
            found.update(zip(part.asks, texts, strict=True))
        for part in self._parts.values():
            if part.weights is not None:
                with holding(base, part.weights):
                    found.update(zip(part.asks, write(part), strict=True))
        return found


@dataclass
class _Part:
    """Asks that are answered together: by single experts, by one bank, or by a model of other weights."""

    bank: Bank | None = None
    weights: FullExpert | None = None
    asks: dict[Key, Ask] = field(default_factory=dict)


def _behind(progress: Callable[[int], None], before: int) -> Callable[[int], None]:
    return lambda done: progress(before + done)
