"""One run's folder: append-only events and scores, checkpoints behind every round, results at the end.

Every file but the two logs is written to a temporary name, synced and renamed, so a crash, a full disk or
Ctrl+C leaves either the old file or the new one. A half-written last line of a log is dropped
when it is read.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshtune.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
EVENTS = "events.jsonl"
SCORES = "scores.jsonl"
ANSWERS = "answers.jsonl"
KEEP = 2
_ROUND = re.compile(r"round-(\d{4,})\.safetensors")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RunStore:
    """The files of one run.

    Args:
        path: an existing run folder; use :meth:`create` or :meth:`open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def exists(path: Path) -> bool:
        """Return whether ``path`` holds a run."""
        return (path / CONFIG).is_file()

    @staticmethod
    def check_free(path: Path) -> None:
        """Make sure a run may be made at ``path``.

        Raises:
            UserError: it is a file, or a folder that holds something else.
        """
        if path.exists() and not path.is_dir():
            raise UserError(f"--out {path} is a file: name a folder")
        # A crash while the very first file was written leaves only its unfinished copy.
        if path.is_dir() and any(file.name != _part(CONFIG) for file in path.iterdir()):
            raise UserError(f"--out {path} holds files that are no run: name a new or empty folder")

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> RunStore:
        """Make the folder of a new run.

        Raises:
            UserError: see :meth:`check_free`; or a run is there already.
        """
        if cls.exists(path):
            raise UserError(f"--out {path} holds another run: name another folder, or resume it with its own settings")
        cls.check_free(path)
        with _space(path):
            path.mkdir(parents=True, exist_ok=True)
        store = cls(path)
        store.write_json(CONFIG, config)
        return store

    @classmethod
    def open(cls, path: Path) -> RunStore:
        """Open the folder of a run.

        Raises:
            UserError: it holds none.
        """
        if not cls.exists(path):
            raise UserError(f"{path} holds no run: it has no {CONFIG}")
        return cls(path)

    def config(self) -> dict[str, Any]:
        """Return the configuration the run was made with."""
        return self._read_json(CONFIG)

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Make sure the run was made with ``config``.

        Raises:
            UserError: it was not; shows every key that differs, old and new.
        """
        old, new = _flat(self.config()), _flat(json.loads(json.dumps(config)))
        if not old.keys() & new.keys():
            raise UserError(f"--out {self.path} holds files that are no run: name a new or empty folder")
        changed = [
            f"{key}: {json.dumps(old.get(key))} -> {json.dumps(new.get(key))}"
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        ]
        if changed:
            raise UserError(
                f"--out {self.path} holds another run ({'; '.join(changed)}): name another folder, or use its settings"
            )

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one event to the log."""
        self._append(EVENTS, event)

    def events(self) -> list[dict[str, Any]]:
        """Return the events so far."""
        return self._read_lines(EVENTS)

    def append_scores(self, *records: Mapping[str, Any]) -> None:
        """Add scorings to the scores, in one write: all of them are kept or none."""
        self._append(SCORES, *records)

    def read_scores(self) -> list[dict[str, Any]]:
        """Return the scores so far."""
        return self._read_lines(SCORES)

    def append_answers(self, record: Mapping[str, Any]) -> None:
        """Add written answers of an exam that is under way."""
        self._append(ANSWERS, record)

    def read_answers(self) -> list[dict[str, Any]]:
        """Return the written answers of the exam that is under way."""
        return self._read_lines(ANSWERS)

    def drop_answers(self) -> None:
        """Forget the answers of an exam that is done."""
        (self.path / ANSWERS).unlink(missing_ok=True)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, all or nothing."""
        self.write_bytes(name, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file, all or nothing."""
        with self._replacing(name) as part:
            _write(part, data)

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write tensors and JSON-able facts as ``name.safetensors``, all or nothing."""
        from safetensors.torch import save

        # Views of one storage are fine in a checkpoint; safetensors wants each tensor to own its bytes.
        own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        data = save(own, {"facts": json.dumps(facts)})
        with self._replacing(f"{name}.safetensors") as part:
            _write(part, data)

    def has(self, name: str) -> bool:
        """Return whether :meth:`save` wrote ``name``."""
        return (self.path / f"{name}.safetensors").is_file()

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what :meth:`save` wrote.

        Raises:
            UserError: the file is damaged or missing.
        """
        from safetensors import SafetensorError, safe_open

        file = self.path / f"{name}.safetensors"
        if not self.has(name):
            raise UserError(f"{file} is missing: repeat the command that made the run")
        try:
            with safe_open(file, framework="pt") as block:
                facts = json.loads((block.metadata() or {})["facts"])
                return {key: block.get_tensor(key) for key in block.keys()}, facts  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(f"{file} is damaged ({error}): delete it to fall back to what came before") from error

    def save_round(self, number: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the checkpoint behind round ``number`` and drop all but the newest two."""
        self.save(_round(number), tensors, facts)
        for old in self._rounds()[:-KEEP]:
            (self.path / f"{_round(old)}.safetensors").unlink(missing_ok=True)

    def latest_round(self) -> int | None:
        """Return the newest round with a checkpoint."""
        rounds = self._rounds()
        return rounds[-1] if rounds else None

    def load_round(self, number: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the checkpoint behind round ``number``."""
        return self.load(_round(number))

    def _rounds(self) -> list[int]:
        found = (_ROUND.fullmatch(file.name) for file in self.path.iterdir())
        return sorted(int(match[1]) for match in found if match)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        part = self.path / _part(name)
        try:
            with _space(self.path):
                yield part
                os.replace(part, self.path / name)
                _sync_folder(self.path)
        finally:
            part.unlink(missing_ok=True)

    def _append(self, name: str, *records: Mapping[str, Any]) -> None:
        if not records:
            return
        file = self.path / name
        before = file.stat().st_size if file.exists() else 0
        line = b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
        if before and not self._ends_in_newline(file):
            line = b"\n" + line  # the half-written line stays alone and is dropped when read
        try:
            with _space(self.path), file.open("ab") as log:
                log.write(line)
                log.flush()
                os.fsync(log.fileno())
            if not before:
                _sync_folder(self.path)
        except UserError:
            if before:
                os.truncate(file, before)
            else:
                file.unlink(missing_ok=True)
            raise

    @staticmethod
    def _ends_in_newline(file: Path) -> bool:
        with file.open("rb") as log:
            log.seek(-1, os.SEEK_END)
            return log.read(1) == b"\n"

    def _read_lines(self, name: str) -> list[dict[str, Any]]:
        file = self.path / name
        if not file.is_file():
            return []
        records = []
        for line in file.read_bytes().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # cut off by a crash; what it said is done again
            if isinstance(record, dict):
                records.append(record)
        return records

    def _read_json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file} is damaged ({error})") from error
        if not isinstance(content, dict):
            raise UserError(f"{file} is damaged: it holds no mapping")
        return content


def _write(part: Path, data: bytes) -> None:
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Make a new name in a folder outlast a power cut."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _part(name: str) -> str:
    return f".{name}.part"


@contextmanager
def _space(path: Path) -> Iterator[None]:
    """Turn a full disk, and a folder that may not be written, into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(
                f"no space left for {path}: the run is resumable, free some space and repeat the same command"
            ) from error
        barred = isinstance(error, PermissionError | FileExistsError | NotADirectoryError)
        if barred or error.errno == errno.EROFS:
            raise UserError(f"{path} cannot be written ({error.strerror}): name another folder") from error
        raise


def _round(number: int) -> str:
    return f"round-{number:04d}"


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, dict) and tree:
        flat: dict[str, Any] = {}
        for key, value in tree.items():
            flat.update(_flat(value, f"{prefix}.{key}" if prefix else key))
        return flat
    return {prefix: tree}
