# SPDX-License-Identifier: MIT
"""Where the per-user service is, and how it is started when it is not there.

Same rules as the program's own: whoever gets the lock beside the socket starts it, all others wait for that one.
"""
import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from typing import Dict, Iterator, List, Optional

from ._http import Http
from .errors import DeniedError, InvalidError, UnavailableError

START_SECONDS = 30.0
LOG_MAX = 1 << 20  # bytes
PASSED = frozenset(
    """PATH HOME USER LOGNAME LANG TZ TMPDIR DBUS_SESSION_BUS_ADDRESS CONTAINERS_CONF CONTAINERS_STORAGE_CONF
    CONTAINERS_REGISTRIES_CONF BUILDAH_ISOLATION G_DEBUG""".split()
)
PASSED_PREFIXES = ("LC_", "XDG_", "DOCKER_", "CONTAINER_", "DSB_", "ASAN_", "LSAN_", "UBSAN_", "TSAN_")
SOCKET_PATH_MAX = 107  # bytes, sizeof(sun_path) - 1


def _default_dir() -> str:
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.geteuid()}"):
        try:
            info = os.stat(place) if os.path.isabs(place) else None
        except OSError:
            info = None
        if info is not None and info.st_uid == os.geteuid() and not info.st_mode & 0o022:
            return os.path.join(place, "dsandbox")
    return f"/tmp/.dsandbox-{os.geteuid()}"


def default_socket() -> str:
    """$XDG_RUNTIME_DIR/dsandbox/api.sock, else in /run/user/UID, else /tmp/.dsandbox-UID/api.sock."""
    return os.path.join(_default_dir(), "api.sock")


def check_directory(path: str) -> None:
    """Nobody else can put a socket there. The default directory is made when it is missing."""
    if not os.path.isabs(path) or len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise InvalidError(f"the socket {path} must be an absolute path of at most {SOCKET_PATH_MAX} bytes")
    directory = os.path.dirname(path)
    ours = directory == _default_dir()
    try:
        if ours:
            os.makedirs(directory, 0o700, exist_ok=True)
        info = os.lstat(directory)
    except FileExistsError:
        raise DeniedError(f"{directory} is not a directory; remove it, or set XDG_RUNTIME_DIR") from None
    except OSError as error:
        raise UnavailableError(f"the directory {directory} of the service's socket: {error.strerror}") from error
    shared = bool(info.st_mode & 0o022) and not info.st_mode & stat.S_ISVTX
    foreign = info.st_uid != os.geteuid() and (info.st_uid != 0 or ours)
    if not stat.S_ISDIR(info.st_mode) or shared or foreign or (ours and info.st_mode & 0o077):
        raise DeniedError(
            f"the directory {directory} of the service's socket is not yours alone; remove it, or set XDG_RUNTIME_DIR"
        )


def _near_package() -> Iterator[str]:
    here = os.path.dirname(os.path.abspath(__file__))
    yield os.path.join(here, "bin", "dsandbox")
    yield os.path.join(sys.prefix, "bin", "dsandbox")
    top = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    if os.path.isfile(os.path.join(top, "meson.build")):  # a source tree
        yield os.path.join(top, "build", "cli", "dsandbox")


def find_program(program: Optional[str] = None) -> str:
    """The program `dsandbox`: as given, else $DSANDBOX_PROGRAM, else on PATH, else beside this package."""
    given = program or os.environ.get("DSANDBOX_PROGRAM")
    if given:
        if os.path.isfile(given) and os.access(given, os.X_OK):
            return os.path.abspath(given)
        what = "program" if program else "$DSANDBOX_PROGRAM"
        raise UnavailableError(f"{what} is '{given}', no executable file; give the path of the program dsandbox")
    found: List[Optional[str]] = [shutil.which("dsandbox")]
    found += _near_package()
    for path in found:
        if path and os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise UnavailableError(
        "the program dsandbox was not found; install it, or set DSANDBOX_PROGRAM to its path "
        "(this package speaks to the service that `dsandbox serve` runs)"
    )


def answers(path: str) -> Optional[UnavailableError]:
    """None when a service answers at the socket, else why not. An error that starting cannot cure is raised."""
    try:
        Http(path, timeout=20.0).json("GET", "/v1/version")
        return None
    except UnavailableError as error:
        return error


def ensure(path: str, start: bool, program: Optional[str] = None) -> None:
    """A service answers at `path` afterwards."""
    check_directory(path)
    why = answers(path)
    if why is None:
        return
    if not start:
        raise UnavailableError(f"no service answers at {path}; start it with `dsandbox serve`")
    executable = find_program(program)
    deadline = time.monotonic() + START_SECONDS
    lock = _lock(_sibling(path, ".lock"), deadline)
    try:
        if answers(path) is None:
            return
        # It finds one that answers, and that one ends just then: hence a second time.
        problem = _start(executable, path, deadline) and _start(executable, path, deadline)
        if problem:
            raise UnavailableError(problem)
    finally:
        os.close(lock)


def _sibling(path: str, suffix: str) -> str:
    return (path[: -len(".sock")] if path.endswith(".sock") else path) + suffix


def _private_file(path: str, flags: int) -> int:
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise DeniedError(f"cannot open {path}: {error.strerror}") from error
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid():
        return fd
    os.close(fd)
    raise DeniedError(f"{path} is not a file of yours")


def _lock(path: str, deadline: float) -> int:
    fd = _private_file(path, os.O_RDWR)
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > deadline:
                os.close(fd)
                raise UnavailableError(f"{path} is locked: somebody else is starting the service") from error
        time.sleep(0.02)


def _environment() -> Dict[str, str]:
    """What the service needs of ours; the rest is none of its business for all the time that it lives."""
    return {key: value for key, value in os.environ.items() if key in PASSED or key.startswith(PASSED_PREFIXES)}


def _start(program: str, path: str, deadline: float) -> Optional[str]:
    """None: a service answers, this one or another. Else why this one has ended."""
    log_path = _sibling(path, ".log")
    log = _private_file(log_path, os.O_WRONLY | os.O_APPEND)
    if os.fstat(log).st_size > LOG_MAX:
        os.ftruncate(log, 0)
    begin = os.fstat(log).st_size
    try:
        child = subprocess.Popen(
            [program, "serve", "--socket", path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise UnavailableError(f"cannot start {program}: {error.strerror}") from error
    finally:
        os.close(log)
    # Collects it when it ends before this process does.
    threading.Thread(target=child.wait, name="dsandbox-serve", daemon=True).start()
    pause = 0.005
    while answers(path) is not None:
        status = child.poll()
        if status is not None and answers(path) is None:
            return None
        if status is not None:
            return f"`{program} serve` ended at once with status {status}{_tail(log_path, begin)}"
        if time.monotonic() > deadline:
            child.terminate()
            raise UnavailableError(f"`{program} serve` did not answer in {START_SECONDS:g} s{_tail(log_path, begin)}")
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return None


def _tail(path: str, begin: int) -> str:
    try:
        with open(_private_file(path, os.O_RDONLY), "rb") as log:
            log.seek(max(begin, os.fstat(log.fileno()).st_size - 2000))
            text = log.read(2000).decode("utf-8", "replace").strip()
    except (OSError, DeniedError):
        return ""
    return f": {text}" if text else f"; it said nothing, see {path}"
