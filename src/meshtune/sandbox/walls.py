"""The isolation of a program: its own namespaces, and a root with what Python needs to run and one small folder.

All of it belongs to the calling process and disappears with the last of its children: nothing is mounted, made or
written where others can see it. It only needs the right to create a user namespace, inside which this process may do
the rest.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys

from meshtune.sandbox.calls import refuse_calls

WORK = "/tmp"
"""The program's folder, inside the sandbox."""
NOBODY = 65534
"""The user that root becomes: the kernel does not count the processes of its own root."""
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache"),
    *("/dev/null", "/dev/zero", "/dev/urandom"),
)
# The new root is assembled on a mount on this folder, in a separate folder below.
PLACE, JAIL = "/tmp", "/tmp/.meshtune-jail"

# Of sched.h: mounts, user, process ids, network, System V objects.
NAMESPACES = 0x00020000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x08000000
# Of sys/mount.h.
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE, DETACH = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18, 2
KEPT = {"nosuid": NOSUID, "nodev": NODEV, "noexec": NOEXEC}
# Of sys/prctl.h.
SET_PDEATHSIG, SET_DUMPABLE, CAPBSET_DROP, SET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38

LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | str | None) -> None:
    """Call a function of the C library.

    Raises:
        OSError: the call failed; carries its name.
    """
    passed = [
        ctypes.c_long(one) if isinstance(one, int) else one if one is None else os.fsencode(one) for one in arguments
    ]
    if getattr(LIBC, name)(*passed) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def build(space: int) -> None:
    """Isolate this process; processes that it starts from now on are alone in their process-id namespace.

    Args:
        space: bytes of the one writable folder.

    Raises:
        OSError: this system does not permit it.
    """
    root = os.geteuid() == 0
    if root:
        _enter_as_root()
    else:
        _enter_as_user()
    call("mount", None, "/", None, REC | PRIVATE, None)
    # Opened under our own identity: root's own Python may be unreadable to others.
    found = {path: os.open(path, os.O_PATH | os.O_NOFOLLOW) for path in _wanted() if os.path.lexists(path)}
    if root:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    call("prctl", SET_DUMPABLE, 0, 0, 0, 0)
    os.umask(0o022)
    call("mount", "tmpfs", PLACE, "tmpfs", NOSUID | NODEV, "size=1m,nr_inodes=1000,mode=755")
    os.makedirs(JAIL + WORK)
    files = 1000 + space // 4096
    call("mount", "tmpfs", JAIL + WORK, "tmpfs", NOSUID | NODEV | NOEXEC, f"size={space},nr_inodes={files},mode=700")
    for path, opened in found.items():
        _show(opened, JAIL + path)
        os.close(opened)
    _close_for_writing()
    os.chdir(PLACE)
    # The old root is mounted over the new one, then detached.
    call("pivot_root", ".", ".")
    call("umount2", ".", DETACH)
    # A process whose root differs from its mounts' root may not create user namespaces, where it would regain rights.
    os.chroot(os.path.basename(JAIL))
    os.chdir(WORK)


def give_up_rights() -> None:
    """Keep everything that this process executes from gaining rights beyond those of its plain user."""
    for capability in range(64):
        try:
            call("prctl", CAPBSET_DROP, capability, 0, 0, 0)
        except OSError:  # past the kernel's last capability
            break
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refuse_calls(LIBC)


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent ends. A change of user would undo this."""
    call("prctl", SET_PDEATHSIG, 9, 0, 0, 0)


def adopt() -> None:
    """Become the parent of orphaned descendants."""
    call("prctl", SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _enter_as_user() -> None:
    user, group = os.geteuid(), os.getegid()
    call("unshare", NAMESPACES)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def _enter_as_root() -> None:
    # Another user's id must be written by a process outside the namespace.
    entered, enter = os.pipe()
    us, helper = os.getpid(), os.fork()
    if helper == 0:
        code = 1
        try:
            os.close(enter)
            os.read(entered, 1)
            for which in ("uid_map", "gid_map"):
                _write(f"/proc/{us}/{which}", f"{NOBODY} {NOBODY} 1")
            code = 0
        except OSError as error:
            code = error.errno or 1
        finally:
            os._exit(code)
    try:
        call("unshare", NAMESPACES)
    finally:
        os.close(enter)
        code = os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1])
        os.close(entered)
    if code != 0:
        raise OSError(code, os.strerror(abs(code)), "uid_map")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _wanted() -> list[str]:
    prefix = os.path.realpath(sys.base_prefix)
    own = [f"{prefix}/{folder}" for folder in ("bin", "lib", "lib64")]
    return [*SYSTEM, *(path for path in own if not path.startswith(("/usr/", "//")))]


def _show(opened: int, place: str) -> None:
    """Bind-mount the file descriptor ``opened`` at ``place``; its path may no longer be reachable."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    kind = os.fstat(opened).st_mode
    if stat.S_ISLNK(kind):
        os.symlink(os.readlink("", dir_fd=opened), place)
        return
    if stat.S_ISDIR(kind):
        os.makedirs(place, exist_ok=True)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
    call("mount", f"/proc/self/fd/{opened}", place, None, BIND | REC, None)


def _close_for_writing() -> None:
    """Make every mount of the new root read-only except the work folder, including nested mounts."""
    with open("/proc/self/mountinfo", "rb") as file:
        rows = [line.split(b" ") for line in file]
    for row in rows:
        place = os.fsdecode(row[4])
        for escape, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            place = place.replace(escape, letter)
        if place == JAIL + WORK or not (place == PLACE or place.startswith(JAIL + "/")):
            continue
        flags = RDONLY | NOSUID | (0 if place.startswith(JAIL + "/dev/") else NODEV)
        for option in row[5].decode().split(","):
            flags |= KEPT.get(option, 0)
        call("mount", None, place, None, REMOUNT | BIND | flags, None)
