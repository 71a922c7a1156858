# SPDX-License-Identifier: MIT
"""Many lines: printed into memory that dsb-init shares, in place of a system call for each.

kernel.py loads this file when a program has printed LINES of them; its names are here as well.  Until then, and again as soon as
there could be somebody else who writes to standard output or looks at how we do it, each line is a write to the pipe.

guest/init/ring.c is the other side: what is in the memory is there when the process is killed, and comes before what is in the
pipe.  So a lap in the memory begins only when all that went into the pipe has been taken out of it.
"""
STDLIB = os.__file__.rpartition("/")[0] + "/"
PACKAGES = ("/site-packages/", "/dist-packages/")
PAGE, MACHINES = 4096, ("x86_64",)  # which show what they write in its order
FIONREAD = 0x541B

# Modules by which other processes, or C code that we do not know, come to the descriptor.
STRANGERS = frozenset(("_posixsubprocess", "multiprocessing", "_curses", "readline", "pty"))
# What a program says that writes past sys.stdout, moves descriptor 1, or runs code that is not in its text.
WORDS = (
    "dup", "fork", "spawn", "os.write", "os.close", "os.exec", "os.system", "os.popen", "os.open", "os.pipe", "closerange",
    "os as ", "from os ", "posix", "fileno", "sendfile", "splice", "writev", ".raw", "detach", "write_pipe", "exec(", "eval(",
    "compile(", "__import__", "import_module", "getattr(os", "vars(os", "os.__dict__", "sys.modules", "globals(", "runpy",
    "ctypes", "settrace", "setprofile", "monitoring", "addaudithook", "set_threads",
)
# All other events end it.
HARMLESS = frozenset((
    "builtins.id", "sys._getframe", "sys._getframemodulename", "object.__getattr__", "object.__setattr__", "object.__delattr__",
    "array.__new__", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "time.sleep", "builtins.input",
    "builtins.input/result", "open", "fcntl.ioctl", "_thread.start_new_thread", "_thread.start_joinable_thread",
))  # fmt: skip
LEAVE = [None]  # of the stream that prints into memory now


def ends(event, args):
    if event == "open":
        path = args[0]
        return type(path) is not str or path.startswith(("/dev", "/proc"))
    return event not in HARMLESS


def hook(event, args):
    if LEAVE[0] is not None and ends(event, args):
        disengage()


def is_pipe(fd):
    try:
        return os.fstat(fd).st_mode & 0o170000 == 0o010000
    except OSError:
        return False


def is_known(name, module):
    if name in STRANGERS:
        return False
    if name in AT_START or name == "__main__":
        return True
    spec = module.__dict__.get("__spec__") if type(module) is type(sys) else None
    origin = getattr(spec, "origin", None)
    if origin in ("built-in", "frozen"):
        return True
    return isinstance(origin, str) and origin.startswith(STDLIB) and not any(part in origin for part in PACKAGES)


def is_one_at_a_time():
    """One thread after the other."""
    return not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled()


def is_watched():
    monitoring = getattr(sys, "monitoring", None)
    tools = monitoring is not None and any(monitoring.get_tool(i) is not None for i in range(6))
    return tools or sys.gettrace() is not None or sys.getprofile() is not None


def alone(texts):
    """Nobody but the stream writes to descriptor 1, as far as can be known."""
    if library("_thread")._count() or not is_one_at_a_time() or is_watched() or not is_pipe(1):
        return False
    if not all([is_known(name, module) for name, module in list(sys.modules.items())]):
        return False
    return not any([word in text for text in texts for word in WORDS])


def engage(buffer, execution):
    """Where it can be.  It is a step of a flush, so what is raised here is the code's own: a signal's."""
    report, texts = execution.report, execution.texts()
    if report and report.ring and texts is not None and os.uname().machine in MACHINES and alone(texts):
        begin_printing(buffer, report)


def disengage():
    if LEAVE[0] is not None:
        LEAVE[0]()


def begin_printing(buffer, report):
    memory, start = report.memory, report.ring + PAGE
    numbers = memoryview(memory)[report.ring : report.ring + 24].cast("Q")
    lap, head, ready = numbers[:1], numbers[1:2], numbers[2:]
    put, seek = memory.write, memory.seek
    write_on, flush = type(buffer).write.__get__(buffer), type(buffer).flush.__get__(buffer)
    ioctl, unread, thread_count = library("fcntl").ioctl, bytearray(4), library("_thread")._count

    class Position:
        __index__ = memory.tell

    # What a flush is then: head[0] = memory.tell(), all of it C.
    publish = partial(library("_operator").setitem, head, 0, Position())

    def write(data):
        try:
            written = put(data)
        except ValueError:  # there is no room
            return full(data)
        if left:  # by another thread, just now: nobody flushes this any more
            publish()
        return written

    def full(data):
        nonlocal owed
        if thread_count():
            leave()
        else:
            publish()
            owed = True
            use(direct, flush)
        return to_pipe(data)

    def direct(data):
        if owed or left or thread_count() or not is_taken():
            return to_pipe(data)
        begin_lap()
        return write(data)

    def to_pipe(data):
        nonlocal owed
        written = write_on(data)
        flush()
        owed = owed and not written
        return written

    def is_taken():
        ioctl(1, FIONREAD, unread)
        return not any(unread) and ready[0]

    def begin_lap():
        seek(start)
        head[0] = start
        lap[0] += 1
        use(write, publish)

    def use(how, flushes):
        buffer.write, buffer.flush = how, flushes

    def leave():
        nonlocal left
        LEAVE[0], left = None, True
        now = buffer.__dict__.pop("flush", None)
        buffer.__dict__.pop("write", None)
        if now is publish:
            publish()

    left, owed = False, False  # owed: what ends the last lap has to come into the pipe
    if not LEAVE[1:]:
        LEAVE.append(sys.addaudithook(hook))
    head[0], lap[0] = start, 1  # dsb-init looks here from now on
    LEAVE[0] = leave
    use(direct, flush)
