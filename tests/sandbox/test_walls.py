"""The walls: a call that is refused names itself, and a process behind them sees a root of its own. Linux alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshtune.errors import UserError
from meshtune.sandbox import walls
from meshtune.sandbox.execution import check_sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="walls are Linux's")


@pytest.fixture
def permitted() -> None:
    try:
        check_sandbox()
    except UserError as error:
        pytest.skip(str(error))


def behind(program: str, space: int = 1 << 20) -> str:
    """Return what a process behind walls says."""
    begin = (
        f"import os, sys\nsys.path.append(sys.argv.pop(1))\nfrom meshtune.sandbox import walls\nwalls.build({space})\n"
    )
    root = str(Path(walls.__file__).parents[2])
    python = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    done = subprocess.run([python, "-I", "-S", "-c", begin + program, root], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


def test_a_call_that_fails_names_itself_with_the_systems_reason() -> None:
    walls.call("getppid")
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        walls.call("close", 10**6)
    assert (caught.value.errno, caught.value.filename) == (9, "close")
    with pytest.raises(FileNotFoundError):
        walls.call("chroot", "/nowhere/at/all")
    with pytest.raises(FileNotFoundError):
        walls.call("chroot", "/größe")  # text goes over as the file system has it


def test_numbers_are_handed_over_whole() -> None:
    """As a C long: of a file offset beyond 2^32 nothing is cut."""
    reading = os.open(__file__, os.O_RDONLY)
    try:
        walls.call("lseek", reading, (1 << 33) + 5, 0)
        assert os.lseek(reading, 0, os.SEEK_CUR) == (1 << 33) + 5
    finally:
        os.close(reading)


def test_the_interpreters_own_folders_are_shown_and_no_users() -> None:
    wanted = walls._wanted()
    prefix = os.path.realpath(sys.base_prefix)
    if not prefix.startswith("/usr"):
        assert f"{prefix}/lib" in wanted
    assert "/usr" in wanted
    assert not {"/", "/home", "/root", "/etc", "/proc", "/dev", "/tmp", str(Path.home())} & set(wanted)
    assert len(set(wanted)) == len(wanted)


@pytest.mark.usefixtures("permitted")
def test_behind_walls_there_is_one_folder_to_write_to_and_no_network() -> None:
    look = """
found = [os.getcwd(), sorted(os.listdir("/dev")), os.listdir("."), os.path.exists("/proc"), os.path.exists("/var")]
open("own", "w").write("x")
for path in ("/new", "/usr/new", "/etc/ld.so.cache"):
    try:
        open(path, "w")
    except OSError as error:
        found.append(error.errno in (13, 30))
with open("/dev/null", "w") as nothing:
    nothing.write("x")
print(found, os.listdir("."), os.getuid() != 0)
"""
    here = ["/tmp", ["null", "urandom", "zero"], [], False, False, True, True, True]
    assert behind(look) == f"{here} ['own'] True\n"


@pytest.mark.usefixtures("permitted")
def test_the_folder_holds_as_much_as_it_is_given() -> None:
    fill = """
written = 0
try:
    with open("all", "wb", 0) as file:
        while True:
            written += file.write(bytes(4096))
except OSError as error:
    print(error.errno, written)
"""
    for space in (1 << 16, 1 << 20):
        assert behind(fill, space) == f"28 {space}\n"


@pytest.mark.usefixtures("permitted")
def test_the_first_child_is_alone_and_has_no_right_once_it_gave_them_up() -> None:
    look = """
child = os.fork()
if child == 0:
    walls.give_up_rights()
    told = []
    for name, arguments in (("unshare", (0x10000000,)), ("sethostname", ("x", 1)), ("setuid", (0,))):
        try:
            walls.call(name, *arguments)
        except OSError as error:
            told.append(error.filename)
    print(os.getpid(), os.getppid(), told, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert behind(look) == "1 0 ['unshare', 'sethostname', 'setuid']\n"
