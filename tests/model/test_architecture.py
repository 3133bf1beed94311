"""What a configuration says of a base: bounds, windows, room, and sentences for what cannot be adapted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    Cohere2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

from meshtune.errors import UserError
from meshtune.model import architecture
from meshtune.model.architecture import (
    UnreadError,
    check_room,
    first_line,
    is_gguf,
    outline,
    shape_of,
    source,
    unread,
    window_of,
)

FACTS: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 260, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "tie_word_embeddings": False,
}  # fmt: skip
PARAMETERS = 2 * 260 * 16 + 16 + 2 * (2 * 16 * 16 + 2 * 8 * 16 + 3 * 16 * 24 + 2 * 16)
"""Embeddings and head, the last norm, and by block q, o, k, v, three of the MLP and two norms."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, **changes: Any) -> str:
    (folder / "config.json").write_text(json.dumps({**FACTS, **changes}))
    return str(folder)


def test_a_folder_and_its_config_file_are_read_alike(folder: Path) -> None:
    name = written(folder)
    for where in (name, f"{name}/config.json"):
        shape = shape_of(where)
        assert (shape.model_type, shape.hidden_size, shape.num_hidden_layers) == ("llama", 16, 2)


@pytest.mark.parametrize(
    ("key", "most"),
    [("num_hidden_layers", 10_000), ("num_local_experts", 10_000), ("n_head", 10_000), ("depth", 10_000)],
)
def test_counts_are_bounded_and_sizes_are_not(folder: Path, key: str, most: int) -> None:
    shape_of(written(folder, **{key: most}))
    with pytest.raises(UserError, match=rf"{key}=1e\+04 of its config\.json is beyond 10,000: check its config\.json$"):
        shape_of(written(folder, **{key: most + 1}))
    shape_of(written(folder, vocab_size=200_000, bos_token_id=100_000))


def test_counts_within_and_lists_are_bounded_too(folder: Path) -> None:
    with pytest.raises(UserError, match=r"num_layers=2e\+04 of its config\.json is beyond 10,000"):
        shape_of(written(folder, vision_config={"num_layers": 20_000}))
    with pytest.raises(UserError, match=r"kinds_layers=1e\+04 of its config\.json is beyond 10,000"):
        shape_of(written(folder, kinds=["full"] * 10_001))


@pytest.mark.parametrize(
    ("settings", "bits", "said"),
    [
        (None, None, None),
        ({"load_in_8bit": True}, 8, None),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4, None),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 8, "rounded to 4 bits: set model.bits=4, or"),
        ({"load_in_8bit": True}, None, "rounded to 8 bits: set model.bits=8, or"),
        ({"quant_method": "gptq", "load_in_8bit": True}, 8, "were rounded (gptq), and only those"),
        ({"quant_method": "bitsandbytes"}, 8, "were rounded (bitsandbytes), and only those"),
        ("awq", None, "were rounded (awq), and only those"),
    ],
)
def test_weights_that_others_rounded_are_taken_only_in_their_own_bits(
    folder: Path, settings: Any, bits: int | None, said: str | None
) -> None:
    name = written(folder, **({} if settings is None else {"quantization_config": settings}))
    if said is None:
        assert shape_of(name, bits).hidden_size == 16
    else:
        with pytest.raises(UserError) as caught:
            shape_of(name, bits)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("config", "window"),
    [
        (LlamaConfig(max_position_embeddings=64), 1 << 30),
        (MistralConfig(sliding_window=40), 40),
        (MistralConfig(sliding_window=None), 1 << 30),
        (Gemma3TextConfig(sliding_window=16), 16),  # of every sixth layer's pattern 6 is no window
        (Cohere2Config(sliding_window=512, sliding_window_pattern=4), 512),
        (Qwen2Config(use_sliding_window=True, sliding_window=77, max_window_layers=3), 77),
        (GPTNeoConfig(window_size=24), 24),
        (GPT2Config(), 1 << 30),
        (LlamaConfig(rope_parameters={
            "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }), 32),
    ],
    ids=lambda one: one.model_type if hasattr(one, "model_type") else "",
)  # fmt: skip
def test_the_window_is_the_fewest_tokens_that_a_configuration_names_as_one(config: Any, window: int) -> None:
    assert window_of(config) == window


def test_a_model_is_laid_out_without_memory() -> None:
    model = outline(LlamaConfig(**{**FACTS, "hidden_size": 65536}), "mine")
    assert all(parameter.is_meta for parameter in model.parameters())
    shape = LlamaConfig(**FACTS)
    assert sum(parameter.numel() for parameter in outline(shape, "mine").parameters()) == PARAMETERS
    shape.hidden_size = -4
    with pytest.raises(UserError, match=r"^model\.name=mine: no causal language model can be built from its config"):
        outline(shape, "mine")


def test_weights_must_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their bytes, and one table of four angles in float32."""
    monkeypatch.setattr(architecture, "_memory", lambda: 4 * PARAMETERS + 31)
    shape = LlamaConfig(**FACTS)
    with pytest.raises(UserError, match=r"takes 0\.0 GiB, and this machine has 0\.0 GiB of memory: set model\.dtype"):
        check_room(shape, "mine", 4)
    check_room(shape, "mine", 2)
    monkeypatch.setattr(architecture, "_memory", lambda: 4 * PARAMETERS + 32)
    check_room(shape, "mine", 4)
    monkeypatch.setattr(architecture, "_memory", lambda: None)  # on a system that does not say
    check_room(shape, "mine", 4)


def test_files_must_be_able_to_hold_the_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte holds at most eight parameters of one bit each; small models are laid out without asking."""
    shape, held = LlamaConfig(**FACTS), -(-PARAMETERS // 8)
    monkeypatch.setattr(architecture, "QUICK", 10)
    monkeypatch.setattr(architecture, "_memory", lambda: None)
    (folder / "one.safetensors").write_bytes(b"x" * (held - 9))
    (folder / "two.bin").write_bytes(b"x" * 9)
    (folder / "tokenizer.json").write_bytes(b"x" * 999)  # holds no weights
    check_room(shape, str(folder), 4)
    (folder / "two.bin").write_bytes(b"x" * 8)
    said = rf"config\.json describes {PARAMETERS:,} parameters, and its weights' files have {held - 1:,} bytes: get the"
    with pytest.raises(UserError, match=said):
        check_room(shape, str(folder), 4)
    monkeypatch.setattr(architecture, "QUICK", PARAMETERS)
    check_room(shape, str(folder), 4)
    check_room(shape, "no/folder", 4)


def test_where_a_base_is_read_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "why_local", lambda: "HF_HUB_OFFLINE is set")
    never = {"trust_remote_code": False}
    assert source(str(folder)) == (str(folder), never)
    assert source("some/model") == ("some/model", {**never, "local_files_only": True})
    assert source("a/b.GGUF") == ("a", {**never, "gguf_file": "b.GGUF"})
    assert is_gguf("x.gguf")
    assert not is_gguf("gguf")
    monkeypatch.setattr(architecture, "why_local", lambda: None)
    assert source("some/model") == ("some/model", never)


def test_what_cannot_be_read_is_told_by_where_it_should_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError("no such thing.\nsecond line")
    monkeypatch.setattr(architecture, "why_local", lambda: "hub.example does not answer")
    assert str(unread(str(folder), "it broke", error)) == (
        f"model.name={folder}: it broke (no such thing): get its files again"
    )
    assert str(unread("some/model", "it broke", error)) == (
        "model.name=some/model: there is no such folder, hub.example does not answer, and no complete earlier "
        "download of the model exists: check the name and the network, or give the path of its folder"
    )
    said = "model.name=some/model: it broke (bad): check the name and the network"
    assert str(unread("some/model", "it broke", ValueError("bad"))) == said
    monkeypatch.setattr(architecture, "why_local", lambda: None)
    assert str(unread("some/model", "it broke", OSError("bad"))) == said
    assert isinstance(unread("some/model", "it broke", error), UnreadError)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first: \nsecond"), "first"),
        (ValueError("  \n leading"), "leading"),
        (KeyError(), "KeyError"),
        (ValueError("\x1b[2J"), "\\x1b[2J"),
        (ValueError("x" * 999), "x" * 299 + "…"),
    ],
)
def test_the_first_line_of_an_error_is_safe_to_show(error: Exception, line: str) -> None:
    assert first_line(error) == line
