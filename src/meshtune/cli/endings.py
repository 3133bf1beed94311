"""How a command ends on failure: one sentence on stderr and an exit code, whatever happened.

Errors that the user can fix have their own sentence; so do unreadable files and running out of memory, wherever the
system reports it. Anything else is a fault of this program: its traceback is written to a file for a report.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from meshtune.cli.flags import in_flags
from meshtune.errors import UserError
from meshtune.printable import printable

MEND, FAULT, STOPPED, SHUT = 2, 70, 130, 141
"""Exit codes: something the user can fix; our own fault; Ctrl+C; the reader closed the pipe."""
DEBUG = "MESHTUNE_DEBUG"
"""The environment variable that turns tracebacks on."""
LONGEST = 2000
"""Characters of a sentence that are shown."""
CAUSE = 150
"""Characters of third-party error text that are shown."""

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "allow it, or name another",
    errno.EPERM: "allow it, or name another",
    errno.EROFS: "name another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "allow more open files with ulimit -n",
}
_NO_MEMORY = (
    "defaultcpuallocator",
    "out of memory",
    "std::bad_alloc",
    "cannot allocate memory",
    "can't allocate memory",
    "unable to mmap",
    "can't start new thread",
    "failed to map segment",
    "returned null without setting",
)


def end(error: Exception, verb: str, arguments: Sequence[str]) -> int:
    """Report an error on stderr, and return the exit code.

    Args:
        error: the error that ended a command.
        verb: the command's name.
        arguments: the whole command line, for a report.
    """
    sentence, code = meaning(error, verb)
    if code == FAULT:
        sentence = f"{sentence}: please report it with {_report(error, verb, arguments)}"
    if os.environ.get(DEBUG):
        say(printable_trace(error).rstrip("\n"))
    say(f"error: {printable(sentence, LONGEST)}")
    return code


def say(text: str) -> None:
    """Print the last words of a command on stderr; if that fails, the exit code must suffice."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # the terminal is gone, or the disk full
        shut(sys.stderr)


def meaning(error: Exception, verb: str) -> tuple[str, int]:
    """Return the sentence and the exit code of an error."""
    if any(_lacks_memory(one) for one in _chain(error)):
        doing = next(iter(getattr(error, "__notes__", [])), f"in meshtune {verb}")
        return (
            f"there is not enough memory ({doing}): free some, raise the limit (ulimit -v), or make it smaller: fewer "
            "devices, lower train.micro_tokens and eval.micro_tokens, model.dtype=bfloat16"
        ), MEND
    if isinstance(error, UserError):
        return in_flags(str(error)), MEND
    if isinstance(error, OSError) and error.errno is not None:
        what = printable(str(error.filename), CAUSE) if error.filename is not None else "a file, or the output,"
        remedy = _REMEDIES.get(error.errno, "check it")
        return f"{what} cannot be used ({error.strerror}): {remedy}", MEND
    said = printable(str(error), CAUSE)
    kind = type(error).__name__
    return f"this is a bug in meshtune ({kind}{': ' if said else ''}{said})", FAULT


def shut(stream: TextIO) -> None:
    """Discard further writes to ``stream``: it is closed, and Python would complain at exit."""
    with suppress(OSError, ValueError, AttributeError):  # it is no file
        output = stream.fileno()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), output)


def printable_trace(error: BaseException) -> str:
    """Return the traceback of an error, made safe to show."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "".join(f"{printable(line, LONGEST)}\n" for line in lines)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    at: BaseException | None = error
    for _ in range(20):
        if at is None:
            return
        yield at
        at = at.__cause__ or at.__context__


def _lacks_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if type(error).__name__ == "OutOfMemoryError":
        return True
    # torch and the library loader only say so in their message.
    text = str(error)[:2000].lower() if isinstance(error, RuntimeError | ImportError | SystemError) else ""
    return any(word in text for word in _NO_MEMORY)


def _report(error: Exception, verb: str, arguments: Sequence[str]) -> str:
    """Write a report to the system's temporary folder; return the file's name, or what to do instead."""
    try:
        handle, name = tempfile.mkstemp(prefix="meshtune-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"command: {' '.join(_command(verb, arguments))}\n{_versions()}\n{printable_trace(error)}")
    except (OSError, MemoryError):
        return f"the output of the same command under {DEBUG}=1"
    return f"the file {Path(name)}"


def _command(verb: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line without user data: the words of a question and of its options."""
    if verb == "ask":
        return ["meshtune", *(word if word == "ask" else _hidden(word) for word in arguments)]
    return ["meshtune", *(printable(word, CAUSE) for word in arguments)]


def _hidden(word: str) -> str:
    """Return a word's length in characters, after the option name that it may begin with."""
    option, sign, value = word.partition("=")
    if not re.fullmatch(r"--[a-z-]+", option):
        return f"<{len(word)}>"
    return f"{option}=<{len(value)}>" if sign else option


def _versions() -> str:
    """Return the versions of everything that matters, without importing it."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = [f"python {platform.python_version()}", platform.platform()]
    for name in ("meshtune", "torch", "transformers", "numpy", "scipy", "pydantic", "typer"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return "\n".join(found)
