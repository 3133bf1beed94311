"""Train the embedded base model from nothing on the world's texts: ``python scripts/pretrain_base.py --out DIR``.

A small Qwen2 with a tokenizer of its own. Everything is a function of the seed; a stopped training goes on where its
last checkpoint is; a finished one leaves a Hugging Face folder (config, bf16 weights, tokenizer) and a card.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import pre_tokenizers, trainers
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from meshtune.seeds import stream
from meshtune.world.corpus import Document, alphabet, documents

END = "<|end|>"
CARD = """# The embedded base model

A Qwen2 of {parameters:,} parameters ({blocks} blocks, width {width}, {vocabulary} tokens of its own BPE, tied
embeddings, bf16), trained from nothing on the texts of `meshtune.world.corpus`: a made-up world of people, animals and
small machines. It knows that world and can work things out in it; the words that a task's prompt is wrapped in occur
only in lists of unrelated words, so it does not know the tasks. It knows no natural text and is of no use outside this
project.

- seed {seed}, {steps} steps, {seen:,} tokens seen, {minutes:.0f} minutes on {device}, torch {torch}
- held-out loss {loss:.4f} (texts of another stream; what cannot be known weighs {told} against 1)
- no data of others went into it; licence Apache-2.0, as the project
- made by `python scripts/pretrain_base.py --out DIR` with {settings}
"""


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = train_tokenizer(args.seed, args.vocabulary)
    torch.manual_seed(args.seed)
    model = Qwen2ForCausalLM(shape(args, tokenizer)).to(device)
    muon, adam = optimisers(model, args)
    checkpoint = args.out / "checkpoint.pt"
    parts = {"model": model, "muon": muon, "adam": adam}
    first, spent = restore(checkpoint, parts)
    started = time.perf_counter() - spent
    for step in range(first, args.steps):
        loss = lm_loss(model, *batch(tokenizer, args, "train", step, device))
        loss.backward()
        factor = schedule(step, args.steps)
        for optimiser, peak in ((muon, args.lr), (adam, args.adam_lr)):
            for group in optimiser.param_groups:
                group["lr"] = peak * factor
            optimiser.step()
            optimiser.zero_grad()
        done = step + 1
        seconds = time.perf_counter() - started
        if done % 20 == 0:
            left = seconds / done * (args.steps - done)
            print(f"step {done}/{args.steps} loss {loss.item():.3f} {seconds:.0f} s, {left:.0f} s left", flush=True)
        if done % args.save_every == 0 or done == args.steps:
            save(checkpoint, parts, done, seconds)
    finish(args, model, tokenizer, device, time.perf_counter() - started)
    checkpoint.unlink(missing_ok=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model and, on the way, its checkpoint")
    parser.add_argument("--seed", type=int, default=0, help="of weights, tokenizer and text")
    parser.add_argument("--steps", type=int, default=3000, help="optimiser steps")
    parser.add_argument("--rows", type=int, default=16, help="rows of a step")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of a row")
    parser.add_argument("--told", type=float, default=0.1, help="weight of what cannot be known, against 1")
    parser.add_argument("--width", type=int, default=256, help="of the residual stream")
    parser.add_argument("--heads", type=int, default=8, help="of attention; half as many of keys and values")
    parser.add_argument("--blocks", type=int, default=4, help="transformer blocks")
    parser.add_argument("--mlp", type=int, default=512, help="width inside the MLP")
    parser.add_argument("--vocabulary", type=int, default=768, help="tokens of the BPE")
    parser.add_argument("--lr", type=float, default=0.02, help="highest rate of the matrices (Muon)")
    parser.add_argument("--adam-lr", type=float, default=3e-3, help="highest rate of all else (AdamW)")
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    return parser.parse_args()


def shape(args: argparse.Namespace, tokenizer: Qwen2Tokenizer) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=args.width,
        intermediate_size=args.mlp,
        num_hidden_layers=args.blocks,
        num_attention_heads=args.heads,
        num_key_value_heads=args.heads // 2,
        max_position_embeddings=args.tokens,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        use_cache=True,
    )


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are orthogonal matrices (Jordan et al. 2024, Newton-Schulz of degree five), in fp32.

    torch.optim.Muon iterates in bf16, which a CPU without such units does a hundred times slower.
    """

    def __init__(self, parameters: list[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(state["momentum"], group["momentum"])
                size = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                parameter.add_(orthogonal(update), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about U V^T of the matrix's singular value decomposition."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if wide is matrix else x.T


def lm_loss(model: Qwen2ForCausalLM, tokens: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of the next-token losses of tokens (rows, n + 1) under weights (rows, n)."""
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    losses = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def schedule(step: int, steps: int) -> float:
    """Rise over 2% of the steps, stay, fall linearly to zero over the last 60%."""
    rise = max(1, steps // 50)
    return min((step + 1) / rise, 1.0, (steps - step) / (steps * 0.6))


def train_tokenizer(seed: int, vocabulary: int) -> Qwen2Tokenizer:
    """Train a BPE with Qwen2's own splitting of a text, so that any loader of Qwen2 reads texts alike."""
    core = Qwen2Tokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def texts() -> Iterator[str]:
        found = documents(stream(seed, "tokenizer"))
        for _ in range(20000):
            yield joined(next(found))
        for _ in range(2000):
            yield alphabet()

    core.train_from_iterator(texts(), trainer)
    learnt = json.loads(core.to_str())["model"]
    merges = [tuple(pair) for pair in learnt["merges"]]
    return Qwen2Tokenizer(vocab=learnt["vocab"], merges=merges, unk_token=END, eos_token=END, pad_token=END)


def joined(document: Document) -> str:
    return " ".join(piece for piece, _ in document)


def batch(
    tokenizer: Qwen2Tokenizer, args: argparse.Namespace, purpose: str, step: int, device: str
) -> tuple[Tensor, Tensor]:
    """Return rows of documents (rows, tokens + 1) and the weight of each prediction (rows, tokens).

    Every row begins with the beginning of a document.
    """
    found = documents(stream(args.seed, purpose, step))
    rows, weights = [], []
    for _ in range(args.rows):
        row: list[int] = []
        weight: list[float] = []
        while len(row) <= args.tokens:
            for number, (piece, known) in enumerate(next(found)):
                tokens = tokenizer(piece if number == 0 else f" {piece}")["input_ids"]
                row += tokens
                weight += [1.0 if known else args.told] * len(tokens)
            row.append(tokenizer.eos_token_id)
            weight.append(args.told)
        rows.append(row[: args.tokens + 1])
        weights.append(weight[1 : args.tokens + 1])
    return torch.tensor(rows, device=device), torch.tensor(weights, device=device)


def optimisers(model: Qwen2ForCausalLM, args: argparse.Namespace) -> tuple[Muon, torch.optim.AdamW]:
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    adam = torch.optim.AdamW(others, lr=args.adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return Muon(matrices, lr=args.lr), adam


def restore(path: Path, parts: Mapping[str, Any]) -> tuple[int, float]:
    """Load a checkpoint where there is one; return its step and the seconds spent so far."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    print(f"going on behind step {state['step']}", flush=True)
    return state["step"], state["seconds"]


def save(path: Path, parts: Mapping[str, Any], step: int, seconds: float) -> None:
    unfinished = path.with_suffix(".part")
    torch.save({**{n: part.state_dict() for n, part in parts.items()}, "step": step, "seconds": seconds}, unfinished)
    unfinished.replace(path)


@torch.no_grad()
def finish(
    args: argparse.Namespace, model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, device: str, seconds: float
) -> None:
    """Write the model in bf16, its tokenizer and its card; the held-out loss is that of what was written."""
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    held = [lm_loss(model, *batch(tokenizer, args, "held-out", n, device)).item() for n in range(8)]
    settings = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in vars(args).items() if k not in ("out", "save_every"))
    card = CARD.format(
        parameters=sum(p.numel() for p in model.parameters()),
        vocabulary=len(tokenizer),
        seed=args.seed,
        steps=args.steps,
        seen=args.steps * args.rows * args.tokens,
        loss=sum(held) / len(held),
        told=args.told,
        minutes=seconds / 60,
        device=device,
        settings=settings,
        torch=torch.__version__,
        blocks=args.blocks,
        width=args.width,
    )
    (args.out / "CARD.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
