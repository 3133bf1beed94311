"""The script in the program's own interpreter: it runs the program, then reports on a pipe that the end was reached.

Its text is passed to ``python -c`` inside the sandbox, where the package is not visible. The first line of standard
input is a token; the program follows. A program that ends the interpreter early never reaches the line that writes the
token.
"""

from __future__ import annotations

import errno
import os
import sys
from types import ModuleType

LONGEST = 300


def last_line(error: BaseException) -> str:
    """Return the last line of a traceback, without the imports and the memory of a full traceback."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        said = " ".join(str(error)[: 4 * LONGEST].split())
    except BaseException:  # the program's own __str__
        said = ""
    return (f"{name}: {said}" if said else name)[:LONGEST]


def main() -> None:
    """Run the program that is on standard input."""
    # The program may replace these functions, or fork a child that also reaches the end.
    write, leave, process, first = os.write, os._exit, os.getpid, os.getpid()
    report = int(sys.argv[1])
    with open(0, "rb", closefd=False) as whole:
        token, _, text = whole.read().partition(b"\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Libraries look the program up by this name: dataclasses, pickle.
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    said = "passed"
    try:
        exec(compile(text, "program.py", "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        error.__traceback__ = None  # frees the program's objects, so that there is memory for the report
        short = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        said = f"{'memory' if short else 'failed'}\n{last_line(error)}"
    if process() == first:
        write(report, token + said.encode("utf-8", "replace"))
    leave(0)


if __name__ == "__main__":
    main()
