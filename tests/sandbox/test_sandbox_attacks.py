"""What a program may try against the machine that runs it: it is stopped, it is told, and outside nothing has changed.

What it goes for is this very process's own: files, ports and processes that the test would miss.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshtune.errors import UserError
from meshtune.sandbox import walls
from meshtune.sandbox.execution import check_sandbox, run_program, run_programs
from meshtune.sandbox.resource_limits import MIB, Limits, Outcome

PASSED = Outcome(True, "passed", "")
QUICK = Limits(seconds=1.5)
LATE = Outcome(False, "timeout", "stopped after 1.5 s")

Attack = Callable[..., Outcome]


@pytest.fixture(scope="module", autouse=True)
def _permitted() -> None:
    try:
        check_sandbox()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attack]:
    """Runs a program, and afterwards finds no process, mount, file or folder that was not there before."""
    ours = tmp_path / "temporary"
    ours.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(ours))
    mounts = _mounts()
    walls.adopt()  # whoever loses its parent becomes ours, and is found
    try:
        yield run_program
        # Nothing is waited for: when an outcome is there, all is gone.
        assert _descendants("self") == set()
    finally:
        walls.call("prctl", walls.SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert _mounts() == mounts
    assert os.listdir(ours) == []
    assert not os.path.lexists(walls.JAIL)


def _mounts() -> list[str]:
    """Those where the walls are built; others' tests may mount elsewhere meanwhile."""
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [place for place in places if place == walls.PLACE or place.startswith(walls.JAIL)]


def _descendants(process: str) -> set[str]:
    found: set[str] = set()
    for thread in Path(f"/proc/{process}/task").iterdir():
        children = set((thread / "children").read_text().split())
        found |= children.union(*map(_descendants, children))
    return found


def _runs(process: str) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def _program_of(process: str) -> str:
    """The walled-in one: the second of its process-id namespace."""
    return next(one for one in _descendants(process) if _ids(one)[-1:] == ["2"])


def _ids(process: str) -> list[str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("NSpid:")).split()[1:]


# Processes.


def test_a_fork_bomb(attack: Attack) -> None:
    assert attack("import os\nwhile True:\n    os.fork()", QUICK).detail.startswith("BlockingIOError: [Errno 11]")
    stubborn = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    began = time.monotonic()
    assert attack(stubborn, QUICK) == LATE
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("side_by_side", [1, 4])
def test_as_many_processes_as_are_allowed_and_no_more(side_by_side: int, attack: Attack) -> None:
    """Also where several programs run at a time: none counts another's."""
    count = """
import os, time
made = 0
try:
    while made < 50:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except BlockingIOError:
    pass
time.sleep(0.5)
assert made == 4, made
"""
    limits = Limits(processes=5)
    assert run_programs([count] * side_by_side, limits, workers=side_by_side) == [PASSED] * side_by_side


def test_many_threads(attack: Attack) -> None:
    threads = (
        "import threading, time\nfor i in range(200):\n    threading.Thread(target=time.sleep, args=(60,)).start()"
    )
    assert attack(threads, QUICK) == Outcome(False, "failed", "RuntimeError: can't start new thread")


@pytest.mark.parametrize("ending", ["", "os._exit(0)", "time.sleep(60)", "os.kill(os.getpid(), 9)"])
def test_a_child_that_would_outlive_it(ending: str, attack: Attack) -> None:
    child = """
import os, time, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 64)
        time.sleep(60)
    os._exit(0)
time.sleep(0.1)
"""
    began = time.monotonic()
    assert attack(child + ending, QUICK).passed is (ending == "")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("unsafe", [False, True])
def test_nothing_outlives_the_caller(unsafe: bool, tmp_path: Path) -> None:
    """Killed itself, it can tidy up no more: the kernel does."""
    call = f"run_program('import time; time.sleep(60)', unsafe={unsafe})"
    environment = {"PYTHONPATH": str(Path(walls.__file__).parents[2]), "TMPDIR": str(tmp_path)}
    caller = [sys.executable, "-c", f"from meshtune.sandbox.execution import run_program\n{call}"]
    with subprocess.Popen(caller, env=environment) as process:
        time.sleep(2)  # behind the trial that walls are permitted
        started = _descendants(str(process.pid))
        process.kill()
    assert len(started) == (2 if unsafe else 3)
    deadline = time.monotonic() + 5
    while any(map(_runs, started)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [one for one in started if _runs(one)] == []
    assert len(os.listdir(tmp_path)) == unsafe  # in the open, an empty folder stays behind


@pytest.mark.parametrize(
    "target, number, expected",
    [
        # The first of a namespace takes nothing from its own.
        ("os.getppid()", 9, PASSED),
        ("1", 9, PASSED),
        ("1", 15, PASSED),
        ("1", 19, PASSED),
        ("1", 14, LATE),  # its alarm clock
        # Nobody is left for it to hit but itself and its group.
        ("-1", 9, Outcome(False, "failed", "ProcessLookupError: [Errno 3] No such process")),
        ("0", 9, Outcome(False, "killed", "killed by SIGKILL")),
        ("0", 15, Outcome(False, "killed", "killed by SIGTERM")),
        ("0", 19, LATE),
        ("os.getpid()", 19, LATE),
    ],
)
def test_killing_others(target: str, number: int, expected: Outcome, attack: Attack) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda got, _: received.append(got))
    try:
        assert attack(f"import os\nos.kill({target}, {number})", QUICK) == expected
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == []


def test_killing_this_very_process_and_its_group(attack: Attack) -> None:
    for order, number in (("kill", os.getpid()), ("kill", os.getppid()), ("killpg", os.getpgrp())):
        outcome = attack(f"import os\nos.{order}({number}, 9)")
        if number > 100:  # lower ones, such as a container's first process, may name one inside the sandbox
            assert outcome.detail == "ProcessLookupError: [Errno 3] No such process"


def test_ignoring_every_signal(attack: Attack) -> None:
    deaf = """
import signal, time
for one in signal.valid_signals() - {9, 19, 32, 33}:
    signal.signal(one, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True:
    time.sleep(1)
"""
    assert attack(deaf, QUICK) == LATE


# Time and memory.


@pytest.mark.parametrize("loop", ["while True:\n    pass", "import time\ntime.sleep(10**6)", "9**9**9"])
def test_endless_loops(loop: str, attack: Attack) -> None:
    assert attack(loop, QUICK) == LATE


def test_ten_gigabytes(attack: Attack) -> None:
    memory = Outcome(False, "memory", "stopped at 1024 MiB of memory")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert attack("x = bytearray(10 * 10**9)") == memory
    assert attack("x = []\nwhile True:\n    x.append('y' * (1 << 26))", Limits(memory=256 * MIB)).kind == "memory"
    assert attack("import mmap\nmmap.mmap(-1, 10 * 10**9)") == memory
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 300 << 10)


def test_deep_recursion(attack: Attack) -> None:
    assert attack("def f(): return f()\nf()").detail == "RecursionError: maximum recursion depth exceeded"
    deep = "import sys\nsys.setrecursionlimit(10**9)\n"
    small = Limits(memory=128 * MIB, seconds=60, cpu_seconds=60)  # a busy machine takes long to fill it
    assert attack(deep + "def f(): return f()\nf()", small).kind in ("memory", "failed")
    assert attack(deep + "x = []\nfor _ in range(10**6):\n    x = [x]\nrepr(x)", small).passed is False
    assert attack("eval('(' * 10**5)").passed is False


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output(stream: str, attack: Attack) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = f"import sys\nwhile True:\n    sys.{stream}.write('x' * 10**6)"
    assert attack(flood, Limits(seconds=1)) == Outcome(False, "timeout", "stopped after 1 s")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (64 << 10)


def test_endless_output_on_every_pipe_it_holds(attack: Attack) -> None:
    flood = (
        "import os\nfor fd in range(3, 64):\n    try:\n        while True:\n            os.write(fd, b'x' * 4096)\n"
        "    except OSError:\n        pass"
    )
    assert attack(flood, Limits(seconds=1)).passed is False


# Files.


@pytest.mark.parametrize("way", ["absolute", "upwards", "link"])
def test_a_file_outside(way: str, attack: Attack, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the word")
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    tmp_path.chmod(0o777)
    (tmp_path / "secret").chmod(0o666)
    start = "/" if way != "upwards" else "../" * 12
    folder = start + str(tmp_path)[1:]
    follow = "import os\n" + ("os.symlink({0!r}, 'here')\nplace = 'here'" if way == "link" else "place = {0!r}").format(
        folder
    )
    for deed in (
        "open(place + '/new', 'w')",
        "open(place + '/secret').read()",
        "open(place + '/secret', 'a').write('x')",
        "os.remove(place + '/secret')",
        "os.rename(place + '/secret', place + '/gone')",
        "os.mkdir(place + '/folder')",
        "os.listdir(place)",
        "__import__('shutil').rmtree(place)",
    ):
        outcome = attack(f"{follow}\n{deed}")
        assert outcome.detail.startswith(("FileNotFoundError:", "OSError: Cannot call rmtree")), (deed, outcome)
    assert (tmp_path / "secret").read_text() == "the word"
    assert sorted(os.listdir(tmp_path)) == ["open", "secret", "temporary"]


def test_there_is_nothing_to_see_and_nothing_to_write(attack: Attack) -> None:
    """Every folder that it can reach: only its own can be written to, and none of the users' is there."""
    look = f"""
import os
known = ["bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "tmp", "usr"]
assert set(os.listdir("/")) <= {{*known, {sys.base_prefix.split("/")[1]!r}}}, os.listdir("/")
assert os.listdir("/etc") == ["ld.so.cache"] and os.listdir("/tmp") == []
assert sorted(os.listdir("/dev")) == ["null", "urandom", "zero"]
for folder, below, files in os.walk("/"):
    below[:] = below if folder.count("/") < 4 else []
    for name in [folder, *(os.path.join(folder, file) for file in files[:1])]:
        if not name.startswith(("/tmp", "/dev/")) and not os.path.islink(name):
            assert not os.access(name, os.W_OK), name
for name in ("/usr/x", "/x", "/etc/x", "/dev/x", "/usr/lib/x", os.__file__ + "x"):
    try:
        open(name, "w")
    except OSError as error:
        assert error.errno in (13, 30), error
    else:
        raise AssertionError(name)
"""
    assert attack(look) == PASSED


def test_a_long_file_and_a_full_folder(attack: Attack) -> None:
    long = "with open('a', 'wb') as file:\n    file.write(bytes({}))"
    assert attack(long.format(1 << 20)) == PASSED
    assert attack(long.format((1 << 20) + 1)).detail == "OSError: [Errno 27] File too large"
    many = "i = 0\nwhile True:\n    open(str(i), 'wb').write(bytes(1 << 20))\n    i += 1\n    assert i < 17"
    assert attack(many).detail == "OSError: [Errno 28] No space left on device"
    empty = "i = 0\nwhile True:\n    open(str(i), 'wb').close()\n    i += 1\n    assert i < 10_000"
    assert attack(empty).detail.startswith("OSError: [Errno 28] No space left on device")


def test_a_program_of_its_own_cannot_be_made(attack: Attack) -> None:
    make = "import os, shutil\nshutil.copy('/usr/bin/env', 'own')\nos.chmod('own', 0o4755)\nos.execv('./own', ['own'])"
    assert attack(make).detail.startswith("PermissionError")


# The network.


def test_a_port_of_this_machine(attack: Attack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for call in (
            f"socket.create_connection(('127.0.0.1', {port}), 2)",
            f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
            f"__import__('urllib.request').request.urlopen('http://127.0.0.1:{port}/')",
        ):
            outcome = attack(f"import socket\n{call}")
            assert "Operation not permitted" in outcome.detail, outcome
        with pytest.raises(TimeoutError):
            server.accept()


def test_names_and_sockets_of_others(attack: Attack) -> None:
    assert attack("import socket\nsocket.gethostbyname('example.com')").detail.startswith("socket.gaierror")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0meshtune-test-of-the-sandbox")
        server.listen()
        knock = "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0meshtune-test-of-the-sandbox')"
        assert attack(knock).detail == "ConnectionRefusedError: [Errno 111] Connection refused"


# The walls themselves.


def test_as_seen_from_outside(attack: Attack) -> None:
    """Namespaces, user, rights and filter of the process, as the kernel tells us of it."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(attack, "import time\ntime.sleep(60)", QUICK)
        time.sleep(0.8)  # it sleeps by now
        program = _program_of("self")
        for one in ("net", "mnt", "pid", "user", "ipc"):
            assert os.readlink(f"/proc/{program}/ns/{one}") != os.readlink(f"/proc/self/ns/{one}"), one
        status = Path(f"/proc/{program}/status").read_text().splitlines()
        seen = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        assert running.result() == LATE
    assert seen["Uid"].split() == [str(os.getuid() or 65534)] * 4
    assert {int(seen[one], 16) for one in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (seen["NoNewPrivs"], seen["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",  # a user namespace, in which it would be root
        "unshare(0x00020000)",
        "mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)",
        "mount(None, b'/usr', None, 4096 | 32, None)",
        "umount2(b'/usr', 2)",
        "chroot(b'/usr')",
        "setuid(0)",
        "sethostname(b'x', 1)",
        "ptrace(16, 1, 0, 0)",
        "shmget(0, 1 << 30, 0o1600)",
        "syscall(250, 3, -3, 0, 0)",  # keyctl, on x86-64
    ],
)
def test_calls_that_would_open_a_wall(call: str, attack: Attack) -> None:
    program = f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nassert libc.{call} == -1\n"
    assert attack(program + "assert ctypes.get_errno() in (1, 22), ctypes.get_errno()") == PASSED


def test_it_has_no_right_and_no_number_of_ours(attack: Attack) -> None:
    look = f"""
import ctypes, os, resource, stat
head, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capget(head, rights) == 0 and list(rights) == [0] * 6, list(rights)
assert (os.getpid(), os.getppid()) == (2, 1)
assert (os.getuid(), os.getgid()) == ({os.getuid() or 65534}, {os.getgid() or 65534})
for fd in range(3, 64):
    try:
        assert stat.S_ISFIFO(os.fstat(fd).st_mode), fd
    except OSError:
        pass
for which in range(16):
    hard = resource.getrlimit(which)[1]
    try:
        resource.setrlimit(which, (hard, hard + 1))
    except (OSError, ValueError):
        continue
    assert hard == -1, which
"""
    assert attack(look) == PASSED
