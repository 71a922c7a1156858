# SPDX-License-Identifier: MIT
"""Session mode: one namespace for many executions, and copies of it to go back to.

kernel.py loads this file; its names are here as well.  User code shares the
process with it, so this is not a place for secrets: dsb-init takes what is said
here as the user's word.  What it needs is bound before user code runs, and while
it works all signals are blocked, so that a handler of the user's cannot stop it
half-way; shielded() opens them for the user's part.
"""
import _io

dup2, close, fstat, open_fd = os.dup2, os.close, os.fstat, os.open
exit_now, environ = os._exit, os.environ
O_RDONLY, O_RDWR, O_WRONLY, O_CLOEXEC = os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_CLOEXEC
pthread_sigmask = _signal.pthread_sigmask
set_signal, on_interrupt = _signal.signal, _signal.default_int_handler
recursion_limit, set_recursion_limit = sys.getrecursionlimit, sys.setrecursionlimit
settrace, setprofile, modules = sys.settrace, sys.setprofile, sys.modules
new_socket = _socket.socket
ANSWER = struct.Struct("<cBHIQ")
variables = load("variables.py")
name_of_type = variables["name_of_type"]

SIGNALS = frozenset(_signal.valid_signals()) - {_signal.SIGKILL, _signal.SIGSTOP}
SOURCES_MAX = 1000
RECURSION_MIN = 300  # below, not even the next execution could start
FILES = (_io.TextIOWrapper, _io.BufferedWriter, _io.BufferedRandom)


def open_maximum():
    try:
        return os.sysconf("SC_OPEN_MAX")
    except (OSError, ValueError):
        return 256


class Link:
    """The control socket: close-on-exec, at a high number, and remade when the code has closed it."""

    def __init__(self, sock, name):
        self.name = name
        self.number = max(10, min(open_maximum(), 1024) - 10)
        self.place(sock.detach())

    def place(self, fd):
        dup2(fd, self.number, inheritable=False)
        close(fd)
        self.sock = new_socket(fileno=self.number)
        self.inode = fstat(self.number).st_ino

    def ours(self):
        try:
            return fstat(self.number).st_ino == self.inode
        except OSError:
            return False

    def check(self):
        """Comes back through dsb-init's listener if something else is where our socket was."""
        if self.ours():
            return
        self.sock.detach()
        self.reconnect()

    def reconnect(self):
        if not self.name:
            exit_now(70)
        sock = new_socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        sock.connect("\0" + self.name)
        self.sock = sock
        self.number = sock.fileno()
        self.inode = fstat(self.number).st_ino

    def send(self, letter, code, count, number, nonce):
        message = ANSWER.pack(letter, code, count, number, nonce)
        self.check()
        try:
            self.sock.send(message)
        except OSError:
            self.sock.detach() if not self.ours() else self.sock.close()
            self.reconnect()
            self.sock.send(message)


def block_signals():
    """Returns the mask that was.  Handlers that were due run now, and may raise."""
    return pthread_sigmask(_signal.SIG_BLOCK, SIGNALS)


class Sources:
    """The text of every execution, for tracebacks; linecache is not loaded for that alone."""

    def __init__(self):
        self.texts = {}
        self.told = set()

    def add(self, filename, code):
        self.texts.pop(filename, None)
        self.texts[filename] = code
        self.told.discard(filename)
        while len(self.texts) > SOURCES_MAX:
            oldest = next(iter(self.texts))
            del self.texts[oldest]
            self.told.discard(oldest)
        if "linecache" in modules:
            self.tell()

    def tell(self):
        for filename, code in self.texts.items():
            if filename not in self.told:
                try:
                    remember_source(filename, code)
                    self.told.add(filename)
                except Exception:
                    return  # the code has put something else in its place


class SessionExecution(Execution):
    sources = Sources()

    def _format(self, error, tb):
        self.sources.tell()
        return super()._format(error, tb)


class Session:
    def __init__(self, control, config):
        self.control = control
        _, hello, fds = control.receive()
        self.report = Report(fds[0]) if fds else None
        self.link = Link(control.sock, hello["listener"])
        control.sock = self.link.sock
        self.pid = getpid()
        self.mask = pthread_sigmask(_signal.SIG_BLOCK, ())
        self.error = None
        self.displays = None
        self.main = self.new_main()
        self.points = load("point.py", globals())["Points"](self, config)
        self.variables = variables["Variables"](self.main.__dict__)
        v = self.variables
        self.operations = {"vars": v.op_vars, "get": v.op_get, "save": v.op_save, "restore": v.op_restore}
        self.environment(config.get("env") or {}, True)
        self.out_errors, self.in_errors, self.err_errors = sys.stdout.errors, sys.stdin.errors, sys.stderr.errors
        self.stdout, self.stderr = self.new_stream(1, self.out_errors), self.new_stream(2, self.err_errors)
        self.renew_streams()
        builtins.display = self.display

    @staticmethod
    def new_main():
        main = type(sys)("__main__")
        main.__builtins__ = builtins
        modules["__main__"] = main
        return main

    @staticmethod
    def environment(env, first):
        environ.clear()
        environ.update(env)
        if first:
            paths = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
            sys.path[:] = ["/sandbox"] + paths + TRUSTED_PATH
        if "TZ" in env:
            library("time").tzset()

    # --- streams

    @staticmethod
    def new_stream(fd, errors):
        raw = _io.FileIO(fd, "w", closefd=False)
        raw.name = ("<stdin>", "<stdout>", "<stderr>")[fd]
        text = _io.TextIOWrapper(
            _io.BufferedWriter(raw), "utf-8", errors, "\n", line_buffering=True, write_through=fd == 2
        )
        text.mode = "w"
        return text

    def renew_streams(self):
        """As new for every execution, whatever the last one did to them; but the same objects if that is possible."""
        raw = _io.FileIO(0, "r", closefd=False)
        raw.name = "<stdin>"
        sys.stdin = sys.__stdin__ = _io.TextIOWrapper(_io.BufferedReader(raw), "utf-8", self.in_errors, "\n")
        if not self.usable(self.stdout):
            self.stdout = self.new_stream(1, self.out_errors)
        if not self.usable(self.stderr):
            self.stderr = self.new_stream(2, self.err_errors)
        sys.stdout = sys.__stdout__ = self.stdout
        sys.stderr = sys.__stderr__ = self.stderr

    @staticmethod
    def usable(stream):
        try:
            return not stream.closed and not stream.buffer.raw.closed
        except Exception:
            return False

    def flush(self):
        status = 0
        for stream in (getattr(sys, "stdout", None), self.stdout, getattr(sys, "stderr", None), self.stderr):
            try:
                if stream is not None and not stream.closed:
                    stream.flush()
            except Exception:
                status = 120  # as the interpreter at its end
        return status

    def away(self):
        """Descriptors 0, 1, 2 lead nowhere between executions, and what no one could take goes there."""
        null = open_fd("/dev/null", O_RDWR | O_CLOEXEC)
        for fd in (0, 1, 2):
            if fd != null:
                dup2(null, fd, inheritable=True)
        if null > 2:
            close(null)
        for stream in (self.stdout, self.stderr):
            try:
                stream.flush()
            except Exception:
                pass

    @staticmethod
    def take(fds):
        for target, fd in enumerate(fds[:3]):
            dup2(fd, target, inheritable=True)
        for fd in fds:
            if fd > 2:
                close(fd)

    # --- the loop

    def serve(self):
        self.shut()
        self.away()
        self.link.send(b"R", 0, 0, 0, 0)
        while True:
            self.wait()
            kind, request, fds = self.control.receive()
            number, nonce = self.control.number, self.control.nonce
            if kind == b"E":
                self.execute(number, nonce, request, fds)
            elif kind == b"Q":
                self.query(number, nonce, request)
            elif kind == b"F":
                self.points.make(number, nonce, fds[0])

    def shut(self):
        """Blocks all signals; an exception of a handler that was due is dropped."""
        for _ in range(3):
            try:
                self.mask = block_signals()
                return
            except BaseException:
                continue

    def wait(self):
        """Until there is a message.  The user's signal handlers may run meanwhile."""
        while True:
            there = None
            try:
                self.link.check()
                self.control.sock = self.link.sock
                pthread_sigmask(_signal.SIG_SETMASK, self.mask)
                there = self.link.sock.recv(1, _socket.MSG_PEEK)
            except BaseException:
                pass
            mask = self.mask
            self.shut()
            self.mask = mask if there is None else self.mask
            if there == b"":  # somebody has shut the connection down
                self.link.sock.close()
                self.link.reconnect()
            elif there is not None and self.link.ours():
                return

    def shielded(self, step):
        """Runs the user's part with the user's signals.  None and self.error if it raised."""
        value = self.error = None
        try:
            try:
                pthread_sigmask(_signal.SIG_SETMASK, self.mask)
                value = step()
            finally:
                self.mask = block_signals()
        except BaseException as e:
            self.error = e
        self.shut_again()
        return value

    def shut_again(self):
        try:
            block_signals()
        except BaseException as e:
            self.error = self.error or e
        settrace(None)
        setprofile(None)
        if recursion_limit() < RECURSION_MIN:
            set_recursion_limit(RECURSION_MIN)

    # --- executions

    def execute(self, number, nonce, request, fds):
        self.take(fds)
        self.renew_streams()
        if "env" in request:
            self.environment(request["env"], False)
        self.displays = []
        request.setdefault("filename", None)
        if not request["filename"]:
            request["filename"] = "<execution %d>" % number
        sys.argv = [request["filename"]] + list(request.get("argv") or ())
        execution = SessionExecution(request, self.main.__dict__)
        self.prepare(execution)
        set_signal(_signal.SIGINT, on_interrupt)
        self.mask -= {_signal.SIGINT}
        self.link.send(b"S", 0, 0, number, nonce)
        data = self.shielded(lambda: self.run(execution))
        if getpid() != self.pid:
            self.leave_copy(execution)
        if data is None:
            self.failed(execution)
            data = self.shielded(lambda: self.words(execution, plain_only=True))
        self.away()
        if self.report and data:
            self.report.write(data)
        self.displays = None
        self.link.send(b"D", execution.exit_code, 0, number, nonce)

    def prepare(self, execution):
        main = self.main
        names = main.__dict__
        if type(names.get("__builtins__")) is not type(builtins):
            names["__builtins__"] = builtins
        names["__name__"] = "__main__"
        names["__loader__"] = Source(execution.code)
        if not execution.filename.startswith("<"):
            names["__file__"] = execution.filename
        modules["__main__"] = main
        execution.sources.add(execution.filename, execution.code)

    def run(self, execution):
        execution.run()
        if getpid() != self.pid:
            return None
        status = self.flush()
        execution.exit_code = execution.exit_code or status
        self.flush_files()
        return self.words(execution)

    def failed(self, execution):
        """An interrupt, or an exception of a signal handler, after the code's end."""
        execution.exit_code = execution.exit_code or 1
        if execution.error is None and self.error is not None:
            execution.error = {"name": text_of(name_of_type(type(self.error))), "value": value_of(self.error), "traceback": ""}
        self.error = None

    def leave_copy(self, execution):
        """The code has forked and the copy has come out of it: not a second session."""
        self.shielded(self.flush)
        exit_now(execution.exit_code & 0xFF)

    def words(self, execution, plain_only=False):
        """The report."""
        report = {"result": execution.result, "displays": self.displays, "error": execution.error}
        if not plain_only:
            try:
                report["displays"] = self.displays + figures()
            except Exception:
                pass
        report["vars"] = self.variables.changes()
        report["count"] = len(self.variables.known)
        return self.fit(report)

    def fit(self, report):
        room = self.report.room if self.report else 0
        while True:
            data = encode(report).encode()
            if len(data) <= room:
                return data
            if report["displays"]:
                report["displays"] = report["displays"][:-1]
            elif report["result"] and len(report["result"]) > 1:
                report["result"] = {"text/plain": report["result"]["text/plain"]}
            elif report["vars"]:
                report["vars"] = None
            else:
                return b""

    def flush_files(self):
        """Files that variables hold: their content is there for others, and is not written twice by a copy."""
        for value in self.main.__dict__.copy().values():
            if type(value) in FILES:
                try:
                    if not value.closed and (fstat(value.fileno()).st_mode & 0o170000) == 0o100000:
                        value.flush()
                except Exception:
                    pass

    def display(self, *objects):
        """Shows objects: the result has them with the figures, in the order of the calls."""
        for value in objects:
            if self.displays is not None and len(self.displays) < DISPLAYS_MAX:
                self.displays.append(bundle(value))

    # --- control operations

    def query(self, number, nonce, request):
        self.link.send(b"S", 0, 0, number, nonce)
        answer = self.shielded(lambda: self.answer(request))
        if getpid() != self.pid:
            exit_now(0)
        if answer is None:
            answer = encode({"error": "interrupted" if isinstance(self.error, KeyboardInterrupt) else plain(self.error)}).encode()
        self.error = None
        if self.report:
            self.report.write(answer if len(answer) <= self.report.room else b'{"error":"the answer is too big"}')
        self.link.send(b"D", 0, 0, number, nonce)

    def answer(self, request):
        op = self.operations.get(request.get("op"))
        return encode(op(request) if op else {"error": "unknown operation"}).encode()


def serve(control, config):
    session = Session(control, config)
    try:
        session.serve()
    except SystemExit:
        exit_now(0)
    except BaseException:
        exit_now(70)  # dsb-init goes back to the last point
