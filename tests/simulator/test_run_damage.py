"""A real small run whose files are damaged, edited or changed in type: the same results, or one sentence."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from meshtune.config.config_file import validate
from meshtune.errors import UserError
from meshtune.inference.device import Device
from meshtune.inference.opening import DeviceLoader
from meshtune.node.stored_announcements import PREPARED
from meshtune.report.comparison import compare, summary
from meshtune.report.results_file import load_results
from meshtune.runs import checksums as checked
from meshtune.runs.manifest import bound
from meshtune.runs.observer import Silent
from meshtune.runs.store import RunStore
from meshtune.simulator.simulation import evaluate, run
from whole_runs import Watch, assert_same_state

SMALL: dict[str, Any] = {
    "tasks": ["boolq", "piqa"],
    "methods": ["bank", "lora"],
    "train": {"rounds": 2, "steps": 1, "batch": 1, "warmup": 0},
    "eval": {"questions": 2, "elsewhere": 1, "every": 1},
    "radio": {"range": 500.0},
    "router": {"prompts": 6, "sketch": 4},
}
LOGS = ("events.jsonl", "scores.jsonl")


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda number: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any]) -> Path:
    config = validate({**whole_settings, **SMALL}, "test")
    return run(config, tmp_path_factory.mktemp("runs") / "original", Silent())


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return shutil.copytree(finished, tmp_path / "copy")


def opened(folder: Path) -> Device:
    return DeviceLoader(folder, Silent()).load()


def again(folder: Path, **changes: Any) -> Watch:
    """Go on with the run in ``folder``, as ``meshtune run --out`` does; return what was said."""
    watch = Watch()
    run(validate({**RunStore.open(folder).config(), **changes}, str(folder)), folder, watch)
    return watch


def rows(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())["rows"]


def curves(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())["header"]["curves"]


def spoil(file: Path) -> None:
    """Flip one bit in the middle."""
    whole = file.read_bytes()
    at = len(whole) // 2
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])


def seal_again(file: Path, facts: Any) -> None:
    """Write other facts into a checkpoint, with a right checksum."""
    store = RunStore(file.parent)
    tensors, _ = store.load(file.stem)
    store.save(file.stem, tensors, facts)


def one_line(error: UserError) -> bool:
    return "\n" not in str(error) and len(str(error)) < 1000


# Damage


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_ends_in_the_same_numbers(
    finished: Path, folder: Path
) -> None:
    spoil(folder / "round-0002.safetensors")
    for read in (lambda: evaluate(folder, Silent()), lambda: opened(folder)):
        with pytest.raises(
            UserError, match=r"round-0002\.safetensors is damaged .*meshtune run --out .* recomputes it"
        ):
            read()
    notes = again(folder).texts
    assert any(
        "round-0002.safetensors is damaged" in text and "resuming after round 1 instead" in text for text in notes
    )
    assert_same_state(finished, folder, 2)
    assert (rows(folder), curves(folder)) == (rows(finished), curves(finished))
    assert not any("damaged" in text for text in again(folder).texts)


def test_without_any_good_checkpoint_or_preparation_the_run_starts_again(finished: Path, folder: Path) -> None:
    for name in ("prepare", "round-0001", "round-0002"):
        spoil(folder / f"{name}.safetensors")
    notes = again(folder).texts
    assert sum("is damaged" in text for text in notes) == 3
    assert any("resuming after the preparation, at the first round instead" in text for text in notes)
    assert any("the preparation is recomputed" in text for text in notes)
    assert_same_state(finished, folder, 2)
    assert (rows(folder), curves(folder)) == (rows(finished), curves(finished))


def test_a_damaged_preparation_is_worked_out_again_or_refused_where_it_comes_out_otherwise(
    finished: Path, folder: Path
) -> None:
    spoil(folder / "prepare.safetensors")
    with pytest.raises(UserError, match=r"prepare\.safetensors is damaged"):
        DeviceLoader(folder, Silent()).load()
    evaluate(folder, Silent())
    assert rows(folder) == rows(finished)
    store = RunStore.open(folder)
    tensors, facts = store.load(PREPARED)
    store.save(PREPARED, tensors, {**facts, "digest": "0" * 32})
    with pytest.raises(UserError, match="was trained from another preparation"):
        again(folder)


@pytest.mark.parametrize("name", ["round-1000000000.safetensors", "round-0003.safetensors"])
def test_a_checkpoint_that_claims_another_round_is_left_out(finished: Path, folder: Path, name: str) -> None:
    shutil.copy(folder / "round-0002.safetensors", folder / name)
    notes = again(folder).texts
    assert any(f"{name} is damaged (the run has 2 rounds)" in text for text in notes)
    assert rows(folder) == rows(finished)
    (folder / name).unlink()
    shutil.copy(folder / "round-0001.safetensors", folder / "round-0002.safetensors")
    assert any("it says that it was made after round 1" in text for text in again(folder).texts)
    assert_same_state(finished, folder, 2)


def test_scores_that_are_gone_are_scored_again_and_earlier_rounds_are_left_out_of_the_curves(
    finished: Path, folder: Path
) -> None:
    file = folder / "scores.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    late = [n for n, line in enumerate(lines) if json.loads(line)["round"] == 2]
    file.write_bytes(b"".join(line for n, line in enumerate(lines) if n != late[1]))
    with pytest.raises(UserError, match=rf"scores\.jsonl is damaged: line {late[1] + 1} .*meshtune run --out"):
        compare([folder], "markdown")
    notes = again(folder).texts
    assert any("scores.jsonl is damaged" in text and "what can be is scored again" in text for text in notes)
    assert (rows(folder), curves(folder)) == (rows(finished), curves(finished))

    lines = file.read_bytes().splitlines(keepends=True)
    early = next(n for n, line in enumerate(lines) if json.loads(line)["method"] == "lora")
    assert json.loads(lines[early])["round"] == 1
    file.write_bytes(b"".join(line for n, line in enumerate(lines) if n != early))
    notes = again(folder).texts
    assert any("some scores after round 1 are gone (lora)" in text for text in notes)
    whole, left = curves(finished), curves(folder)
    assert left["bank"] == whole["bank"]
    assert left["lora"] == whole["lora"][1:]
    assert rows(folder) == rows(finished)


def test_doubled_rows_change_nothing(finished: Path, folder: Path) -> None:
    for name in LOGS:
        file = folder / name
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(line for line in lines for _ in range(2)))
    assert compare([folder], "markdown") == compare([finished], "markdown").replace("original", "copy")
    assert not any("damaged" in text for text in again(folder).texts)
    assert (
        json.loads((folder / "results.json").read_text())["header"]["seconds"]
        == (json.loads((finished / "results.json").read_text())["header"]["seconds"])
    )
    assert (rows(folder), curves(folder)) == (rows(finished), curves(finished))
    store = RunStore.open(folder)
    store.append_scores(*store.read_scores())  # with numbers of their own, as two processes left them
    again(folder)
    assert (rows(folder), curves(folder)) == (rows(finished), curves(finished))


# Mixing


@pytest.mark.parametrize(
    ("key", "value"),
    [("train.steps", 3), ("adapter.density", 0.2), ("federation_seed", 1), ("exchange.values", "int8")],
)
def test_an_edited_configuration_is_refused_with_its_key(folder: Path, key: str, value: Any) -> None:
    file = folder / "config.json"
    tree = json.loads(file.read_text())
    *path, last = key.split(".")
    node = tree
    for part in path:
        node = node[part]
    node[last] = value
    file.write_text(json.dumps(tree))
    for act in (
        lambda: again(folder),
        lambda: evaluate(folder, Silent()),
        lambda: opened(folder),
    ):
        with pytest.raises(UserError, match=rf"config\.json was edited after the run was made \({key}: "):
            act()
    (folder / "manifest.json").write_text("{")  # which would tell what differs
    for act in (lambda: again(folder), lambda: opened(folder)):
        with pytest.raises(UserError, match=r"was made with another configuration than config\.json holds"):
            act()


def test_another_base_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from meshtune.model.probes import probed_base

    real = probed_base.base_digest
    monkeypatch.setattr(probed_base, "base_digest", lambda *args: real(*args)[::-1])
    for act in (
        lambda: again(folder),
        lambda: evaluate(folder, Silent()),
        lambda: opened(folder),
    ):
        with pytest.raises(UserError, match=r"the base model is not the one that .* was started with"):
            act()


def test_other_questions_of_the_exam_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from meshtune.simulator import run_inputs as module

    real = module.exam_questions
    monkeypatch.setattr(module, "exam_questions", lambda *given: {k: v[::-1] for k, v in real(*given).items()})
    with pytest.raises(UserError, match="the questions of the exam are not those that"):
        again(folder)
    with pytest.raises(UserError, match="the questions of boolq are not those that"):
        evaluate(folder, Silent())


def test_a_checkpoint_of_another_run_is_refused(folder: Path, tmp_path: Path, whole_settings: dict[str, Any]) -> None:
    config = validate({**whole_settings, **SMALL, "seed": 5}, "test")
    other = run(config, tmp_path / "other", Silent())
    for name in ("round-0002", "prepare"):
        shutil.copy(other / f"{name}.safetensors", folder)
        with pytest.raises(UserError, match="was made with another configuration"):
            again(folder)


def test_a_folder_of_an_earlier_version_is_only_compared(finished: Path, folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"has lost its manifest\.json"):
        compare([folder], "markdown")
    for name in LOGS:  # as lines were
        lines = (folder / name).read_bytes().splitlines()
        plain = [{k: v for k, v in json.loads(line).items() if k not in ("line", "check")} for line in lines]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in plain))
    raw = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({k: v for k, v in raw.items() if k != "checksum"}))
    assert compare([folder], "markdown") == compare([finished], "markdown").replace("original", "copy")
    for act in (
        lambda: again(folder),
        lambda: evaluate(folder, Silent()),
        lambda: opened(folder),
    ):
        with pytest.raises(UserError, match="was made by an earlier meshtune"):
            act()


def test_a_moved_folder_goes_on_with_moved_data(finished: Path, folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "moved")
    tree = json.loads((tmp_path / "moved" / "config.json").read_text())
    shutil.copytree(tree["data"], tmp_path / "data")
    (tmp_path / "moved" / "config.json").write_text(json.dumps({**tree, "data": str(tmp_path / "data")}))
    again(tmp_path / "moved")
    evaluate(tmp_path / "moved", Silent(), {"eval": {"questions": 1}, "router": {"also": ["top1"]}})
    again(tmp_path / "moved")
    assert rows(tmp_path / "moved") == rows(finished)


# Wrong types, in files whose checksums are right

ANY: Any = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 10**9, 10**30, -1.5, 1e300, "", "x", [], {}, [[]], [None], {"": {}}, "\ud800", [1, "a"]]),
    st.builds(lambda n: json.loads("[" * n + "]" * n), st.integers(1, 300)),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to every value in a tree."""
    if path:
        yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items)[:6]:
        yield from places(value, (*path, key))


def changed(tree: Any, draw: Callable[[Any], Any]) -> Any:
    """Return a copy with a value replaced or taken out."""
    copy = json.loads(json.dumps(tree))
    path = draw(st.sampled_from(sorted(places(copy), key=str)))
    node = copy
    for part in path[:-1]:
        node = node[part]
    if draw(st.booleans()):
        node[path[-1]] = draw(ANY)
    else:
        del node[path[-1]]
    return copy


def fuzz(count: int) -> Callable[[Any], Any]:
    shared = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=shared, database=None)


def tolerated(act: Callable[[], Any]) -> None:
    fault = None
    try:
        act()
    except UserError as error:
        fault = error
    assert fault is None or one_line(fault), fault


def read_results(folder: Path) -> None:
    for form in ("markdown", "json", "csv"):
        compare([folder], form)
    summary(folder)


def mutate_results(folder: Path, draw: Any) -> None:
    raw = checked.unsealed(json.loads((folder / "results.json").read_text()))
    mutated = checked.sealed(changed(raw, draw))
    (folder / "results.json").write_bytes(checked.dumped(mutated))


def mutate_log(folder: Path, name: str, draw: Any) -> None:
    lines = (folder / name).read_bytes().splitlines()
    records = [record for line in lines if (found := checked.record_of(line)) and (record := found[1])]
    at = draw(st.integers(0, len(records) - 1))
    record = changed(records[at], draw)
    records[at] = record
    (folder / name).write_bytes(b"".join(checked.line_of(r, n) for n, r in enumerate(records, start=1)))


@given(data=st.data())
@fuzz(30)
def test_results_of_any_types_are_read_or_refused(finished: Path, data: st.DataObject, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    folder = shutil.copytree(finished, tmp_path / "copy")
    mutate_results(folder, data.draw)
    tolerated(lambda: read_results(folder))


@given(data=st.data())
@fuzz(30)
def test_log_lines_of_any_types_are_read_or_refused(finished: Path, data: st.DataObject, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    folder = shutil.copytree(finished, tmp_path / "copy")
    name = data.draw(st.sampled_from(LOGS))
    mutate_log(folder, name, data.draw)
    store = RunStore.open(folder)
    tolerated(lambda: (store.events(), store.read_scores(), compare([folder], "markdown")))
    store.repair()
    store.events()
    store.read_scores()
    tolerated(lambda: compare([folder], "markdown"))


def facts_of(finished: Path, name: str) -> Any:
    return RunStore(finished).load(name)[1]


@given(data=st.data())
@fuzz(15)
def test_facts_of_any_types_are_used_or_refused(finished: Path, data: st.DataObject, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    folder = shutil.copytree(finished, tmp_path / "copy")
    name = data.draw(st.sampled_from(["prepare", "round-0002"]))
    seal_again(folder / f"{name}.safetensors", changed(facts_of(finished, name), data.draw))
    tolerated(lambda: opened(folder))


@given(data=st.data())
@fuzz(20)
def test_a_configuration_or_manifest_of_any_types_is_used_or_refused(
    finished: Path, data: st.DataObject, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    folder = shutil.copytree(finished, tmp_path / "copy")
    name = data.draw(st.sampled_from(["config.json", "manifest.json"]))
    raw = json.loads((folder / name).read_text())
    raw.pop("checksum", None)
    mutated = changed(raw, data.draw)
    (folder / name).write_bytes(checked.dumped(checked.sealed(mutated) if name == "manifest.json" else mutated))

    def use() -> None:
        store = RunStore.open(folder)
        store.repair()
        validate(store.config(), str(folder))
        store.events()

    tolerated(use)


@example(text="[" * 100_000)
@example(text='{"a": ' * 100_000)
@example(text="9" * 5_000)
@example(text="1e999")
@example(text="-Infinity")
@example(text='"\ud800"')
@given(text=st.text(max_size=50))
@settings(max_examples=50, deadline=None)
def test_json_is_read_or_a_value_error(text: str) -> None:
    for given_text in (text, text.encode(errors="surrogatepass")):
        try:
            found = checked.parse(given_text)
        except ValueError:
            continue
        checked.checksum(found)
        assert checked.parse(checked.dumped(found)) == found


# Flipped bits and cuts


def flipped(whole: bytes, bit: int) -> bytes:
    return whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :]


def found_of(whole: bytes, bits: list[int]) -> int:
    return sum(checked.fault_of(memoryview(flipped(whole, bit))) is not None for bit in bits)


def checkpoint_flips(finished: Path, tries: int) -> tuple[int, int]:
    """Return how many of flipped bits were found, half in the preparation, half in a checkpoint, and how many tried."""
    draw, found = random.Random(5), 0
    for name in ("prepare", "round-0002"):
        whole = (finished / f"{name}.safetensors").read_bytes()
        assert checked.fault_of(memoryview(whole)) is None
        header = 8 * (8 + int.from_bytes(whole[:8], "little"))
        bits = [draw.randrange(8 * len(whole) if n % 2 else header) for n in range(tries // 2)]
        found += found_of(whole, bits)
    return found, tries


def use_all(folder: Path) -> Any:
    """Read all JSON that a resume, a comparison and a report read."""
    store = RunStore.open(folder)
    notes = store.repair()
    config = bound(store.config())  # where things are may change: whether they hold the same is known by digests
    return notes, config, load_results(folder), store.events(), store.read_scores()


def same(first: Any, second: Any) -> bool:
    return all(a == b for a, b in zip(first, second, strict=True))


def text_flips(finished: Path, folder: Path, tries: int) -> dict[str, int]:
    """Flip bits in the JSON files; count what is refused, noted and the same. Anything else fails."""
    draw, counts = random.Random(6), dict.fromkeys(("refused", "noted", "same"), 0)
    whole = use_all(folder)
    assert whole[0] == []
    names = ["config.json", "manifest.json", "results.json", *LOGS]
    kept = {name: (folder / name).read_bytes() for name in names}
    for n in range(tries):
        name = names[n % len(names)]
        (folder / name).write_bytes(flipped(kept[name], draw.randrange(8 * len(kept[name]))))
        counts[outcome(folder, whole)] += 1
        for restored in names:
            (folder / restored).write_bytes(kept[restored])
    return counts


def outcome(folder: Path, whole: Any) -> str:
    try:
        found = use_all(folder)
    except UserError as error:
        return "refused" if one_line(error) else str(error)
    if found[0]:
        return "noted"
    assert same(found, whole), [one for one, other in zip(found, whole, strict=True) if one != other]
    return "same"


def cuts(folder: Path, step: int) -> dict[str, int]:
    """Cut every JSON file after every ``step`` bytes; count as :func:`text_flips`."""
    counts = dict.fromkeys(("refused", "noted", "same"), 0)
    whole = use_all(folder)
    names = ["config.json", "manifest.json", "results.json", *LOGS]
    kept = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        ends = {n + 1 for n, byte in enumerate(kept[name]) if byte == ord("\n")} - {len(kept[name])}
        for length in sorted({*range(0, len(kept[name]), step), *(ends if name in LOGS else ())}):
            (folder / name).write_bytes(kept[name][:length])
            counts[outcome(folder, whole)] += 1
            for restored in names:
                (folder / restored).write_bytes(kept[restored])
    return counts


def test_every_flipped_bit_in_a_checkpoint_is_found(finished: Path) -> None:
    found, tries = checkpoint_flips(finished, 400)
    assert found == tries


def test_flipped_bits_in_text_are_refused_noted_or_change_nothing(finished: Path, folder: Path) -> None:
    counts = text_flips(finished, folder, 60)
    assert counts["refused"] + counts["noted"] > 40


def test_cut_files_are_refused_noted_or_change_nothing(folder: Path) -> None:
    counts = cuts(folder, 2_500)
    assert counts["same"] <= 5  # where only the end of the last line is missing


@pytest.mark.slow
def test_ten_thousand_flipped_bits_in_checkpoints(finished: Path, folder: Path) -> None:
    found, tries = checkpoint_flips(finished, 10_000)
    print(f"flipped bits found in checkpoints: {found} of {tries}")
    assert found == tries
    store, draw = RunStore(folder), random.Random(7)
    for name in ("prepare", "round-0002"):  # and through the reader itself
        file = folder / f"{name}.safetensors"
        whole = file.read_bytes()
        for _ in range(250):
            file.write_bytes(flipped(whole, draw.randrange(8 * len(whole))))
            with pytest.raises(UserError, match="is damaged"):
                store.load(name)
        file.write_bytes(whole)


@pytest.mark.slow
def test_thousands_of_flipped_bits_and_cuts_in_text(finished: Path, folder: Path) -> None:
    print(f"flipped bits in text: {text_flips(finished, folder, 2_000)}")
    print(f"cuts: {cuts(folder, 100)}")


def test_tensors_of_a_wrong_size_are_refused(folder: Path) -> None:
    store = RunStore(folder)
    tensors, facts = store.load("round-0002")
    key = facts["nodes"]["bank"][0]["values"]
    for tensor in (torch.zeros(3), torch.zeros(2, 2), tensors[key].double()):
        store.save("round-0002", {**tensors, key: tensor}, facts)
        with pytest.raises(UserError, match=r"round-0002\.safetensors is damaged \(device 0 has "):
            DeviceLoader(folder, Silent()).load()
