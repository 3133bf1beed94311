"""Tokenizers of bytes and pieces that put tokens around every text."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PROMPT, OPTIONS = "Question: is 4 even?\nAnswer:", ("yes", "no", "certainly not")

BOS, EOS = 256, 257

AROUND = {"bare": "$A", "end": "$A </s>", "begin": "<s> $A", "both": "<s> $A </s>"}


def byte_core() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


def piece_core() -> Tokenizer:
    """SentencePiece's way: spaces become U+2581, one more stands in front, and pieces may hold it."""
    words = ["<unk>", *sorted({*PROMPT, *"".join(OPTIONS), "\u2581"} - {" "}), "\u2581y", "\u2581n", "es", "\u2581yes"]
    merges = [("\u2581", "y"), ("\u2581", "n"), ("e", "s"), ("\u2581y", "es")]
    core = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    return core


def dressed(core: Tokenizer, around: str) -> Any:
    core.add_special_tokens(["<s>", "</s>"])
    pairs = [(token, core.token_to_id(token)) for token in ("<s>", "</s>")]
    core.post_processor = processors.TemplateProcessing(single=AROUND[around], special_tokens=pairs)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
