"""A stranger's file: of every form that is read, and of every kind that is refused, in one sentence and at once."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtune.errors import UserError
from meshtune.tasks import load, reading
from meshtune.tasks.loader import has_split, read
from meshtune.tasks.reading import file_rows

ROW = {"goal": "Cut a board.", "sol1": "Use a saw.", "sol2": "Use a spoon.", "label": 0}
ROWS = [{**ROW, "goal": f"Cut board {n}."} for n in range(3)]
LINES = "\n".join(json.dumps(row) for row in ROWS) + "\n"


def put(folder: Path, content: str | bytes, name: str = "train.jsonl") -> Path:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    path = folder / name
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.jsonl", "\ufeff" + LINES),
        ("a.jsonl", LINES.replace("\n", "\r\n")),
        ("a.jsonl", "\ufeff" + LINES.replace("\n", "\r\n\r\n")),
        ("a.jsonl", LINES.rstrip("\n")),
        ("a.json", LINES),
        ("a.json", json.dumps(ROWS)),
        ("a.json", "\ufeff" + json.dumps(ROWS, indent=2).replace("\n", "\r\n")),
        ("a.jsonl", "\n\n" + json.dumps(ROWS, indent=1) + "\n"),
        ("a.json.gz", json.dumps(ROWS)),
        ("a.jsonl.gz", "\ufeff" + LINES),
    ],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    assert [row.row for row in file_rows(put(tmp_path, content, name))] == ROWS


def test_rows_of_an_array_are_placed(tmp_path: Path) -> None:
    path = put(tmp_path, json.dumps(ROWS, indent=2), "a.json")
    assert [row.where for row in file_rows(path)] == [f"{path} line {line}" for line in (2, 8, 14)]


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text() | st.integers() | st.lists(st.booleans())), min_size=1))
@settings(max_examples=30)
def test_an_array_is_read_as_json_reads_it(tmp_path_factory: pytest.TempPathFactory, rows: list[object]) -> None:
    path = put(tmp_path_factory.mktemp("array"), json.dumps(rows, ensure_ascii=True, indent=1), "a.json")
    text = json.dumps(rows, ensure_ascii=False)
    if any("\ud800" <= char <= "\udfff" for char in text):
        with pytest.raises(UserError, match="half of a character"):
            list(file_rows(path))
    else:
        assert [row.row for row in file_rows(path)] == rows


def test_an_array_longer_than_a_piece_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_CHUNK", 7)
    path = put(tmp_path, json.dumps([{"a": "ü" * n} for n in range(40)], ensure_ascii=False), "a.json")
    assert [len(row.row["a"]) for row in file_rows(path)] == list(range(40))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LINES.encode("utf-16"), r"is text in UTF-16 or UTF-32: save it as UTF-8"),
        (LINES.encode("utf-16-le"), r"is text in UTF-16 or UTF-32"),
        (LINES.encode("utf-32"), r"is text in UTF-16 or UTF-32"),
        (gzip.compress(LINES.encode(), mtime=0), r"is gzipped, but not named so: rename it to .*train\.jsonl\.gz"),
        (LINES.encode("latin-1") + b'{"goal": "\xe9"}\n', r"line 4: cannot be read as JSON in UTF-8"),
        ("", "holds no question of task piqa"),
        ("\n \r\n\n", "holds no question of task piqa"),
        ("[]", "holds no question of task piqa"),
        ("goal,sol1,sol2,label\na,b,c,0\n", r"line 1: broken JSON, Expecting value at column 1: every line is one row"),
        ('{"goal": "a",}\n', r"line 1: broken JSON"),
        (LINES + '{"goal": "\\ud83d"}', r"line 4: field 'goal' holds half of a character, \\ud83d: write the whole"),
        (LINES + '{"a": {"\\uDE00": [1]}}', r"line 4: field 'a' holds half of a character, \\ude00"),
        ('[{"goal": "\\ud83d"}]', r"line 1: field 'goal' holds half of a character"),
        (LINES + "\ud83d", r"line 4: cannot be read as JSON in UTF-8"),
        ('{"label": 0, "label": 1}', r"line 1: the key 'label' appears twice: keep one"),
        ('[\n{"label": 0, "label": 1}]', r"line 2: the key 'label' appears twice"),
        ("[1]", r"line 1: a row must be a JSON object, found 1 in its place"),
        ("[\n" + json.dumps(ROW) + ",\n]", r"line 3: a row must be a JSON object, found \] in its place"),
        ("[" + json.dumps(ROW), r"line 1: the file ends before its array does"),
        (
            "[" + json.dumps(ROW) + json.dumps(ROW) + "]",
            r"line 1: broken JSON, a row is followed by ',' or '\]', not \{",
        ),
        ("[" + json.dumps(ROW) + "] x", r"line 1: broken JSON, text behind the end of the array"),
        ("[" + json.dumps(ROW) + ',\n{"a" 1}]', r"line 2: broken JSON, Expecting ':' delimiter"),
        ("[" * 100_000, r"line 1: a row must be a JSON object"),
        ('[{"a": ' + "[" * 100_000, r"line 1: cannot be read as JSON"),
        ('{"a": ' + "[" * 100_000, r"line 1: cannot be read as JSON"),
        ('{"label": ' + "9" * 5000 + "}", r"line 1: cannot be read as JSON"),
        ('[{"label": ' + "9" * 5000 + "}]", r"line 1: cannot be read as JSON"),
        (LINES + "null", r"line 4: a row must be a JSON object, this is a NoneType"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load("piqa", "train", put(tmp_path, content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + 2 * len(str(tmp_path))


def nested(field: str, levels: int) -> str:
    """A row whose ``field`` is a list in a list in a list."""
    whole = {name: value for name, value in ROW.items() if name != field}
    return json.dumps(whole)[:-1] + f', "{field}": ' + "[" * levels + "]" * levels + "}"


@pytest.mark.parametrize("levels", [3, 300, *range(850, 1000, 7), 2000])
def test_json_nested_to_any_depth_is_one_sentence(tmp_path: Path, levels: int) -> None:
    with pytest.raises(UserError, match=r"line 1: (field 'goal' is \[|cannot be read as JSON|the row is nested too)"):
        load("piqa", "train", put(tmp_path, nested("goal", levels)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": -1}, "field 'label' is -1, but options are counted from 0: answers are hidden in this split"),
        ({"label": True}, "field 'label' is true, not the number of an option"),
        ({"label": "true"}, "field 'label' is \"true\", not the number"),
        ({"label": "A"}, "field 'label' is \"A\", not the number"),
        ({"label": 1.0}, "field 'label' is 1.0, not the number"),
        ({"label": float("nan")}, "field 'label' is NaN, not the number"),
        ({"label": None}, "field 'label' is null, not the number"),
        ({"label": 10**30}, "the answer is option 1000000000000000000000000000001, but the row has 2"),
        ({"goal": None}, "field 'goal' is null, not text"),
        ({"goal": "\x1b[31mred\n" * 20, "sol1": ["\x1b[2J" * 99]}, r"field 'sol1' is \[\"\\u001b\[2J"),
        ({"sol2": ""}, "option 2 of 2 is empty"),
        ({"sol2": "x" * 1_000_001}, "option 2 has 1000001 characters, more than 1000000"),
        ({"goal": "x" * 1_000_001}, "the prompt has 1000001 characters"),
    ],
)
def test_a_wrong_value_is_one_sentence(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=f"line 1: {said}") as caught:
        load("piqa", "train", put(tmp_path, json.dumps({**ROW, **change})))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250 + len(str(tmp_path))


def test_labels_that_stand_twice_leave_the_answer_open(tmp_path: Path) -> None:
    row = {"question": "Which?", "choices": {"text": ["x", "y"], "label": ["A", "A"]}, "answerKey": "A"}
    with pytest.raises(UserError, match="line 1: field 'answerKey' is \"A\", and several options are labelled so"):
        load("arc_easy", "train", put(tmp_path, json.dumps(row)))


@pytest.mark.parametrize("field", [{}, {"id": None}])
def test_rows_without_an_id_have_their_numbers(tmp_path: Path, field: dict[str, None]) -> None:
    row = {"question": "Which?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A", **field}
    assert [q.id for q in load("arc_easy", "train", put(tmp_path, f"{json.dumps(row)}\n" * 3))] == ["0", "1", "2"]
    for wrong in ([], True, "", "x" * 201, 0.5):
        with pytest.raises(UserError, match=r"line 1: field 'id' is .*, not an id"):
            load("arc_easy", "train", put(tmp_path, json.dumps({**row, "id": wrong})))


def gzipped(path: Path, pieces: Iterator[bytes]) -> Path:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for piece in pieces:
            file.write(packer.compress(piece))
        file.write(packer.flush())
    return path


@pytest.mark.parametrize(
    ("head", "fill", "said"),
    [
        (b'{"goal": "', b"x", "line 1: the row is longer than 16 MiB"),
        (b'[{"goal": "', b"x", r"line 1: Unterminated string starting at within 16 MiB"),
        (b"\n", b"\n", "more than 64 KiB of white space"),
        (b"[ ", b" ", "line 1: more than 64 KiB of white space"),
    ],
)
def test_a_small_archive_of_a_huge_text_is_refused_within_seconds(
    tmp_path: Path, head: bytes, fill: bytes, said: str
) -> None:
    pieces = (head if n == 0 else fill * 2**20 for n in range(80))
    path = gzipped(tmp_path / "train.jsonl.gz", pieces)
    assert path.stat().st_size < 2**18
    started = time.perf_counter()
    with pytest.raises(UserError, match=said):
        load("piqa", "train", path)
    assert time.perf_counter() - started < 10


def test_a_file_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_TEXT", 3 * 2**20)
    path = put(tmp_path, (json.dumps({**ROW, "goal": "x" * 2**19}) + "\n") * 7)
    with pytest.raises(UserError, match="holds more than 3 MiB of text, at line 6"):
        load("piqa", "train", path)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Why {n}?", "response": "So.", "category": "open_qa" if n % 2 else "brainstorming"}
        for n in range(10)
    ]
    path = put(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    found = read("dolly_open_qa", "train", path)
    assert (len(found.questions), found.left_out) == (5, {"of another category than open_qa": 5})
    path = put(tmp_path, json.dumps(rows[0]))
    with pytest.raises(
        UserError, match="holds no question of task dolly_open_qa, 1 rows of another category than open_qa"
    ):
        load("dolly_open_qa", "train", path)


def test_which_sources_have_a_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHTUNE_DATA", raising=False)
    path = put(tmp_path, LINES)
    assert [has_split("piqa", split, tmp_path) for split in ("train", "test")] == [True, False]
    assert [has_split("piqa", split, path) for split in ("train", "test")] == [True, False]
    put(tmp_path, LINES, "test.json.gz")
    assert has_split("piqa", "test", tmp_path)
    assert has_split("piqa", "test", "hub")
    assert has_split("piqa", "test")
    assert has_split("claims", "test")
    assert has_split("claims", "test", "generated:3")
    assert not has_split("openai_humaneval", "train", "hub")
