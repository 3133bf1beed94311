"""One run of one program: starts its supervisor and reads its output.

There are three pipes: the supervisor's line, the program's report with a token that is written only at the program's
end, and stderr. All are read as they fill, so that no writer blocks, and only the end of each is kept.
"""

from __future__ import annotations

import os
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from meshtune.sandbox.resource_limits import Limits

BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from meshtune.sandbox.jail import main; main()"
ROOT = Path(__file__).parents[2]
GRACE = 10.0
"""Extra seconds for the supervisor, to start and to end."""
LINE_BYTES = 4096
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Heard:
    """The output of a program and its supervisor.

    Attributes:
        verdict: the supervisor's line, as in :mod:`meshtune.sandbox.jail`; empty if the supervisor was killed.
        report: what the program's interpreter wrote after its token; empty if it never did.
        errors: the end of stderr.
    """

    verdict: str
    report: str
    errors: str


def attempt(program: str, limits: Limits, walled: bool) -> Heard:
    """Run ``program``, isolated or not, and return its output."""
    token = secrets.token_hex(16).encode()
    with ExitStack() as stack:
        source = stack.enter_context(tempfile.TemporaryFile())
        source.write(token + b"\n" + program.encode("utf-8", "surrogatepass"))
        source.seek(0)
        folder = "/"
        if not walled:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        reading, writing = os.pipe()
        listen, report = stack.enter_context(open(reading, "rb", 0)), stack.enter_context(open(writing, "wb", 0))
        supervisor = stack.enter_context(
            subprocess.Popen(
                _command(limits, report.fileno(), walled),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(report.fileno(),),
                cwd=folder,
                env={},
                bufsize=0,
            )
        )
        report.close()
        try:
            said, reported, errors = _listen(supervisor, listen, limits)
        finally:
            supervisor.kill()
    return Heard(
        verdict=said.decode("utf-8", "replace").partition("\n")[0],
        report=reported.rpartition(token)[2].decode("utf-8", "replace") if token in reported else "",
        errors=errors.decode("utf-8", "replace"),
    )


def _command(limits: Limits, report: int, walled: bool) -> list[str]:
    # The base interpreter, not a virtual environment's link to it: it finds its library wherever it is mounted.
    python = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    numbers = [report, int(1000 * limits.seconds), limits.cpu_seconds, limits.memory, limits.file_bytes]
    numbers += [limits.space_bytes, limits.processes]
    return [python, "-I", "-S", "-c", BOOT, str(ROOT), "walled" if walled else "bare", *map(str, numbers)]


def _listen(supervisor: subprocess.Popen[bytes], report: IO[bytes], limits: Limits) -> list[bytes]:
    """Return the ends of the supervisor's line, of the report and of stderr, once the supervisor is gone."""
    assert supervisor.stdout is not None
    assert supervisor.stderr is not None
    pipes = [supervisor.stdout.fileno(), report.fileno(), supervisor.stderr.fileno()]
    heard = dict.fromkeys(pipes, b"")
    most = dict(zip(pipes, (LINE_BYTES, LINE_BYTES, limits.output_bytes), strict=True))
    deadline = time.monotonic() + limits.seconds + GRACE
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while pipes[0] in selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                supervisor.kill()  # the kernel then kills whatever it started
                heard[pipes[0]] = b"timeout\n"
                deadline += GRACE
            for key, _ in ready:
                chunk = os.read(key.fd, CHUNK_BYTES)
                heard[key.fd] = (heard[key.fd] + chunk)[-most[key.fd] :]
                if not chunk:
                    selector.unregister(key.fd)
        # Without isolation, an escaped process may hold the other pipes open: take what is in them now, at most one
        # chunk.
        for key, _ in selector.select(0):
            heard[key.fd] = (heard[key.fd] + os.read(key.fd, CHUNK_BYTES))[-most[key.fd] :]
    return list(heard.values())
