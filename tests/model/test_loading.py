"""Where a base model may come from: a hub id, a folder, a GGUF file; each gives the same model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from architectures import ARCHITECTURES, tiny
from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.model.base import Base
from meshtune.model.loading import byte_tokenizer, load
from meshtune.model.packing import Packed

TEXT = "Question: what follows 4? Answer: 5"
HEADS, KV_HEADS = 4, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama over bytes in Hugging Face layout."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("models") / "tiny"
    core = byte_tokenizer().backend_tokenizer
    core.model = models.BPE(vocab={**core.get_vocab(), "qx": 256}, merges=[("q", "x")])  # a GGUF file needs a merge
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.save_pretrained(path)
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, max_position_embeddings=128, rope_theta=10000.0, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(3)
    LlamaForCausalLM(shape).save_pretrained(path)
    return path


def logits(base: Base) -> torch.Tensor:
    tokens = base.tokenizer.encode(TEXT, add_special_tokens=False)
    with torch.no_grad():
        return base.logits(base.read(Packed([tokens], base.device)))


def interleave(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Reorder the rows of q or k from two halves to pairs, as GGUF's Llama keeps them."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def write_gguf(base: Base, path: Path, without: str = "nothing") -> None:
    """Write the tiny Llama as an unquantised GGUF file, without the tensors whose names hold ``without``."""
    c = base.model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(c.hidden_size // HEADS)
    writer.add_vocab_size(c.vocab_size)
    vocabulary = base.tokenizer.get_vocab()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_types([gguf.TokenType.NORMAL] * len(vocabulary))
    writer.add_token_merges(["q x"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, c.num_hidden_layers)
    for name, value in base.model.state_dict().items():
        plain, _, kind = name.replace(".base.", ".").rpartition(".")
        tensor = value.detach().float()
        if without in name:
            continue
        if plain.endswith(("q_proj", "k_proj")):
            tensor = interleave(tensor, HEADS if plain.endswith("q_proj") else KV_HEADS)
        writer.add_tensor(f"{names.get_name(plain)}.{kind}", np.ascontiguousarray(tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_the_folders_model(folder: Path, tmp_path: Path) -> None:
    plain = load(ModelConfig(name=str(folder)))
    write_gguf(plain, tmp_path / "tiny.gguf")
    read = load(ModelConfig(name=str(tmp_path / "tiny.gguf")))
    assert [layer.name for layer in read.adapters.layers] == [layer.name for layer in plain.adapters.layers]
    torch.testing.assert_close(logits(read), logits(plain), rtol=1e-5, atol=1e-6)


def test_a_hub_id_is_looked_up_in_the_hubs_cache(folder: Path, tmp_path: Path) -> None:
    """The hub's own cache layout, offline: what is left of a download when the network is gone."""
    cache = tmp_path / "hub" / "models--somebody--tiny"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("abc123")
    shutil.copytree(folder, cache / "snapshots" / "abc123")
    code = (
        "from meshtune.model.loading import load; from meshtune.config.learning_config import ModelConfig\n"
        "print(load(ModelConfig(name='somebody/tiny')).parameters)"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == load(ModelConfig(name=str(folder))).parameters


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_frozen_and_have_the_dtype_asked_for(folder: Path, dtype: str) -> None:
    base = load(ModelConfig(name=str(folder), dtype=dtype))
    assert base.dtype == getattr(torch, dtype)
    assert not any(p.requires_grad for p in base.model.parameters())
    assert logits(base).dtype == torch.float32


def test_damaged_weights_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + b"\0" * 20)
    for name in (copy, tmp_path / "cut.gguf"):
        with pytest.raises(UserError, match=r"cannot be (loaded|read) .* get its files again") as caught:
            load(ModelConfig(name=str(name)))
        assert "\n" not in str(caught.value)


def test_a_gguf_file_without_a_tensor_is_refused(folder: Path, tmp_path: Path) -> None:
    write_gguf(load(ModelConfig(name=str(folder))), tmp_path / "tiny.gguf", without="layers.1.mlp.up_proj")
    with pytest.raises(UserError, match=r"lack 1 of .* tensors \(model\.layers\.1\.mlp\.up_proj\.weight\)"):
        load(ModelConfig(name=str(tmp_path / "tiny.gguf")))


@pytest.mark.parametrize("cut", [0, 3, 30, 2000, -100])
def test_a_cut_gguf_file_is_one_sentence(folder: Path, tmp_path: Path, cut: int) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(load(ModelConfig(name=str(folder))), file)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"cannot be (read|loaded) \(.*\): get its files again") as caught:
        load(ModelConfig(name=str(file)))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_comes_back_whole_from_its_folder(architecture: str, tmp_path: Path) -> None:
    """Nothing that these leave out of their files on purpose (tied heads, tables) counts as missing."""
    model = tiny(architecture)
    model.save_pretrained(tmp_path)
    core = Tokenizer(models.WordLevel({"?": 0, "Question": 1, ":": 2}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?").save_pretrained(tmp_path)
    found = load(ModelConfig(name=str(tmp_path)))
    tokens = torch.tensor([[1, 2, 0, 1]])
    with torch.no_grad():
        torch.testing.assert_close(found.model(tokens).logits, model.eval()(tokens).logits, rtol=1e-4, atol=1e-5)
    assert found.digest == load(ModelConfig(name=str(tmp_path))).digest


@pytest.mark.slow
def test_the_real_gguf_is_the_real_folder(real_model: Path) -> None:
    """SmolLM2 from its 4-bit GGUF file and from the bfloat16 folder made of it: the same to bfloat16's rounding."""
    file = real_model.with_suffix(".gguf")
    if not file.is_file():
        pytest.skip("MESHTUNE_MODELS holds no smollm2.gguf")
    read, plain = (logits(load(ModelConfig(name=str(name)))) for name in (file, real_model))
    assert (read - plain).abs().max() < 0.05 * plain.abs().max()
    assert (read.argmax(-1) == plain.argmax(-1)).float().mean() > 0.9
