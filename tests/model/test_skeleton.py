"""A model without weights has the same adapted layers as the loaded one, and the published numbers of parameters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from architectures import ARCHITECTURES, tiny
from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.model.loading import load
from meshtune.model.skeleton import Skeleton, known, skeleton

PUBLISHED = {
    "qwen2.5-0.5b": (494_032_768, 24, 896),
    "qwen2.5-1.5b": (1_543_714_304, 28, 1536),
    "qwen2.5-3b": (3_085_938_688, 36, 2048),
    "qwen2.5-7b": (7_615_616_512, 28, 3584),
    "smollm2-135m": (134_515_008, 30, 576),
    "smollm2-360m": (361_821_120, 32, 960),
    "smollm2-1.7b": (1_711_376_384, 24, 2048),
    "llama-3.2-1b": (1_235_814_400, 16, 2048),
    "llama-3.2-3b": (3_212_749_824, 28, 3072),
    "llama-3.1-8b": (8_030_261_248, 32, 4096),
}


def same_as_loaded(name: str, per_layer: bool = False) -> Skeleton:
    found, base = skeleton(ModelConfig(name=name), per_layer), load(ModelConfig(name=name), per_layer)
    assert list(found.layers) == base.adapters.layers
    assert (found.parameters, found.width, found.blocks) == (base.parameters, base.width, len(base.blocks))
    return found


@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("name", ["tiny-random", "embedded"])
def test_layers_are_those_of_the_loaded_model(name: str, per_layer: bool) -> None:
    assert same_as_loaded(name, per_layer).name == name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_the_layers_of_the_loaded_model(architecture: str, tmp_path: Path) -> None:
    """From a folder with nothing but config.json; the loaded one is adapted in memory."""
    from meshtune.adapter.layer import Adapters

    model = tiny(architecture)
    parameters = sum(p.numel() for p in model.parameters())
    model.config.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    found = skeleton(ModelConfig(name=str(tmp_path)))
    assert list(found.layers) == Adapters(model).layers
    assert (found.parameters, found.blocks) == (parameters, 2)
    assert skeleton(ModelConfig(name=str(tmp_path / "config.json"))).layers == found.layers


def test_the_real_model(real_model: Path) -> None:
    found = same_as_loaded(str(real_model))
    assert found.layers == skeleton(ModelConfig(name="smollm2-135m")).layers
    assert found.parameters == PUBLISHED["smollm2-135m"][0]


@pytest.mark.slow
def test_the_real_gguf_file(real_model: Path) -> None:
    file = real_model.with_suffix(".gguf")
    if not file.is_file():
        pytest.skip("MESHTUNE_MODELS holds no smollm2.gguf")
    assert skeleton(ModelConfig(name=str(file))).layers == skeleton(ModelConfig(name=str(real_model))).layers


@pytest.mark.parametrize("name", PUBLISHED)
def test_known_models_have_the_published_parameters(name: str) -> None:
    found = skeleton(ModelConfig(name=name))
    assert (found.parameters, found.blocks, found.width) == PUBLISHED[name]
    assert known()[name].parameters == PUBLISHED[name][0]
    assert len(found.layers) == 7 * found.blocks
    for hub in known()[name].hub:
        assert skeleton(ModelConfig(name=hub)).layers == found.layers


def test_every_known_model_is_checked_here() -> None:
    assert set(known()) == set(PUBLISHED)


def test_a_known_model_needs_no_network(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from meshtune.model.skeleton import skeleton; from meshtune.config.learning_config import ModelConfig\n"
        "print(skeleton(ModelConfig(name='Qwen/Qwen2.5-7B-Instruct')).parameters)"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "7615616512"


def test_a_folder_goes_before_a_known_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny("llama").config.save_pretrained(tmp_path / "qwen2.5-7b")
    monkeypatch.chdir(tmp_path)
    assert skeleton(ModelConfig(name="qwen2.5-7b")).blocks == 2


def test_a_variable_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny("gpt2").config.save_pretrained(tmp_path / "gpt")
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    assert skeleton(ModelConfig(name="$SOMEWHERE/gpt")).blocks == 2


def test_any_other_hub_id_is_looked_up_in_what_was_downloaded(tmp_path: Path) -> None:
    cache = tmp_path / "hub" / "models--somebody--tiny"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("abc123")
    tiny("qwen2").config.save_pretrained(cache / "snapshots" / "abc123")
    code = (
        "from meshtune.errors import UserError; from meshtune.config.learning_config import ModelConfig\n"
        "from meshtune.model.skeleton import skeleton\n"
        "print(skeleton(ModelConfig(name='somebody/tiny')).blocks)\n"
        "try: skeleton(ModelConfig(name='somebody/else'))\n"
        "except UserError as error: print(error)"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    blocks, message = done.stdout.strip().splitlines()
    assert blocks == "2"
    assert message.startswith("model.name=somebody/else: there is no such folder, HF_HUB_OFFLINE is set")
    assert "qwen2.5-7b" in message


def test_bad_configurations_are_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    with pytest.raises(UserError, match=r"has no config\.json"):
        skeleton(ModelConfig(name=str(folder)))
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="its configuration cannot be read"):
        skeleton(ModelConfig(name=str(folder)))
    with pytest.raises(UserError, match=r"there is no such file; it should be a model's config\.json"):
        skeleton(ModelConfig(name=str(tmp_path / "missing.json")))
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + b"\0" * 20)
    with pytest.raises(UserError, match="its configuration cannot be read"):
        skeleton(ModelConfig(name=str(tmp_path / "cut.gguf")))
    for facts in ({"model_type": "vit"}, {"model_type": "llama", "hidden_size": -4}):
        (folder / "config.json").write_text(json.dumps(facts))
        with pytest.raises(UserError, match=r"model\.name=") as caught:
            skeleton(ModelConfig(name=str(folder)))
        assert "\n" not in str(caught.value)


def test_weights_are_still_asked_for_where_a_model_is_loaded(tmp_path: Path) -> None:
    tiny("llama").config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="holds no weights"):
        load(ModelConfig(name=str(tmp_path)))
    shutil.copy(tmp_path / "config.json", tmp_path / "other.json")
    with pytest.raises(UserError, match="is a file: give the folder that holds the model"):
        load(ModelConfig(name=str(tmp_path / "other.json")))
