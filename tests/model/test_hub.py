"""A hub that does not answer ends in a sentence within seconds; one that does, and what was downloaded, are used."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from huggingface_hub import constants

from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.model import hub
from meshtune.model.loading import load
from meshtune.model.skeleton import skeleton


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where something answers."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub._answers.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    hub._answers.cache_clear()


def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_host_answers_or_does_not(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub._answers(f"http://{listening}")
    assert not hub._answers(f"http://{closed()}")
    assert not hub._answers("https://no-such-host.invalid")
    assert not hub._answers("nonsense")


def test_a_proxy_is_asked_instead_of_the_hub(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://{listening}")
    assert hub._answers("https://no-such-host.invalid")
    hub._answers.cache_clear()
    monkeypatch.setenv("https_proxy", closed())
    assert not hub._answers("https://no-such-host.invalid")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert hub._answers(f"https://{listening}")


def test_a_host_that_is_silent_is_not_waited_for(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "WAIT", 0.2)
    done = threading.Event()

    def silent(*_: object, **__: object) -> None:
        done.wait(60)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    started = time.perf_counter()
    assert not hub._answers("https://somewhere.invalid")
    assert time.perf_counter() - started < 5
    done.set()


def test_without_the_hub_a_name_ends_in_one_sentence_within_seconds(
    listening: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://{closed()}")
    started = time.perf_counter()
    said = r"model\.name=somebody/no-such: there is no such folder, 127\.0\.0\.1 does not answer, .* give the path"
    for ask in (load, skeleton):
        with pytest.raises(UserError, match=said) as caught:
            ask(ModelConfig(name="somebody/no-such"))
        assert str(caught.value).isprintable()
    assert time.perf_counter() - started < 10
    assert "".join(capfd.readouterr()) == ""
