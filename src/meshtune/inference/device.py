"""One device of a run, ready to be asked: the prompt decides which experts answer, as in the exam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meshtune.adapter.full_expert import FullExpert
from meshtune.adapter.route import Bank
from meshtune.config.learning_config import check_temperature
from meshtune.config.run_config import RunConfig
from meshtune.decoding.generation import generate, stream
from meshtune.decoding.sampling import Writing
from meshtune.decoding.scoring import Ask, score
from meshtune.errors import UserError
from meshtune.evaluation.asks import ask_of, bank_of
from meshtune.evaluation.exam import FROZEN, router_of
from meshtune.inference.held_experts import HeldExpert, experts_of
from meshtune.inference.reply import Reply, Weight
from meshtune.methods.base import Answer, Method, Prompts, only
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.state import Member
from meshtune.model.base import Base
from meshtune.model.encoding import encode_prompt, encode_question
from meshtune.routing.features import Features
from meshtune.routing.routers import Router
from meshtune.tasks.base import Question, Task, checked_options, shared_prompt
from meshtune.tasks.registry import get_task
from meshtune.training.calibration import prompt_features
from meshtune.training.full_parameters import holding

TOKENS = 32
"""The least length limit of an answer, in tokens."""


@dataclass(frozen=True)
class _Asked:
    """A prompt, the experts that answer it, and how."""

    prompt: str
    ask: Ask
    bank: Bank | None
    weights: tuple[Weight, ...]
    writing: Writing
    model: FullExpert | None


class Device:
    """One device of a run under one method, ready to be asked.

    :meth:`meshtune.Run.device` returns it.

    Attributes:
        id: its number in the run.
        method: the method it answers under; ``frozen`` for the base model alone.
        router: the router that weighs its experts; None if the method has none.
        round: the newest finished round.

    Args:
        base: the base model of the run.
        config: the run's settings.
        method: the method that answers; None for the frozen model.
        member: the device as of the newest round.
        router: the name of its router, for methods that route.
        factory: builds the experts.
        round: the newest finished round.
    """

    def __init__(
        self,
        base: Base,
        config: RunConfig,
        method: Method | None,
        member: Member,
        router: str | None,
        factory: ExpertFactory,
        round: int,
    ) -> None:
        self.method = FROZEN if method is None else method.name
        self.id = member.device
        self.router = router
        self.round = round
        self._base, self._config, self._factory = base, config, factory
        self._method, self._member = method, member

    def ask(
        self, prompt: str, tokens: int | None = None, raw: bool = False, temperature: float = 0.0, seed: int = 0
    ) -> Reply:
        """Return the answer to ``prompt``; it ends like answers of the task whose expert has the largest gate.

        Args:
            prompt: the question; it is put into the run's template unless it already uses it.
            tokens: the most new tokens; None for that task's limit, at least :data:`TOKENS`.
            raw: use ``prompt`` unchanged.
            temperature: divides the logits before a token is sampled; 0 takes the likeliest token.
            seed: of the sampling.

        Raises:
            UserError: there is no text, the model has no room for it and the tokens, or the temperature is impossible.
        """
        asked = self._asked(prompt, tokens, raw, temperature, seed)
        micro = self._config.eval.micro_tokens
        with holding(self._base, asked.model):
            ((said,),) = generate(self._base, [asked.ask], asked.writing, micro, asked.bank)
        return Reply(asked.prompt, said, asked.weights)

    def stream(
        self, prompt: str, tokens: int | None = None, raw: bool = False, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[str]:
        """Yield the answer to ``prompt`` piece by piece, as its tokens are decoded.

        A piece holds only complete characters that no later token changes. Joined, the pieces equal the answer of
        :meth:`ask`. Arguments and errors are those of :meth:`ask`; errors are raised when ``stream`` is called.
        """
        asked = self._asked(prompt, tokens, raw, temperature, seed)

        def pieces() -> Iterator[str]:
            written = stream(self._base, asked.ask, asked.writing, asked.bank)
            while True:
                with holding(self._base, asked.model):  # other devices may be asked between two pieces
                    piece = next(written, None)
                if piece is None:
                    return
                yield piece

        return pieces()

    def _asked(self, text: str, tokens: int | None, raw: bool, temperature: float, seed: int) -> _Asked:
        base = self._base
        check_temperature(temperature)
        if tokens is not None and tokens < 1:
            raise UserError(f"`tokens` {tokens} is below 1: give 1 or more")
        if tokens is not None and tokens >= base.longest:
            raise UserError(f"`tokens` {tokens} leaves no room for the prompt: the model has {base.longest} positions")
        prompt = self.prompt(text, raw)
        room = self._room(prompt, tokens or min(TOKENS, base.longest // 2))
        answer = self._answer(prompt)
        ask = ask_of(answer, 0, (), encode_prompt(base.tokenizer, prompt, base.longest))
        bank = None if ask.gates is None else bank_of(answer)
        weights = self._weights(answer)
        task = self._task(weights)
        most = tokens or min(max(TOKENS, task.longest_answer), room)
        writing = Writing(most, task.stops, temperature=temperature, seed=seed)
        model = ask.expert if isinstance(ask.expert, FullExpert) else None
        return _Asked(prompt, ask if model is None else replace(ask, expert=None), bank, weights, writing, model)

    def choose(self, prompt: str, options: Sequence[str], raw: bool = False) -> Reply:
        """Return the most probable of ``options``: the softmax of their summed log-probabilities.

        Args:
            prompt: the question; see :meth:`ask`.
            options: two or more different answers.
            raw: use ``prompt`` unchanged.

        Raises:
            UserError: there is no text, fewer than two different options, or no room for text and option.
        """
        base, given = self._base, checked_options(options)
        text = self.prompt(prompt, raw)
        for option in given:
            self._room(f"{text} {option}", 0)
        answer = self._answer(text)
        rows = encode_question(base.tokenizer, Question("", "", text, given, 0), base.longest)
        ask = ask_of(answer, 0, rows)
        bank = None if ask.gates is None else bank_of(answer)
        model = ask.expert if isinstance(ask.expert, FullExpert) else None
        with holding(base, model):
            asked = ask if model is None else replace(ask, expert=None)
            sums = np.asarray(score(base, [asked], self._config.eval.micro_tokens, bank)[0].logprobs)
        odds = np.exp(sums - sums.max())
        found = sorted(zip(given, (odds / odds.sum()).tolist(), strict=True), key=lambda pair: -pair[1])
        return Reply(text, found[0][0], self._weights(answer), tuple(found))

    def experts(self) -> Iterator[HeldExpert]:
        """Yield the device's experts: for each its task, the devices that trained it, and its update of every layer.

        The frozen model has none. Methods that merge the devices' updates into one matrix (``paper``, ``shared_b``,
        ``single_cluster`` and the like) keep no other device's expert; they yield only the one that the device trains.
        """
        if self._method is not None:
            yield from experts_of(self._base, self._method, self._member, self._factory)

    def prompt(self, text: str, raw: bool = False) -> str:
        """Return what the model reads: ``text`` in the shared template, if the run used it.

        Raises:
            UserError: there is no text.
        """
        asked = text.strip().removeprefix("Question:").removesuffix("Answer:").strip()
        if not asked:
            raise UserError("the prompt is empty: give a question, for example 'What is the capital of France?'")
        if raw:
            return text
        return shared_prompt(asked) if self._config.template == "shared" else text.strip()

    def _room(self, text: str, least: int) -> int:
        """Return how many tokens the model can write after ``text``.

        Raises:
            UserError: fewer than ``least``.
        """
        count, longest = len(self._base.tokenizer(text, verbose=False)["input_ids"]), self._base.longest
        if count + least > longest:
            what = f"the question has {count:,} tokens, its answer {least}"
            if not least:
                what = f"question and option have {count:,} tokens"
            raise UserError(f"{what}, and the model has {longest:,} positions: shorten the question")
        return longest - count

    def _answer(self, prompt: str) -> Answer:
        if self._method is None:
            return only(None, 1)
        config, base = self._config, self._base
        features = Features(np.zeros((1, base.width)))
        router = self._fitted()
        if router is not None:
            tokens = encode_prompt(base.tokenizer, prompt, config.train.max_tokens)
            features = prompt_features(base, [tokens], config.router, config.eval.micro_tokens)
        return self._method.answer(self._member, Prompts([""], router, features), self._factory)

    def _task(self, weights: Sequence[Weight]) -> Task:
        """Return the task that decides how an answer ends: the first expert's, else the one with the longest answers.

        With token-level routing no expert is first, nor if the frozen model answers.
        """
        tasks = {task.key: get_task(task.task) for task in self._config.tasks}
        known = [tasks[weight.task] for weight in weights[:1] if weight.task in tasks and weight.gate]
        return known[0] if known else max(tasks.values(), key=lambda task: task.written * task.longest_answer)

    def _fitted(self) -> Router | None:
        if self.router is None:
            return None
        return router_of(self._member, self.router, self._config, self._factory)

    def _weights(self, answer: Answer) -> tuple[Weight, ...]:
        if self._method is None:
            return ()
        sources = self._method.sources(self._member)
        router = self._fitted()
        if router is not None and router.by_token:
            return tuple(Weight(*source, None) for source in sources)
        shares = zip(sources, answer.gates[0].tolist(), strict=True)
        return tuple(Weight(*source, gate) for source, gate in sorted(shares, key=lambda share: -share[1]))
