# SPDX-License-Identifier: MIT
"""What the tests have of inject.c: the file in which it is told what to do."""
import errno
import mmap
import os
import struct

HEAD = struct.Struct("=iiIIIII4I32s2000s")  # struct inject of inject.h
AT_CLASS, AT_COUNT, AT_FIRED = 0, 16, 20
THREADS, DESCRIPTORS, PROCESSES, DISK, SENT = range(1, 6)
CLASSES = {THREADS: "thread", DESCRIPTORS: "descriptor", PROCESSES: "process", DISK: "disk", SENT: "sent descriptor"}


class Injector:
    def __init__(self, library, path):
        with open(path, "wb") as file:
            file.truncate(HEAD.size)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), HEAD.size)
        self.env = {"LD_PRELOAD": library, "DSB_TEST_INJECT": path}

    def _number(self, at):
        return struct.unpack_from("=I", self.map, at)[0]

    def _set_class(self, kind):
        struct.pack_into("=i", self.map, AT_CLASS, kind)

    def arm(self, kind, code, nth, process, spared=(), span=1):
        """From now on; nth 0 only counts."""
        self._set_class(0)
        spared = [*spared, 0, 0, 0, 0][:4]
        HEAD.pack_into(self.map, 0, 0, code, nth, span, 0, 0, 0, *spared, process.encode(), b"")
        self._set_class(kind)

    def disarm(self):
        self._set_class(0)

    @property
    def count(self):
        return self._number(AT_COUNT)

    @property
    def fired(self):
        """Where the fault was; None: there was none."""
        if self._number(AT_FIRED) == 0:
            return None
        return HEAD.unpack_from(self.map)[-1].split(b"\0")[0].decode()

    def close(self):
        self.map.close()


def words(code):
    """What a message has to say, in small letters."""
    return os.strerror(code).lower()


ERRORS = {THREADS: (errno.EAGAIN,), DESCRIPTORS: (errno.EMFILE, errno.ENFILE), PROCESSES: (errno.EAGAIN,),
          DISK: (errno.ENOSPC, errno.EIO), SENT: (errno.ETOOMANYREFS,)}
