# SPDX-License-Identifier: MIT
"""
Who writes to files below a directory of a machine that others use, too: the kernel says which process closed a file that it could
write, and what that process is, is looked at right then. For root; without fanotify nobody is known.
"""
import ctypes
import errno
import os
import struct
import threading

CLOEXEC, NONBLOCK, UNLIMITED_QUEUE = 0x1, 0x2, 0x10
ADD, ONLY_DIRECTORIES = 0x1, 0x8
CLOSE_WRITE, ON_CHILD = 0x8, 0x08000000
AT_FDCWD = -100
EVENT = struct.Struct("=IBBHQii")  # length, version, reserved, length of this, mask, descriptor, process
AT_ONCE = 64  # each comes with a descriptor
LIBC = ctypes.CDLL(None, use_errno=True)


def parent(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode("utf-8", "replace")


class Writers:
    """`ours(pid, command line)` says whether a process is; it is asked of each writer and of all that it comes from."""

    def __init__(self, top, ours):
        self.top, self.ours = top.rstrip("/") + "/", ours
        self.seen = {}  # directory: who wrote there, as (whose, what)
        self.queue = LIBC.fanotify_init(CLOEXEC | UNLIMITED_QUEUE, os.O_RDONLY | os.O_CLOEXEC)
        # Each directory for itself: what all others on the machine write would be looked at too late.
        if self.queue >= 0 and all([self.mark(folder) for folder, _, _ in os.walk(top)]):
            threading.Thread(target=self.read, daemon=True).start()

    def mark(self, folder):
        return LIBC.fanotify_mark(self.queue, ADD | ONLY_DIRECTORIES, ctypes.c_uint64(CLOSE_WRITE | ON_CHILD), AT_FDCWD, os.fsencode(folder)) == 0

    def read(self):
        while True:
            try:
                data = os.read(self.queue, AT_ONCE * EVENT.size)
            except OSError as problem:
                if problem.errno in (errno.EBADF, errno.EINVAL):
                    return
                continue  # that file cannot be opened; the next one may
            while data:
                size, *_, file, pid = EVENT.unpack_from(data)
                data = data[size:]
                if file < 0:
                    continue
                try:
                    path = os.readlink(f"/proc/self/fd/{file}")
                finally:
                    os.close(file)
                if path.startswith(self.top):
                    self.seen.setdefault(os.path.dirname(path), set()).add(self.who(pid))

    def who(self, pid):
        """One that is gone before it was looked at may have been ours."""
        try:
            said = line(pid)
            while pid > 1:
                if self.ours(pid, line(pid)):
                    return "ours", said
                pid = parent(pid)
            return "another's", said
        except OSError:
            return "unknown", str(pid)

    def of_others(self, path):
        """Somebody else wrote in its directory, or in one above that may have been made with it, and nobody of ours did."""
        while path.startswith(self.top):
            path = os.path.dirname(path)
            whose = {each for each, _ in self.seen.get(path, ())}
            if whose:
                return whose == {"another's"}
        return False
