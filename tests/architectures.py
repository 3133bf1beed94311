"""Random tiny models of every architecture that we name."""

from __future__ import annotations

import torch
from torch import nn

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3", "gpt2", "opt")


def tiny(architecture: str) -> nn.Module:
    """Return a random tiny model of ``architecture``."""
    import transformers as t

    common = {"vocab_size": 64, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": None}
    shape = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, **common,
    }  # fmt: skip
    torch.manual_seed(0)
    if architecture == "llama":
        return t.LlamaForCausalLM(t.LlamaConfig(**shape))
    if architecture == "qwen2":
        return t.Qwen2ForCausalLM(t.Qwen2Config(**shape))
    if architecture == "qwen3":
        return t.Qwen3ForCausalLM(t.Qwen3Config(**shape))
    if architecture == "gemma3":
        return t.Gemma3ForCausalLM(t.Gemma3TextConfig(**shape, sliding_window=16, pad_token_id=0))
    if architecture == "opt":
        return t.OPTForCausalLM(
            t.OPTConfig(
                hidden_size=32,
                ffn_dim=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                word_embed_proj_dim=32,
                dropout=0.0,
                pad_token_id=0,
                **common,
            )
        )
    return t.GPT2LMHeadModel(
        t.GPT2Config(
            vocab_size=64,
            n_positions=64,
            n_embd=32,
            n_layer=2,
            n_head=4,
            bos_token_id=None,
            eos_token_id=None,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    )
