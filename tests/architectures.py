"""Random tiny models of every architecture that we name, and of all that transformers has."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3", "gpt2", "opt")
"""Everyday architectures: they take every quick way."""

VOCABULARY = 300
_WIDE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip
_OLD = {
    "vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "d_model": 32, "n_embd": 32,
    "n_layer": 2, "n_layers": 2, "n_head": 4, "n_heads": 4, "n_positions": 128, "n_ctx": 128,
    "max_position_embeddings": 128, "max_seq_len": 128,
}  # fmt: skip
_DECODER = {
    "vocab_size": VOCABULARY, "d_model": 32, "hidden_size": 32, "decoder_layers": 2, "decoder_attention_heads": 4,
    "decoder_ffn_dim": 48, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "is_decoder": True,
    "is_encoder_decoder": False, "decoder_start_token_id": 1, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48,
}  # fmt: skip
_MAMBA = {
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 16,
    "mamba_d_ssm": 64, "mamba_d_conv": 4, "mamba_dt_rank": 4, "mamba_num_heads": 8, "mamba_head_dim": 8,
    "n_groups": 1, "ssm_state_size": 8, "state_size": 8, "chunk_size": 16, "time_step_rank": 4, "expand": 2,
}  # fmt: skip
_EXPERTS = {
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_topk": 2,
    "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24, "n_shared_experts": 1, "n_group": 1,
    "topk_group": 1, "moe_num_experts": 4, "moe_k": 2, "first_k_dense_replace": 1, "expert_ffn_hidden_size": 24,
}  # fmt: skip
_LATENT = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "index_n_heads": 2, "index_head_dim": 16, "index_topk": 64,
}  # fmt: skip
_LINEAR = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
}  # fmt: skip
_EVERYTHING = {**_OLD, **_WIDE, **_MAMBA, **_EXPERTS, **_LATENT, **_LINEAR}
_TRIED = (
    {**_WIDE, **_EXPERTS, **_LINEAR},
    {**_WIDE, **_LATENT, **_EXPERTS, "num_key_value_heads": 4},
    _WIDE,
    {**_WIDE, **_MAMBA, **_EXPERTS},
    _EVERYTHING,
    _OLD,
    _DECODER,
)
_OWN: dict[str, dict[str, Any]] = {
    "falcon_h1": {**_MAMBA, "lm_head_multiplier": 0.25, "attention_in_multiplier": 0.8},
    "gemma2": {"query_pre_attn_scalar": 8, "final_logit_softcapping": 5.0, "attn_logit_softcapping": 2.0},
    "gpt_neo": {
        "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 24,
        "num_hidden_layers": 2,
    },
    "hyperclovax": {"logits_scaling": 4.0},
    "granite": {"logits_scaling": 4.0},
    "cohere": {"logit_scale": 0.25},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
    "recurrent_gemma": {
        "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 64, "logits_soft_cap": 3.0,
    },
    "bamba": {**_MAMBA, "attn_layer_indices": [1]},
    "rwkv": {"attention_hidden_size": 32, "context_length": 128},
}  # fmt: skip
"""Settings that one architecture needs besides."""
LARGEST = 3_000_000
"""Weights of the largest model that counts as tiny."""


class NotTiny(Exception):
    """No tiny model of an architecture could be built; says why."""


def any_tiny(kind: str, **more: Any) -> nn.Module:
    """Return a random tiny model of the model type ``kind`` of transformers, its weights large enough to matter.

    Raises:
        NotTiny: none of the settings that are tried builds one.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    why = ""
    for settings in _TRIED:
        try:
            config = AutoConfig.for_model(kind, **{**settings, **_OWN.get(kind, {}), **more})
            with torch.device("meta"):
                shape = AutoModelForCausalLM.from_config(config)
            count = sum(p.numel() for p in shape.parameters())
            if count > LARGEST:
                why = why or f"{count} weights"
                continue
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config).float().eval()
            louder(model)
            with torch.no_grad():
                model(input_ids=torch.arange(3, 17)[None], use_cache=False)
        except Exception as error:  # most settings fit few architectures
            why = f"{type(error).__name__}: {error}"[:120]
            continue
        return model
    raise NotTiny(why)


def louder(model: nn.Module) -> None:
    """Draw the weights of ``model`` so large that what one token does to another shows."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not weight.is_floating_point() or any(part in name for part in ("A_log", "dt_bias", "rg_lru", "time_")):
                continue
            if weight.dim() >= 2:
                scale = 0.6 if weight.shape[0] == VOCABULARY else 0.3
                weight.copy_(torch.randn(weight.shape, generator=draw) * scale)
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.1)


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
