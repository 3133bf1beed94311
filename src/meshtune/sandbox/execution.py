"""Running programs that a language model wrote: do they run to their end, isolated and within limits?

If the system does not permit isolation, nothing is run unless explicitly allowed.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from meshtune.errors import UserError
from meshtune.sandbox.attempt import Heard, attempt
from meshtune.sandbox.resource_limits import MIB, Limits, Outcome

DEFAULT = Limits()
LONGEST = 300
"""The most characters of a program's stderr in a detail."""


def run_program(program: str, limits: Limits = DEFAULT, unsafe: bool = False) -> Outcome:
    """Run ``program``, and tell whether it ran to its end.

    Args:
        program: Python source; only the standard library is available to it.
        limits: its resource limits.
        unsafe: run it without isolation: within limits, in a folder of its own, but with all the user's rights.

    Raises:
        UserError: this system does not permit isolation, and ``unsafe`` is not set.
    """
    _check(unsafe)
    heard = attempt(program, limits, walled=not unsafe)
    word, _, what = heard.verdict.partition(" ")
    if word == "error":
        raise _refusal(what)
    return judge(heard, limits)


def run_programs(
    programs: Sequence[str],
    limits: Limits = DEFAULT,
    unsafe: bool = False,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Run programs in parallel, and return their outcomes in order.

    Args:
        programs: like ``limits`` and ``unsafe``, as for :func:`run_program`.
        workers: how many run at a time; by default one per core.
        progress: called after every program with the number done.

    Raises:
        UserError: as for :func:`run_program`.
    """
    _check(unsafe)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        futures = [pool.submit(run_program, program, limits, unsafe) for program in programs]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                if progress is not None:
                    progress(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


def check_sandbox() -> None:
    """Test once whether programs can be isolated on this system.

    Raises:
        UserError: they cannot.
    """
    why = _why_not()
    if why:
        raise _refusal(why)


def judge(heard: Heard, limits: Limits) -> Outcome:
    """Return a program's outcome from its output."""
    word, number, spent = (*heard.verdict.split(), "", "", "")[:3]
    kind, _, line = heard.report.partition("\n")
    last = "".join(heard.errors.strip().splitlines()[-1:])[:LONGEST]
    if word == "timeout":
        return Outcome(False, "timeout", f"stopped after {limits.seconds:g} s")
    if not word:
        return Outcome(
            False, "killed", "killed together with the process that watched it" + (f": {last}" if last else "")
        )
    if word == "signal":
        named = {one.value: one.name for one in signal.Signals}
        by = named.get(int(number), f"signal {number}")
        if by == "SIGXCPU" or (by == "SIGKILL" and int(spent) >= 1000 * limits.cpu_seconds):
            return Outcome(False, "timeout", f"stopped after {limits.cpu_seconds} s of processor time")
        return Outcome(False, "killed", f"killed by {by}" + (f": {last}" if last else ""))
    if kind == "passed" and number == "0":
        return Outcome(True, "passed", "")
    if kind == "memory" or last.startswith("MemoryError"):
        return Outcome(False, "memory", f"stopped at {limits.memory // MIB} MiB of memory")
    if kind == "failed":
        return Outcome(False, "failed", line)
    return Outcome(False, "failed", f"ended early with exit code {number}" + (f": {last}" if last else ""))


def _check(unsafe: bool) -> None:
    if not unsafe:
        check_sandbox()
    elif os.name != "posix":
        raise UserError(
            f"programs that a model wrote can be run on Linux and macOS, and this is {sys.platform}: "
            "leave out the tasks that need it"
        )


@functools.cache
def _why_not() -> str:
    if sys.platform != "linux":
        return f"it takes Linux, and this is {sys.platform}"
    limits = Limits(seconds=30)  # the machine may be busy
    heard = attempt("pass", limits, walled=True)
    word, _, what = heard.verdict.partition(" ")
    return what if word == "error" else judge(heard, limits).detail


def _refusal(why: str) -> UserError:
    return UserError(
        f"programs that a model wrote cannot be isolated from this machine ({why}): allow user namespaces, "
        "or run them without isolation with `unsafe_code`"
    )
