"""What the program's own interpreter runs: the program, then a word on a pipe that it ran to its end.

Its text is handed to ``python -c``, behind the walls, where the package is not to be seen. Standard input holds a token
in its first line and the program behind. Whoever ends the interpreter early never gets to where the token is written.
"""

from __future__ import annotations

import errno
import os
import sys
from types import ModuleType

LONGEST = 300


def last_line(error: BaseException) -> str:
    """Return the line that a traceback ends in, without the imports and the memory that a traceback takes."""
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
    # The program may put its own in their place, or be copied into a child that gets to the end too.
    write, leave, process, first = os.write, os._exit, os.getpid, os.getpid()
    report = int(sys.argv[1])
    with open(0, "rb", closefd=False) as whole:
        token, _, text = whole.read().partition(b"\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Programs look themselves up by this name: dataclasses, pickle.
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    said = "passed"
    try:
        exec(compile(text, "program.py", "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        error.__traceback__ = None  # lets go of what the program holds, so that there is memory to say so
        short = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        said = f"{'memory' if short else 'failed'}\n{last_line(error)}"
    if process() == first:
        write(report, token + said.encode("utf-8", "replace"))
    leave(0)


if __name__ == "__main__":
    main()
