"""A base that is not whole, not of a piece, or not a causal language model is refused in one sentence, quickly."""

from __future__ import annotations

import json
import pickle
import shutil
import time
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AddedToken, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.model.encoding import plain
from meshtune.model.loading import byte_tokenizer, load, locate
from meshtune.model.quantisation import in_bits
from meshtune.model.skeleton import skeleton
from meshtune.seeds import stream

ROWS = 260
Break = Callable[[Path], None]


def shape(**changes: Any) -> LlamaConfig:
    facts: dict[str, Any] = {
        "vocab_size": ROWS, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
        "bos_token_id": None, "eos_token_id": None, "tie_word_embeddings": False,
    }  # fmt: skip
    return LlamaConfig(**{**facts, **changes})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama over bytes, with four rows more than there are bytes."""
    path = tmp_path_factory.mktemp("bases") / "whole"
    torch.manual_seed(0)
    LlamaForCausalLM(shape()).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "base"))


def config(**changes: Any) -> Break:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        facts = {**json.loads(file.read_text()), **changes}
        file.write_text(json.dumps({key: value for key, value in facts.items() if value != "gone"}))

    return change


def raw(file: str, content: str | bytes) -> Break:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / file).write_bytes(data) and None


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Break:
    def act(folder: Path) -> None:
        held = load_file(folder / "model.safetensors")
        held = change(held) or held
        save_file(held, folder / "model.safetensors", metadata={"format": "pt"})

    return act


def drop(*parts: str) -> Break:
    return tensors(lambda held: {k: v for k, v in held.items() if not any(part in k for part in parts)})


def put(name: str, value: float) -> Break:
    def change(held: dict[str, torch.Tensor]) -> None:
        held[name].view(-1)[3] = value

    return tensors(change)


def cut(file: str, keep: int) -> Break:
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:keep]) and None


def gone(*files: str) -> Break:
    return lambda folder: [(folder / file).unlink() for file in files] and None


def sharded(folder: Path) -> None:
    LlamaForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="8KB")
    (folder / "model.safetensors").unlink()
    sorted(folder.glob("model-*.safetensors"))[1].unlink()


class Bomb:
    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self) -> Any:
        return (open, (self.file, "w"))


def pickled(folder: Path) -> None:
    torch.save({"model.embed_tokens.weight": Bomb(folder / "executed")}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def old_pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder / "executed")))
    (folder / "model.safetensors").unlink()


def remote(**changes: Any) -> Break:
    code = "open(__file__ + '.executed', 'w')\nclass C: pass\nclass M: pass\n"

    def change(folder: Path) -> None:
        (folder / "own.py").write_text(code)
        config(auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}, **changes)(folder)

    return change


def tokenizer(core: Tokenizer, **more: Any) -> Break:
    def change(folder: Path) -> None:
        for file in folder.glob("tokenizer*"):
            file.unlink()
        PreTrainedTokenizerFast(tokenizer_object=core, **more).save_pretrained(folder)

    return change


def added(*tokens: str, special: bool = False) -> Break:
    def change(folder: Path) -> None:
        made = byte_tokenizer()
        made.add_tokens([AddedToken(token, special=special) for token in tokens], special_tokens=special)
        made.save_pretrained(folder)

    return change


def words(*known: str) -> Tokenizer:
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return core


def both(*steps: Break) -> Break:
    def act(folder: Path) -> None:
        for step in steps:
            step(folder)

    return act


def empty_archive(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w"):
        pass


UP = "model.layers.1.mlp.up_proj.weight"
DEEP = "[" * 100_000
CASES: dict[str, tuple[Break, str]] = {
    "head": (drop("lm_head"), r"lack 1 of the model's 21 tensors \(lm_head\.weight\): get the whole model"),
    "block": (
        drop("layers.1."),
        r"lack 9 of .* 21 tensors \(model\.layers\.1\.input_layernorm\.weight, .*, …\)",
    ),
    "embeddings of a tied model": (
        both(config(tie_word_embeddings=True), drop("embed_tokens", "lm_head")),
        r"lack .* of the model's 21 tensors \(.*model\.embed_tokens\.weight",
    ),
    "prefix": (
        tensors(lambda held: {f"net.{k}": v for k, v in held.items()}),
        r"lack 21 of .* and hold them under names that begin with net\.",
    ),
    "renamed": (
        tensors(lambda held: {k.replace("up_proj", "w3"): v for k, v in held.items()}),
        r"lack 2 of .* and hold 2 that it does not know \(model\.layers\.0\.mlp\.w3\.weight, ",
    ),
    "no tensor": (tensors(lambda held: {"x": torch.zeros(1)}), "lack 21 of the model's 21 tensors"),
    "empty file": (raw("model.safetensors", b""), "its weights cannot be loaded"),
    "empty header": (raw("model.safetensors", b"\2\0\0\0\0\0\0\0{}"), "cannot be loaded|lack 21 of"),
    "cut header": (cut("model.safetensors", 100), "its weights cannot be loaded"),
    "cut weights": (cut("model.safetensors", 9000), "its weights cannot be loaded"),
    "header of 2^60 bytes": (raw("model.safetensors", b"\0" * 7 + b"\x10{}"), "its weights cannot be loaded"),
    "shard": (sharded, "its weights cannot be loaded|lack"),
    "index is a list": (
        both(gone("model.safetensors"), raw("model.safetensors.index.json", "[]"), raw("model-1.safetensors", b"")),
        "its weights cannot be loaded",
    ),
    "pickle with code": (pickled, "its weights cannot be loaded"),
    "old pickle with code": (old_pickle, "its weights cannot be loaded"),
    "empty archive": (empty_archive, "its weights cannot be loaded"),
    "folder for a file": (
        both(gone("model.safetensors"), lambda folder: (folder / "model.safetensors").mkdir()),
        "its weights cannot be loaded",
    ),
    "NaN": (put(UP, float("nan")), rf"{UP} holds a weight that is not a number \(NaN\)"),
    "infinity": (put("model.norm.weight", float("-inf")), "model.norm.weight holds a weight that is infinite"),
    "more blocks than said": (
        config(num_hidden_layers=1),
        r"hold tensors of blocks \(9\) that its config.json",
    ),
    "biases that nobody wants": (
        tensors(lambda held: held.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(16)})),
        r"hold tensors of blocks \(1\)",
    ),
    "fewer blocks than said": (config(num_hidden_layers=3), "lack 9 of the model's 30 tensors"),
    "vocabulary": (config(vocab_size=300), r"has the shape \(260, 16\) in its weights' file and \(300, 16\) by its"),
    "width": (config(hidden_size=32), "has the shape"),
    "width 10^9": (config(hidden_size=10**9), r"describes [\d,]+ parameters, and its weights' files have [\d,]+ bytes"),
    "width -4": (config(hidden_size=-4), "no hidden_size above 0|cannot be"),
    "width 0": (config(hidden_size=0), "no hidden_size above 0|cannot be"),
    "width of words": (config(hidden_size="wide"), "cannot be"),
    "sizes missing": (config(hidden_size="gone", num_hidden_layers="gone", intermediate_size="gone"), "parameters"),
    "layers 10^9": (config(num_hidden_layers=10**9), r"num_hidden_layers=1e\+09 of its config.json is beyond 10,000"),
    "layers 10^400": (config(num_hidden_layers=10**400), "is beyond 10,000"),
    "layer types": (config(layer_types=["full_attention"] * 20_000), "is beyond 10,000"),
    "heads": (config(num_attention_heads=7), "cannot be|no causal language model can be built|has the shape"),
    "experts of another": (config(model_type="mixtral", num_local_experts=10**8), "num_local_experts=.* is beyond"),
    "another architecture": (config(model_type="qwen2"), "lack 6 of the model's 27 tensors"),
    "encoder-decoder": (raw("config.json", '{"model_type": "t5", "d_model": 16}'), r"is an encoder-decoder \(t5\)"),
    "bart": (raw("config.json", '{"model_type": "bart", "d_model": 16}'), r"is an encoder-decoder \(bart\)"),
    "pictures": (raw("config.json", '{"model_type": "vit"}'), r"is not a causal language model \(vit\)"),
    "unknown type": (
        config(model_type="no\nsuch"),
        r"model_type=no\\nsuch of its config.json is unknown",
    ),
    "type of a list": (config(model_type=["llama"]), "is unknown to transformers"),
    "no type": (config(model_type="gone"), "names no model_type"),
    "no JSON": (raw("config.json", "{"), "its configuration cannot be read"),
    "no text": (raw("config.json", b"\xff\xfe\0"), "its configuration cannot be read"),
    "a list": (raw("config.json", "[1]"), "no JSON object"),
    "nested": (raw("config.json", DEEP), "its configuration cannot be read"),
    "nested within": (raw("config.json", '{"model_type": "llama", "rope_parameters": ' + DEEP), "cannot be read"),
    "nested as deep as is read": (
        raw("config.json", '{"model_type": "llama", "a": ' + '{"a": ' * 800 + "1" + "}" * 801),
        "cannot be|parameters",
    ),
    "huge": (raw("config.json", " " * (9 << 20)), "is larger than 8 MiB"),
    "gptq": (config(quantization_config={"quant_method": "gptq", "bits": 4}), r"were rounded \(gptq\)"),
    "awq": (config(quantization_config={"quant_method": "awq"}), r"were rounded \(awq\)"),
    "method unknown": (config(quantization_config={"quant_method": "x\x1b[2J"}), r"were rounded \(x\\x1b\[2J\)"),
    "method a list": (config(quantization_config=["gptq"]), "were rounded"),
    "bitsandbytes": (
        config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}),
        "rounded to 4 bits: set model.bits=4",
    ),
    "code of its own": (remote(model_type="mine"), "needs code that comes with it, which is not run here"),
    "adapter": (raw("adapter_config.json", "{}"), "holds an adapter: merge it"),
    "no tokenizer": (gone("tokenizer.json", "tokenizer_config.json"), "the folder holds no tokenizer"),
    "no tokenizer but its settings": (gone("tokenizer.json"), "the folder holds no tokenizer"),
    "tokenizer {}": (raw("tokenizer.json", "{}"), "its tokenizer cannot be loaded"),
    "tokenizer cut": (cut("tokenizer.json", 500), "its tokenizer cannot be loaded"),
    "tokenizer nested": (raw("tokenizer.json", DEEP), "its tokenizer cannot be loaded"),
    "tokenizer settings nested": (raw("tokenizer_config.json", DEEP), "its tokenizer cannot be loaded"),
    "tokenizer settings a list": (raw("tokenizer_config.json", "[]"), "its tokenizer cannot be loaded"),
    "tokenizer without words": (tokenizer(Tokenizer(models.BPE())), "makes no token of ordinary text"),
    "tokenizer of another tongue": (
        tokenizer(words("[UNK]", "ja", "nein"), unk_token="[UNK]"),
        "makes only unknown tokens of ordinary text",
    ),
    "token beyond the rows": (
        added("qq", "ww", "ee", "rr", "tt"),
        r"gives token 260 \(.*\), .* rows for 260",
    ),
    "end beyond the rows": (
        tokenizer(words("[UNK]", *map(str, range(260)), "</s>", "Question"), unk_token="[UNK]", eos_token="</s>"),
        "gives token 26",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_broken_base_is_one_sentence(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, said = CASES[name]
    make(folder)
    capfd.readouterr()
    started = time.perf_counter()
    with pytest.raises(UserError, match=said) as caught:
        load(ModelConfig(name=str(folder), device="cpu"))
    assert time.perf_counter() - started < 10
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 800
    assert not list(folder.rglob("*executed*"))
    assert "".join(capfd.readouterr()).count("\n") == 0


def same(name: Path, whole: Path) -> bool:
    """Whether the base at ``name`` is that of ``whole``."""
    return load(ModelConfig(name=str(name))).digest == load(ModelConfig(name=str(whole))).digest


def shards(folder: Path) -> None:
    LlamaForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="8KB")
    (folder / "model.safetensors").unlink()


def archive(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


SOUND: dict[str, Break] = {
    "as it is": both(),
    "in shards": shards,
    "as an archive of tensors": archive,
    "without the name of its head": tensors(
        lambda held: (
            {k.removeprefix("model."): v for k, v in held.items() if k != "lm_head.weight"}
            | {"lm_head.weight": held["lm_head.weight"]}
        )
    ),
    "with code that is not needed": remote(),
    "with rotary tables": tensors(
        lambda held: held.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    ),
    "with a part that sees": tensors(lambda held: held.update({"vision.layers.0.q_proj.weight": torch.ones(4)})),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_whole_base_is_taken_as_it_is(name: str, folder: Path, whole: Path) -> None:
    SOUND[name](folder)
    assert same(folder, whole)
    assert not list(folder.rglob("*executed*"))


def test_a_tied_head_need_not_be_in_the_file(folder: Path) -> None:
    config(tie_word_embeddings=True)(folder)
    drop("lm_head")(folder)
    model = load(ModelConfig(name=str(folder))).model
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_special_tokens_beyond_the_rows_are_let_be_where_no_text_gives_them(folder: Path) -> None:
    """Gemma-3's <image_soft_token> is one, and the padding token of many a model that was trained further."""
    added(*(f"<image{i}>" for i in range(9)), special=True)(folder)
    base = load(ModelConfig(name=str(folder)))
    assert max(base.tokenizer.get_vocab().values()) >= ROWS
    assert max(plain(base.tokenizer, "what is in <image8>?")) < 256


def test_weights_beyond_float16_say_so_and_the_remedy_works(folder: Path) -> None:
    put(UP, 1e6)(folder)
    with pytest.raises(UserError, match=rf"{UP} is beyond 65,504, .*: set model.dtype=bfloat16 or float32"):
        load(ModelConfig(name=str(folder), dtype="float16"))
    for dtype in ("bfloat16", "float32"):
        load(ModelConfig(name=str(folder), dtype=dtype))


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_weights_that_bitsandbytes_rounded_are_taken_in_the_bits_they_have(folder: Path) -> None:
    rounded = AutoModelForCausalLM.from_pretrained(folder, **in_bits(4, torch.float32, "cpu"))
    rounded.save_pretrained(folder)
    with pytest.raises(UserError, match=r"rounded to 4 bits: set model\.bits=4"):
        load(ModelConfig(name=str(folder), device="cpu"))
    assert load(ModelConfig(name=str(folder), device="cpu", bits=4)).adapters.layers


@pytest.mark.parametrize("dtype", ["int8", "float8_e4m3fn", "complex64", "nonsense", "nn", ""])
def test_a_type_that_cannot_be_learnt_on_is_refused(dtype: str) -> None:
    with pytest.raises(UserError, match=r"is not a floating-point type that can be learnt on: use float32"):
        load(ModelConfig(dtype=dtype))


@pytest.mark.parametrize("device", ["meta", "cuda:77", "banana", ""])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(UserError, match=r"cannot be used \(.*\): cpu always can"):
        load(ModelConfig(name="tiny-random", device=device))


def test_names_that_are_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lone.gguf").mkdir()
    monkeypatch.chdir(folder)
    said = {
        "config.json": "is a file: give the folder that holds the model, or a .gguf file",
        str(folder / "model.safetensors"): "is a file",
        str(folder / "lone.gguf"): "there is no such GGUF file",
        "": "is not a model name",
        "  ": "is not a model name",
        "a\x1b[31mb": r"model\.name=a\\x1b\[31mb is not a model name",
        "y" * 900: "cannot be opened",
        "./nowhere": "there is no such file or folder",
    }
    for name, words_ in said.items():
        with pytest.raises(UserError, match=words_):
            locate(ModelConfig(name=name))


@pytest.mark.parametrize("name", ["encoder-decoder", "nested", "layers 10^9", "gptq", "code of its own", "a list"])
def test_a_plan_refuses_what_a_run_refuses(name: str, folder: Path) -> None:
    make, said = CASES[name]
    make(folder)
    with pytest.raises(UserError, match=said):
        skeleton(ModelConfig(name=str(folder)))


@pytest.mark.parametrize("flips", [8, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_the_header_is_refused_or_changes_nothing(folder: Path, whole: Path, flips: int) -> None:
    """Of each bit drawn: one sentence, or the very same base; never another one."""
    file = folder / "model.safetensors"
    good = file.read_bytes()
    length = 8 + int.from_bytes(good[:8], "little")
    right = load(ModelConfig(name=str(whole))).digest
    refused = 0
    for bit in stream(0, "flips").integers(length * 8, size=flips):
        data = bytearray(good)
        data[int(bit) // 8] ^= 1 << int(bit) % 8
        file.write_bytes(data)
        try:
            assert load(ModelConfig(name=str(folder))).digest == right
        except UserError:
            refused += 1
    assert refused > 0.7 * flips
