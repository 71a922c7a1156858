# SPDX-License-Identifier: MIT
"""What every probe may use. The runner sends this file, then the group's file, to the sandbox.

A probe is a function that returns its answer; lists become words separated by one space. The
answer must not depend on the backend or the kernel, so a probe names what it finds wrong and
folds the errors that mean the same. FACTS is what the host side says about itself.
"""
import ctypes
import errno
import json
import os
import select
import signal
import socket
import stat
import sys
import time

TEMPO = 1  # 10 where the runner asks again, with the settings of `#: slow`

_libc = ctypes.CDLL(None, use_errno=True)
_column = 1 if os.uname().machine == "aarch64" else 0

# Kernel interface numbers: x86-64, aarch64.
_NUMBERS = {
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "mount_setattr": (442, 442), "syslog": (103, 116), "ptrace": (101, 117),
    "unshare": (272, 97), "clone": (56, 220), "setns": (308, 268), "pivot_root": (155, 41),
}


def err(action):
    """'ok' when the action works, else the errno's name or the exception's type."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    except BaseException as error:
        return type(error).__name__
    return "ok"


def call(name, *arguments):
    """A raw system call: 'ok' or the errno's name."""
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(_NUMBERS[name][_column]), *values)
    if result != -1:
        return "ok"
    return errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))


def attempts(actions, closed):
    """Of {name: action}, those that answer anything but an error in `closed`: 'name=answer'."""
    answers = {name: err(action) for name, action in actions.items()}
    return ["%s=%s" % item for item in answers.items() if item[1] not in closed] or "none"


def walk(*without):
    """os.walk of the whole tree but for /proc, /sys and the trees named."""
    skipped = ("proc", "sys") + without
    for folder, folders, files in os.walk("/"):
        if folder == "/":
            folders[:] = [name for name in folders if name not in skipped]
        yield folder, folders, files


def mounts():
    """/proc/self/mountinfo as dicts."""
    rows = []
    with open("/proc/self/mountinfo") as table:
        for line in table:
            left, right = line.rstrip("\n").split(" - ", 1)
            words, tail = left.split(" "), right.split(" ")
            rows.append({"root": words[3], "target": words[4], "options": words[5].split(","),
                         "tags": words[6:], "type": tail[0], "super": tail[2].split(",")})
    return rows


def closed_by_the_image(path):
    """Whether a directory above is closed, and is the image's with all that is in it: the host's is not there."""
    folder = "/"
    for part in path.split("/")[1:-1]:
        folder = os.path.join(os.path.realpath(folder), part)
        if os.path.isdir(folder) and not os.access(folder, os.X_OK):
            return not any((row["target"] + "/").startswith(folder + "/") for row in mounts())
    return False


def host_files():
    """Of the host's files that were made to be looked for, those that could be found here."""
    return [path for path in FACTS["canary_paths"] if not closed_by_the_image(path)]


def status(path="/proc/self/status"):
    with open(path) as lines:
        return {key: value.strip() for key, value in (line.split(":", 1) for line in lines if ":" in line)}


def read_only(path):
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def alone():
    """Whether there is no network at all; nothing may be sent anywhere otherwise."""
    return sorted(os.listdir("/sys/class/net")) == ["lo"]


def _text(answer):
    if isinstance(answer, (list, tuple)):
        return " ".join(_text(item) for item in answer)
    return str(answer)


def _answer(probe):
    try:
        return _text(probe())
    except BaseException as error:
        return ("raised %s: %s" % (type(error).__name__, error))[:400]


def _say(name, answer):
    line = "@case " + json.dumps({"id": name, "answer": answer[:4000]}) + "\n"
    sys.stdout.flush()
    os.write(1, line.encode())


def _collect(descriptor, seconds):
    """All bytes up to end of file, or None when that takes too long."""
    deadline, data = time.monotonic() + seconds, b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return data
        data += chunk


def _patience():
    """Seconds until a probe counts as stuck: 20 where a fork and a little work take 20 ms, as on an idle machine."""
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        sum(range(300000))
        os._exit(0)
    os.waitpid(child, 0)
    return min(max(20, 1000 * (time.monotonic() - begin)) * 3, 300)


def run_each(probes):
    """Each probe in a forked child of its own; a line per probe."""
    seconds = _patience()
    for name, probe in probes:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(_answer(probe).encode("utf-8", "backslashreplace"))
            os._exit(0)
        os.close(writer)
        data = _collect(reader, seconds)
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)[1]
        if data is None:
            _say(name, "no answer in time")
        elif not data and os.WIFSIGNALED(ended) and os.WTERMSIG(ended) != signal.SIGKILL:
            _say(name, "died of signal %d" % os.WTERMSIG(ended))
        else:
            _say(name, data.decode())


def run_alone(name, probe):
    """One probe as the sandbox's first and only code, with nothing opened before."""
    _say(name, _answer(probe))


def meet():
    """In a case that runs in two sandboxes at once: say so, and stay until both are done."""
    os.write(1, b"@ready\n")
    os.read(0, 1)
