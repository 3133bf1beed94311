"""One run's folder: configuration, append-only events and scores, checkpoints after every round, results at the end.

Every file except the two logs is replaced as a whole, and everything has a checksum that is verified on reading.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshtune.errors import UserError
from meshtune.files import resuming
from meshtune.printable import printable
from meshtune.runs import checksums as checked
from meshtune.runs.disk import disk_errors, is_part, replace_file
from meshtune.runs.logs import Log
from meshtune.runs.manifest import CONFIG, MANIFEST, DamagedError, Manifest, differences, flat, reason, write_json
from meshtune.runs.records import check_answers, check_event, check_scoring, distinct

if TYPE_CHECKING:
    from torch import Tensor

EVENTS = "events.jsonl"
SCORES = "scores.jsonl"
ANSWERS = "answers.jsonl"
KEEP = 2
_ROUND = re.compile(r"round-(\d{4,})\.safetensors", re.ASCII)
_OWN = (MANIFEST, ".lock")
_NEW = "name another folder"


class RunStore:
    """The files of one run.

    Args:
        path: an existing run folder; use :meth:`create` or :meth:`open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._manifest = Manifest(path)
        self._logs = {EVENTS: Log(path / EVENTS, check_event), SCORES: Log(path / SCORES, check_scoring)}
        self._answers = Log(path / ANSWERS, check_answers)

    @staticmethod
    def exists(path: Path) -> bool:
        """Return whether ``path`` holds a run."""
        with disk_errors(path, _NEW):
            return (path / CONFIG).is_file()

    @staticmethod
    def check_free(path: Path) -> None:
        """Make sure a run may be made at ``path``.

        Raises:
            UserError: it is a file, or a folder that holds something else.
        """
        if path.exists() and not path.is_dir():
            raise UserError(f"`out` {path} is a file: name a folder")
        # A crash during the very first writes leaves only these.
        if path.is_dir() and any(file.name not in _OWN and not is_part(file.name) for file in path.iterdir()):
            raise UserError(f"`out` {path} holds files that are not a run: name a new or empty folder")

    @staticmethod
    def make_folder(path: Path) -> None:
        """Make the folder of a run that is about to be created.

        Raises:
            UserError: see :meth:`check_free`; or the folder cannot be made.
        """
        if not RunStore.exists(path):
            RunStore.check_free(path)
        with disk_errors(path, _NEW):
            path.mkdir(parents=True, exist_ok=True)

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> RunStore:
        """Make the folder of a new run.

        Raises:
            UserError: see :meth:`check_free`; or a run is there already.
        """
        if cls.exists(path):
            raise UserError(f"`out` {path} holds another run: name another folder, or resume it with its own settings")
        cls.make_folder(path)
        store = cls(path)
        store._manifest.write_config(config)
        store._manifest.write(json.loads(json.dumps(config)), {EVENTS: 0, SCORES: 0})
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
        """Return the configuration the run was made with.

        Raises:
            UserError: the file was edited since, or is damaged beyond repair.
        """
        return self._manifest.config()

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Make sure the run was made with ``config``.

        Raises:
            UserError: it was not; shows the keys that differ, old and new.
        """
        old, new = self.config(), json.loads(json.dumps(config))
        if not flat(old).keys() & flat(new).keys():
            raise UserError(f"`out` {self.path} holds files that are not a run: name a new or empty folder")
        changed = differences(old, new)
        if changed:
            raise UserError(
                f"`out` {self.path} holds another run ({changed}): name another folder, or use its settings"
            )

    def repair(self) -> list[str]:
        """Repair the folder so that it can be written to, and return what was wrong, one sentence each.

        Only the process that holds its lock may call this, before it writes. A damaged ``config.json`` is rewritten,
        the good lines of a damaged log are kept, and a damaged manifest is rebuilt.

        Raises:
            UserError: the folder was made by an earlier meshtune, or cannot be repaired.
        """
        notes = []
        manifest = self._manifest
        self.check_version()
        if manifest.missing:  # a crash came between the first two files
            manifest.write(manifest.parsed_config(), {EVENTS: 0, SCORES: 0})
        try:
            manifest.read()
        except DamagedError as error:
            manifest.write(manifest.parsed_config(), {name: log.scan(None).last for name, log in self._logs.items()})
            unknown = f"whether {EVENTS} and {SCORES} end too early is unknown"
            notes.append(f"{reason(error)}: it is rebuilt, but {unknown}")
        try:
            manifest.parsed_config()
        except DamagedError as error:
            manifest.write_config(manifest.config())
            notes.append(f"{reason(error)}: it is written again from {MANIFEST}")
        lost = {EVENTS: "its records of time and memory are lost", SCORES: "what can be is scored again"}
        for name, more in lost.items():
            fault = self._logs[name].repair(manifest.finished(name), partial(manifest.count, name))
            if fault is not None:
                notes.append(f"{fault}: {more}")
        return notes

    def check_version(self) -> None:
        """Make sure that the folder's content can be verified.

        Raises:
            UserError: the folder was made by an earlier meshtune, or its manifest is missing.
        """
        others = (name for name in (file.name for file in self._files()) if name not in (CONFIG, *_OWN))
        if self._manifest.missing and any(not is_part(name) for name in others):
            if any(log.numbered for log in self._logs.values()):
                raise UserError(
                    f"{self.path} has lost its {MANIFEST}, without which damage would go unnoticed: copy it back, or "
                    "start the run again in another folder"
                )
            raise UserError(
                f"{self.path} was made by an earlier meshtune, whose files have no checksums: start the run again in "
                "another folder (meshtune compare still reads its results)"
            )

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one event to the log."""
        self._append(EVENTS, event)

    def events(self) -> list[dict[str, Any]]:
        """Return the events so far.

        Raises:
            UserError: lines are damaged or missing.
        """
        return self._read(EVENTS)

    def append_scores(self, *records: Mapping[str, Any]) -> None:
        """Append scorings in one write: all of them are kept or none."""
        self._append(SCORES, *records)

    def read_scores(self) -> list[dict[str, Any]]:
        """Return the scores so far, each once.

        Raises:
            UserError: lines are damaged or missing.
        """
        return distinct(self._read(SCORES))

    def append_answers(self, record: Mapping[str, Any]) -> None:
        """Append written answers of the current exam."""
        self._answers.append([record], 0, lambda _: None)

    def read_answers(self) -> list[dict[str, Any]]:
        """Return the written answers of the current exam; damaged or missing ones are generated again."""
        return list(self._answers.scan(0).records.values())

    def drop_answers(self) -> None:
        """Delete the answers of a finished exam."""
        (self.path / ANSWERS).unlink(missing_ok=True)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file with its checksum, all or nothing; numbers that are not finite become null."""
        write_json(self.path / name, checked.sealed(checked.plain(content)))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file, all or nothing."""
        replace_file(self.path / name, [data])

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write tensors and JSON-able facts as ``name.safetensors``, all or nothing."""
        # A checkpoint may hold views of one storage; safetensors requires each tensor to own its bytes.
        own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        replace_file(self.path / f"{name}.safetensors", checked.file_of(own, facts))

    def has(self, name: str) -> bool:
        """Return whether :meth:`save` wrote ``name``."""
        return (self.path / f"{name}.safetensors").is_file()

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what :meth:`save` wrote.

        Raises:
            UserError: the file is missing.
            DamagedError: it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        file = self.path / f"{name}.safetensors"
        if not self.has(name):
            raise UserError(f"{file} is missing: repeat the command that made the run")
        self.check_version()
        try:
            with (
                file.open("rb") as raw,
                mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as whole,
            ):
                fault = checked.fault_of(whole)
            if fault is not None:
                raise ValueError(fault)
            with safe_open(file, framework="pt") as block:
                facts = checked.parse((block.metadata() or {})["facts"])
                return {key: block.get_tensor(key) for key in block.keys()}, dict(facts)  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise self.damaged(name, error) from error

    def damaged(self, name: str, why: object) -> DamagedError:
        """Return the error that says why the file ``name`` from :meth:`save` cannot be used."""
        file = self.path / f"{name}.safetensors"
        text = printable(str(why), 120)
        return DamagedError(f"{file} is damaged ({text}): {resuming(self.path)} recomputes it")

    def save_round(self, number: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the checkpoint after round ``number`` and drop all but the newest two."""
        self.save(round_name(number), tensors, facts)
        with disk_errors(self.path):
            for old in [n for n in self.rounds() if n <= number][:-KEEP]:
                (self.path / f"{round_name(old)}.safetensors").unlink(missing_ok=True)

    def rounds(self) -> list[int]:
        """Return the rounds with a checkpoint, ascending."""
        found = (_ROUND.fullmatch(file.name) for file in self._files() if file.is_file())
        return sorted(int(match[1]) for match in found if match and len(match[1]) < 16)

    def latest_round(self) -> int | None:
        """Return the newest round with a checkpoint."""
        return max(self.rounds(), default=None)

    def load_round(self, number: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the checkpoint after round ``number``."""
        return self.load(round_name(number))

    def _files(self) -> list[Path]:
        with disk_errors(self.path):
            return list(self.path.iterdir())

    def _append(self, name: str, *records: Mapping[str, Any]) -> None:
        self._logs[name].append(records, self._manifest.finished(name), partial(self._manifest.count, name))

    def _read(self, name: str) -> list[dict[str, Any]]:
        if self._manifest.missing and self._logs[name].numbered:
            self.check_version()
        return self._logs[name].read(self._manifest.finished(name), f"{resuming(self.path)} repairs what it can")


def round_name(number: int) -> str:
    """Return the name of the checkpoint after round ``number``."""
    return f"round-{number:04d}"
