"""Multiple-choice questions/s: ours against lm-eval's Hugging Face backend, same prompts, same answers.

    python benchmarks/evaluation_speed.py --model $MESHTUNE_MODELS/smollm2

Test questions of seven tasks on the frozen model, none cut short. Both sides start from text and end with the summed
log-probability of every option; lm-eval gets the best of a few batch sizes, tried on a part of the questions before.
Ends with an error where the two sides choose differently or a sum is off by more than 0.001.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from record import at_least, clock, options, over, report, turns
from work import CHOICE, data_folder, plain_model

from meshtune.config.learning_config import ModelConfig
from meshtune.decoding.scoring import Ask, score
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.encoding import encode_question
from meshtune.model.loading import load
from meshtune.seeds import stream
from meshtune.tasks.base import Question
from meshtune.tasks.loader import load as load_questions

SIZES = (1, 4, 8, 16, 32)
CLOSE = 5e-3
"""Of a sum of log-probabilities. The harness takes torch's log-softmax in float32, which over 49,152 classes is off by
1.6e-5 a token and always the same way; an option of a hundred tokens adds that up. Ours is within 1e-6 a token."""


def asked(count: int) -> list[Question]:
    """Return ``count`` test questions of every task."""
    found = []
    for task in CHOICE:
        pool = load_questions(task, "test", data_folder())
        order = stream(0, "data", task, "test").permutation(len(pool))
        found += [pool[int(i)] for i in order[:count]]
    return found


def ours(base: Base, questions: Sequence[Question], micro_tokens: int) -> list[list[float]]:
    """Return the summed log-probability of every option."""
    asks = [Ask(encode_question(base.tokenizer, question, base.longest)) for question in questions]
    return [list(found.logprobs) for found in score(base, asks, micro_tokens)]


def harness(model: Any, tokenizer: Any, size: int) -> Any:
    """Return lm-eval's backend around a model that is loaded already."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size, device="cpu")


def theirs(lm: Any, questions: Sequence[Question]) -> list[list[float]]:
    """As :func:`ours`, by lm-eval."""
    from lm_eval.api.instance import Instance

    requests = [
        Instance("loglikelihood", {}, (question.prompt, f" {option}"), n)
        for question in questions
        for n, option in enumerate(question.options)
    ]
    sums = iter(lm.loglikelihood(requests, disable_tqdm=True))
    return [[next(sums)[0] for _ in question.options] for question in questions]


def compare(mine: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    """Return the largest difference of a sum.

    Raises:
        SystemExit: it is too large, or an answer is another one.
    """
    worst = max(abs(a - b) for m, o in zip(mine, other, strict=True) for a, b in zip(m, o, strict=True))
    unlike = sum(int(np.argmax(m)) != int(np.argmax(o)) for m, o in zip(mine, other, strict=True))
    print(f"{len(mine)} questions: {unlike} answered differently, sums differ by {worst:.1e} at most", flush=True)
    if unlike or worst > CLOSE:
        raise SystemExit(f"the two sides disagree: the limit is {CLOSE:g}, and no answer may differ")
    return worst


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--questions", type=int, default=20, help="of every task")
    parser.add_argument("--micro-tokens", type=int, default=2048, help="padded tokens of one pass of ours")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    questions = asked(args.questions)
    base = load(ModelConfig(name=args.model, device="cpu"))
    model, tokenizer = plain_model(args.model)
    part = questions[:: max(1, args.questions // 4)]
    speed = {size: clock(lambda size=size: theirs(harness(model, tokenizer, size), part)) for size in SIZES}
    best = min(speed, key=lambda size: speed[size])
    tried = ", ".join(f"{size}: {len(part) / seconds:.2f}" for size, seconds in speed.items())
    print(f"lm-eval, questions/s by batch size: {tried}; taking {best}", flush=True)
    lm = harness(model, tokenizer, best)
    results: dict[str, list[list[float]]] = {}
    times = turns(
        {
            "ours": lambda: results.update(ours=ours(base, questions, args.micro_tokens)),
            "lm-eval": lambda: results.update(theirs=theirs(lm, questions)),
        },
        args.runs,
    )
    compare(results["ours"], results["theirs"])
    for name, seconds in times.items():
        print(f"{name:8} {len(questions) / float(np.median(seconds)):.2f} questions/s")
    report(
        [at_least("questions/s, multiple choice: ours / lm-eval", over(times["lm-eval"], times["ours"]), 2)], args.json
    )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
