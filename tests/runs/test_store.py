"""A run's folder survives crashes and full disks, and is never mistaken for another's."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from meshtune.errors import UserError
from meshtune.runs import store as module
from meshtune.runs.checksums import sealed
from meshtune.runs.disk import sweep
from meshtune.runs.store import RunStore

CONFIG: dict[str, Any] = {"seed": 0, "adapter": {"rank": 4, "sites": ["mlp_in"]}, "data": None}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", CONFIG)


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk thousands of times takes minutes, and shows nothing where no power is cut."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


def names(store: RunStore) -> set[str]:
    return {file.name for file in store.path.iterdir()}


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"event": "note", "n": number, **more}


def scoring(number: int, **more: Any) -> dict[str, Any]:
    fixed = {"method": "lora", "devices": [0], "task": f"t{number}", "round": 1, "signature": "s"}
    return {**fixed, "questions": ["q"], "nll": [0.5], **more}


FIRST = {"config.json", "manifest.json"}


def one_sentence(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# The folder


def test_a_new_run_is_made_with_its_parents_and_opened_again(tmp_path: Path) -> None:
    made = RunStore.create(tmp_path / "a" / "b", CONFIG)
    assert names(made) == FIRST
    assert RunStore.exists(made.path)
    assert RunStore.open(made.path).config() == CONFIG
    assert RunStore.open(made.path).events() == []
    assert RunStore.open(made.path).read_scores() == []


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    RunStore.check_free(tmp_path / "none")
    RunStore.check_free(tmp_path)
    assert RunStore.create(tmp_path, CONFIG).config() == CONFIG


def test_a_folder_with_another_run_is_refused(store: RunStore) -> None:
    with pytest.raises(UserError, match="holds another run") as caught:
        RunStore.create(store.path, {**CONFIG, "seed": 1})
    assert str(store.path) in one_sentence(caught)
    assert store.config() == CONFIG


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for refuse in (RunStore.check_free, lambda path: RunStore.create(path, CONFIG)):
        with pytest.raises(UserError, match="holds files that are not a run") as caught:
            refuse(tmp_path)
        assert str(tmp_path) in one_sentence(caught)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        RunStore.create(file, CONFIG)
    with pytest.raises(UserError, match="cannot be written"):
        RunStore.create(file / "below", CONFIG)
    assert file.read_text() == "mine"


def test_only_a_run_can_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no run: it has no config\.json"):
        RunStore.open(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"", b"[" * 100_000, b'{"seed": NaN}'])
def test_a_configuration_that_cannot_be_read_is_taken_from_the_manifest(store: RunStore, content: bytes) -> None:
    whole = (store.path / "config.json").read_bytes()
    (store.path / "config.json").write_bytes(content)
    assert store.config() == CONFIG
    notes = store.repair()
    assert len(notes) == 1
    assert "config.json is damaged" in notes[0]
    assert (store.path / "config.json").read_bytes() == whole
    assert store.repair() == []
    (store.path / "config.json").write_bytes(content)
    (store.path / "manifest.json").write_bytes(content)
    for act in (store.config, store.repair):
        with pytest.raises(UserError, match=r"(config|manifest)\.json is damaged"):
            act()


# The configuration


def test_the_same_configuration_passes(store: RunStore) -> None:
    store.check_config(CONFIG)
    store.check_config({**CONFIG, "adapter": {"sites": ("mlp_in",), "rank": 4}})  # as JSON knows it


def test_a_difference_is_shown_key_by_key(store: RunStore) -> None:
    other = {"seed": 3, "adapter": {"rank": 8, "sites": ["mlp_in"]}, "data": "d", "extra": {"on": True}}
    with pytest.raises(UserError) as caught:
        store.check_config(other)
    text = one_sentence(caught)
    assert 'adapter.rank: 4 -> 8; data: null -> "d"; extra.on: null -> true; seed: 0 -> 3' in text
    assert "sites" not in text


def test_a_configuration_of_something_else_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": 576}')
    with pytest.raises(UserError, match="holds files that are not a run"):
        RunStore.open(tmp_path).check_config(CONFIG)


def test_an_edited_configuration_is_refused_with_the_key_until_it_is_put_back(store: RunStore) -> None:
    whole = (store.path / "config.json").read_text()
    (store.path / "config.json").write_text(whole.replace('"rank": 4', '"rank": 5'))
    for act in (store.config, lambda: store.check_config(CONFIG)):
        with pytest.raises(
            UserError, match=r"config\.json was edited .*\(adapter\.rank: 4 -> 5\): undo that"
        ) as caught:
            act()
        one_sentence(caught)
    (store.path / "config.json").write_text(json.dumps(json.loads(whole)))  # layout does not matter
    assert store.config() == CONFIG


# The logs


@pytest.mark.parametrize(
    "append, read, make, name",
    [
        (RunStore.append, RunStore.events, event, "events.jsonl"),
        (RunStore.append_scores, RunStore.read_scores, scoring, "scores.jsonl"),
    ],
)
@pytest.mark.usefixtures("unsynced")
def test_a_log_cut_at_any_byte_loses_only_the_last_record(
    store: RunStore,
    append: Callable[[RunStore, dict[str, Any]], None],
    read: Callable[[RunStore], list[dict[str, Any]]],
    make: Callable[..., dict[str, Any]],
    name: str,
) -> None:
    """A crash while a line is written: the manifest does not count it yet."""
    first, last, after = make(1, text="é\n\u2028\r"), make(2, text="日本", deep={"a": [1]}), make(3)
    append(store, first)
    start = (store.path / name).stat().st_size
    counted = (store.path / "manifest.json").read_bytes()
    append(store, last)
    assert read(store) == [first, last]
    whole = (store.path / name).read_bytes()
    for length in range(start, len(whole)):
        (store.path / name).write_bytes(whole[:length])
        (store.path / "manifest.json").write_bytes(counted)
        kept = [first, last] if length == len(whole) - 1 else [first]  # only the newline is missing
        again = RunStore.open(store.path)
        assert read(again) == kept
        assert again.repair() == []
        append(again, after)
        assert read(again) == [*kept, after]


@pytest.mark.parametrize(
    "append, read, make, name",
    [
        (RunStore.append, RunStore.events, event, "events.jsonl"),
        (RunStore.append_scores, RunStore.read_scores, scoring, "scores.jsonl"),
    ],
)
@pytest.mark.usefixtures("unsynced")
def test_a_log_that_lost_what_was_counted_says_so_and_keeps_the_rest(
    store: RunStore,
    append: Callable[[RunStore, dict[str, Any]], None],
    read: Callable[[RunStore], list[dict[str, Any]]],
    make: Callable[..., dict[str, Any]],
    name: str,
) -> None:
    """Cut at every third byte, every line taken out, a bit flipped in every byte of one line."""
    records = [make(n) for n in range(4)]
    for record in records:
        append(store, record)
    file, counted = store.path / name, (store.path / "manifest.json").read_bytes()
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    spoilt = [whole[:length] for length in range(0, len(whole) - 1, 3)]
    spoilt += [b"".join(lines[:n] + lines[n + 1 :]) for n in range(4)]
    at = len(lines[0])
    spoilt += [
        whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        for place in range(at, at + len(lines[1]) - 1)
    ]
    for content in spoilt:
        file.write_bytes(content)
        (store.path / "manifest.json").write_bytes(counted)
        again = RunStore.open(store.path)
        with pytest.raises(UserError, match=r"is damaged: .*cannot be read or is gone") as caught:
            read(again)
        one_sentence(caught)
        (note,) = again.repair()
        assert name in note
        kept = read(again)
        assert [record for record in records if record in kept] == kept != records
        append(again, make(9))
        assert read(RunStore.open(store.path)) == [*kept, make(9)]


def test_lines_that_stand_there_again_change_nothing(store: RunStore) -> None:
    for number in range(3):
        store.append_scores(scoring(number))
    file = store.path / "scores.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines, *lines[::-1], lines[1]]))
    assert store.read_scores() == [scoring(number) for number in range(3)]
    store.append_scores(scoring(0, devices=[0, 1]), scoring(2, nll=[0.25]))  # under numbers of their own
    assert store.read_scores() == [scoring(1), scoring(0, devices=[0, 1]), scoring(2, nll=[0.25])]


@pytest.mark.parametrize(
    "record", [{}, {"event": 3}, {"event": "scored"}, {"event": "scored", "seconds": "1", "signature": "s"}]
)
def test_what_is_no_event_is_damage(store: RunStore, record: dict[str, Any]) -> None:
    store.append(event(1))
    store.append(record)
    with pytest.raises(UserError, match=r"events\.jsonl is damaged: line 2"):
        store.events()
    assert len(store.repair()) == 1
    assert store.events() == [event(1)]


def test_numbers_that_are_not_finite_become_null(store: RunStore) -> None:
    store.append(event(1, losses={"a": float("nan"), "b": [float("inf"), 1.5]}))
    assert store.events() == [event(1, losses={"a": None, "b": [None, 1.5]})]
    store.write_json("results.json", {"a": float("-inf")})
    assert json.loads((store.path / "results.json").read_text())["a"] is None


# Checkpoints


def test_tensors_and_facts_come_back_bit_for_bit(store: RunStore) -> None:
    flat = torch.tensor([1.0, float("nan"), -0.0, float("inf")])
    tensors = {
        "flat": flat,
        "view": flat[1:],
        "turned": torch.arange(6).reshape(2, 3).T,
        "half": flat.bfloat16(),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2),
    }
    store.save("prepare", tensors, {"text": "é", "list": [1, None]})
    found, facts = store.load("prepare")
    assert facts == {"text": "é", "list": [1, None]}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, equal_nan=True)
    assert torch.signbit(found["flat"][2])
    assert names(store) == FIRST | {"prepare.safetensors"}


def test_a_loaded_checkpoint_outlives_its_file(store: RunStore) -> None:
    store.save("prepare", {"a": torch.arange(1000)}, {})
    found, _ = store.load("prepare")
    store.save("prepare", {"a": torch.zeros(1000)}, {})
    (store.path / "prepare.safetensors").unlink()
    assert torch.equal(found["a"], torch.arange(1000))


def test_the_newest_two_rounds_are_kept(store: RunStore) -> None:
    assert store.latest_round() is None
    (store.path / "round-notes.safetensors").write_text("mine")
    for number in (1, 2, 9, 10, 10_000):
        store.save_round(number, {"a": torch.tensor(number)}, {"round": number})
        assert store.latest_round() == number
    assert names(store) == FIRST | {
        "round-0010.safetensors",
        "round-10000.safetensors",
        "round-notes.safetensors",
    }
    tensors, facts = store.load_round(10)
    assert (tensors["a"].item(), facts) == (10, {"round": 10})


def test_a_checkpoint_of_an_older_round_that_is_played_again_is_no_reason_to_drop_it(store: RunStore) -> None:
    """Going on from round 1 where the file of round 9 is damaged: what was just written stays."""
    for number in (1, 9, 2):
        store.save_round(number, {"a": torch.tensor(number)}, {"round": number})
    assert store.rounds() == [1, 2, 9]


def test_a_damaged_checkpoint_can_be_deleted_to_go_back(store: RunStore) -> None:
    store.save_round(1, {"a": torch.tensor(1)}, {})
    store.save_round(2, {"a": torch.tensor(2)}, {})
    file = store.path / "round-0002.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"round-0002\.safetensors is damaged .* recomputes it"):
        store.load_round(2)
    file.unlink()
    assert store.latest_round() == 1
    assert store.load_round(1)[0]["a"].item() == 1


def test_a_checkpoint_cut_or_changed_in_its_header_raises_nothing_else(store: RunStore) -> None:
    store.save("prepare", {"a": torch.arange(4), "b": torch.ones(2).bfloat16()}, {"x": [1, 2]})
    file = store.path / "prepare.safetensors"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"prepare\.safetensors is damaged"):
            store.load("prepare")
    for place in range(len(whole)):
        for value in {0, 0x22, 0x5B, 0xFF, whole[place] ^ 1} - {whole[place]}:
            file.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            with pytest.raises(UserError, match=r"prepare\.safetensors is damaged"):
                store.load("prepare")
    assert header < len(whole)


def test_a_missing_checkpoint_is_called_missing(store: RunStore) -> None:
    assert not store.has("prepare")
    with pytest.raises(UserError, match=r"prepare\.safetensors is missing"):
        store.load("prepare")


# Crashes: a process is killed between two system calls


CRASH = """
import os, sys
from pathlib import Path
import torch
from meshtune.runs.store import RunStore
os.replace = lambda a, b: os._exit(9)
path = Path(sys.argv[1])
if sys.argv[2] == "create":
    RunStore.create(path, {"seed": 0})
elif sys.argv[2] == "json":
    RunStore.open(path).write_json("results.json", {"new": 1})
else:
    RunStore.open(path).save_round(2, {"a": torch.tensor(2)}, {})
"""


def child(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    source = Path(module.__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_crash_before_the_rename_leaves_the_old_file(store: RunStore) -> None:
    store.write_json("results.json", {"old": 1})
    store.save_round(1, {"a": torch.tensor(1)}, {})
    for what in ("json", "round"):
        assert child(CRASH, str(store.path), what).returncode == 9
    again = RunStore.open(store.path)
    assert json.loads((store.path / "results.json").read_text()) == sealed({"old": 1})
    assert again.latest_round() == 1
    assert again.load_round(1)[0]["a"].item() == 1
    again.write_json("results.json", {"new": 1})
    again.save_round(2, {"a": torch.tensor(2)}, {})
    kept = FIRST | {"results.json", "round-0001.safetensors", "round-0002.safetensors"}
    assert {name for name in names(again) if not name.endswith(".part")} == kept
    assert names(again) != kept
    sweep(again.path)
    assert names(again) == kept


def test_a_crash_while_the_run_was_made_does_not_bar_the_same_command(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert child(CRASH, str(path), "create").returncode == 9
    assert not RunStore.exists(path)
    assert any(path.iterdir())
    RunStore.check_free(path)
    RunStore.create(path, CONFIG)
    sweep(path)
    assert names(RunStore.open(path)) == FIRST


def test_an_error_while_writing_leaves_no_unfinished_copy(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.write_json("results.json", {})
    assert names(store) == FIRST


# Full disks

ACTS: dict[str, Callable[[RunStore], None]] = {
    "append": lambda store: store.append(event(9, text="x" * 3000)),
    "append_scores": lambda store: store.append_scores(scoring(9, text="x" * 3000)),
    "write_json": lambda store: store.write_json("results.json", {"text": "x" * 3000}),
    "save": lambda store: store.save("prepare", {"a": torch.zeros(3000)}, {}),
    "save_round": lambda store: store.save_round(3, {"a": torch.zeros(3000)}, {}),
}


def contents(store: RunStore) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in store.path.iterdir()}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("used", [False, True])
def test_a_full_disk_is_one_sentence_and_leaves_everything_as_it_was(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, act: str, number: int, used: bool
) -> None:
    if used:
        store.append(event(1))
        store.append_scores(scoring(1))
        store.write_json("results.json", {"old": 1})
        store.save("prepare", {"a": torch.ones(2)}, {})
        store.save_round(1, {"a": torch.ones(2)}, {})
        store.save_round(2, {"a": torch.ones(2)}, {})
    before = contents(store)

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"no space left .* resumable.* repeat the same command") as caught:
            ACTS[act](store)
    assert str(store.path) in one_sentence(caught)
    assert contents(store) == before
    ACTS[act](store)
    assert contents(store) != before


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from meshtune.runs.store import RunStore
from meshtune.errors import UserError
store = RunStore.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for act in (
    lambda: store.append({"event": "note", "text": "x" * 3000}),
    lambda: store.write_json("results.json", {"text": "x" * 3000}),
    lambda: store.save_round(2, {"a": torch.zeros(3000)}, {}),
):
    try:
        act()
    except UserError as error:
        print(error)
"""


def test_a_real_limit_of_the_system_is_a_full_disk_too(store: RunStore) -> None:
    pytest.importorskip("resource", reason="this system has no limits on file sizes")
    store.append(event(1))
    store.save_round(1, {"a": torch.ones(2)}, {})
    before = contents(store)
    done = child(LIMITED, str(store.path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("no space left" in line and "resumable" in line for line in lines)
    assert contents(store) == before
    assert store.events() == [event(1)]


def test_a_real_full_disk(small_disk: Path) -> None:
    store = RunStore.create(small_disk / "run", CONFIG)
    store.append(event(1))
    store.save_round(1, {"a": torch.arange(10)}, {})
    before = contents(store)
    for act in (
        lambda: store.append(event(9, text="x" * 1_000_000)),
        lambda: store.save_round(2, {"a": torch.zeros(1_000_000)}, {}),
        lambda: store.write_json("results.json", {"text": "x" * 1_000_000}),
    ):
        with pytest.raises(UserError, match="no space left"):
            act()
        assert contents(store) == before
    store.append(event(2))
    assert store.events() == [event(1), event(2)]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("act", ACTS)
def test_a_folder_that_becomes_read_only_is_one_sentence_and_the_run_goes_on_later(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, act: str, number: int
) -> None:
    """Root may write what chmod forbids, so the system's answers are made up: to opening, cutting and deleting."""
    store.append(event(1))
    store.append_scores(scoring(1))
    before = contents(store)
    real = open

    def barred(*args: Any, **_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    def opened(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
        return barred() if set(mode) & set("wax+") else real(file, mode, *args, **more)

    with monkeypatch.context() as patch:
        for name in ("replace", "truncate", "unlink"):
            patch.setattr(os, name, barred)
        patch.setattr(io, "open", opened)
        with pytest.raises(UserError, match=r"cannot be written .*resumable, make it writable again .* same command"):
            ACTS[act](store)
    assert contents(store) == before
    ACTS[act](store)
    assert contents(store) != before


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def barred(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", barred)
    with pytest.raises(UserError, match=r"cannot be written .*: name another folder"):
        RunStore.create(tmp_path / "run", CONFIG)
