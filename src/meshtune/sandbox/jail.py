"""The process between this package and one program: it sets up isolation and limits, and reports how the program ended.

It is a separate Python process without environment variables and with few imports, because these changes to a process
are permanent. With isolation, its only child is the first process of a process-id namespace. When that child ends, the
kernel kills all others in the namespace, whatever they did to escape. The child ends with us or at the deadline,
whichever comes first. On standard output it writes one line: "exit CODE CPU", "signal NUMBER CPU" (CPU in
milliseconds), "timeout" or "error WHAT".
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress

from meshtune.sandbox import walls

LINUX = sys.platform == "linux"
NAMES = ("report", "milliseconds", "cpu", "memory", "file", "space", "processes")
OURS = 2
"""Our own waiting processes, which the kernel counts with the program's."""

with open(os.path.join(os.path.dirname(__file__), "inside.py"), encoding="utf-8") as _file:
    INSIDE = _file.read()


def main() -> None:
    """Run the program that is on standard input; the arguments are ``walled`` or not, then the numbers of ``NAMES``."""
    walled = sys.argv[1] == "walled"
    numbers = dict(zip(NAMES, map(int, sys.argv[2:]), strict=True))
    # Our parent may have ignored or blocked the signals that we wait for.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    verdict = os.dup(1)
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        if LINUX:
            # If memory runs out, the kernel should kill the program, not the training process.
            with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
            if walled:
                walls.build(numbers["space"])
            else:
                walls.adopt()
            walls.die_with_parent()
        if walled:
            _in_a_namespace(numbers, verdict)
        else:
            program = _start(numbers, verdict, False)
            _watch(program, numbers, verdict)
            _sweep(program)
    except OSError as error:
        _say(verdict, _error(error))


def _in_a_namespace(numbers: dict[str, int], verdict: int) -> None:
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    try:
        walls.die_with_parent()
        _watch(_start(numbers, verdict, True), numbers, verdict)
    except OSError as error:
        _say(verdict, _error(error))
    finally:
        os._exit(0)


def _start(numbers: dict[str, int], verdict: int, walled: bool) -> int:
    """Start the program; return the process id of its first process."""
    program = os.fork()
    if program:
        return program
    try:
        # A group of its own: a signal to the group, from a program or a terminal, crosses process-id namespaces.
        os.setsid()
        _limit(numbers, walled)
        if LINUX:
            walls.die_with_parent()
            if walled:
                walls.give_up_rights()
        folder = os.getcwd()
        environment = {"HOME": folder, "TMPDIR": folder, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        # -I would make Python ignore the variable that makes it deterministic.
        environment["PYTHONHASHSEED"] = "0"
        python = [sys.executable, "-s", "-S", "-P", "-B", "-c", INSIDE, str(numbers["report"])]
        os.execve(sys.executable, python, environment)
    except OSError as error:
        _say(verdict, _error(error))
    finally:
        os._exit(1)


def _limit(numbers: dict[str, int], walled: bool) -> None:
    cpu = numbers["cpu"]
    limits = [
        (resource.RLIMIT_CPU, cpu, cpu + 1),  # a signal that can be ignored, then one that cannot
        (resource.RLIMIT_AS, numbers["memory"], numbers["memory"]),
        (resource.RLIMIT_FSIZE, numbers["file"], numbers["file"]),
        (resource.RLIMIT_NOFILE, 64, 64),
        # One byte, not zero: a core is piped to the system's collector at any limit except 1.
        (resource.RLIMIT_CORE, 1, 1),
    ]
    if walled:  # otherwise all of the user's processes count
        limits.append((resource.RLIMIT_NPROC, numbers["processes"] + OURS, numbers["processes"] + OURS))
    for which, soft, hard in limits:
        most = resource.getrlimit(which)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        with suppress(*(() if LINUX else (ValueError, OSError))):
            resource.setrlimit(which, (soft, hard))


def _watch(program: int, numbers: dict[str, int], verdict: int) -> None:
    """Wait for the program, reap orphaned processes, and report how the program ended."""
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, numbers["milliseconds"] / 1000)
    try:
        ended, status, usage = os.wait4(-1, 0)
        while ended != program:
            ended, status, usage = os.wait4(-1, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    except TimeoutError:
        _say(verdict, "timeout")
        return
    code = os.waitstatus_to_exitcode(status)
    spent = int(1000 * (usage.ru_utime + usage.ru_stime))
    _say(verdict, f"exit {code} {spent}" if code >= 0 else f"signal {-code} {spent}")


def _sweep(program: int) -> None:
    """Kill the program's group, and on Linux all its descendants; elsewhere, processes that left the group escape."""
    for kill in (os.kill, os.killpg):
        with suppress(OSError):
            kill(program, signal.SIGKILL)
    with suppress(OSError):
        while True:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                children = [int(child) for child in file.read().split()]
            for child in children:
                os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _too_late(*_: object) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # only once: a program may send more signals
    raise TimeoutError


def _say(verdict: int, line: str) -> None:
    os.write(verdict, f"{line}\n".encode())


def _error(error: OSError) -> str:
    return f"error {error.filename or 'it'}: {error.strerror}"
