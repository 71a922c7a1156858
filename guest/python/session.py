# SPDX-License-Identifier: MIT
"""Session mode: one namespace for many executions, and copies of it to go back to.

kernel.py loads this file; its names are here as well.  User code shares the
process with it, so this is not a place for secrets: dsb-init takes what is said
here as the user's word.  What it needs is bound before user code runs, and while
it works all signals are blocked, so that a handler of the user's cannot stop it
half-way; shielded() opens them for the user's part.
"""
import _io

dup2, close, fstat, open_fd, pipe = os.dup2, os.close, os.fstat, os.open, os.pipe
exit_now, environ, collect = os._exit, os.environ, gc.collect
O_RDONLY, O_RDWR, O_WRONLY, O_CLOEXEC = os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_CLOEXEC
pthread_sigmask = _signal.pthread_sigmask
set_signal, on_interrupt = _signal.signal, _signal.default_int_handler
recursion_limit, set_recursion_limit = sys.getrecursionlimit, sys.setrecursionlimit
monotonic = library("time").monotonic
settrace, setprofile, modules = sys.settrace, sys.setprofile, sys.modules
new_socket = _socket.socket
ANSWER = struct.Struct("<cBHIQ")
variables = load("variables.py")
name_of_type = variables["name_of_type"]

SIGNALS = frozenset(_signal.valid_signals()) - {_signal.SIGKILL, _signal.SIGSTOP}
SOURCES_MAX = 1000
SOURCES_ROOM = 16 * 1024 * 1024  # characters
STREAMS_MAX = 100
POOLS_WAIT = 2  # seconds
RECURSION_MIN = 300  # below, not even the next execution could start
FILES = (_io.TextIOWrapper, _io.BufferedWriter, _io.BufferedRandom)
STREAMS = FILES + (_io.FileIO, _io.BufferedReader)


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
        if is_free(self.number):
            self.place(sock.detach())
            return
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


def is_free(fd):
    try:
        fstat(fd)
        return False
    except OSError:
        return True


def identity(fd):
    try:
        found = fstat(fd)
        return found.st_dev, found.st_ino
    except OSError:
        return None


def block_signals():
    """Returns the mask that was.  Handlers that were due run now, and may raise."""
    return pthread_sigmask(_signal.SIG_BLOCK, SIGNALS)


class Sources:
    """The text of the executions, for tracebacks and inspect, each under a name of its own."""

    def __init__(self):
        self.texts = {}
        self.room = SOURCES_ROOM
        library("linecache")

    def name(self, path, number, code):
        """Of a file that is run again with other content, the functions of before keep their lines."""
        return path if self.texts.get(path, code) == code else "%s (execution %d)" % (path, number)

    def add(self, filename, code):
        self.room += len(self.texts.pop(filename, ""))
        self.texts[filename] = code
        self.room -= len(code)
        while len(self.texts) > SOURCES_MAX or (self.room < 0 and len(self.texts) > 1):
            oldest = next(iter(self.texts))
            self.room += len(self.texts.pop(oldest))
            try:
                library("linecache").cache.pop(oldest, None)
            except Exception:
                pass
        self.tell(filename)

    def tell(self, filename):
        try:
            remember_source(filename, self.texts[filename])
        except Exception:
            pass  # the code has put something else in its place

    def tell_all(self):
        for filename in self.texts:
            self.tell(filename)


class SessionExecution(Execution):
    in_session = True
    flags = 0x2000  # await outside a function
    sources = Sources()
    foreign = False  # there may be code that is not in the sources

    def __init__(self, command, namespace, number):
        super().__init__(command, namespace)
        if self.path:
            self.filename = self.sources.name(self.path, number, self.text())
        else:
            self.filename = "<execution %d>" % number
        self.sources.add(self.filename, self.text())

    def texts(self):
        texts = self.sources.texts
        return None if self.foreign or len(texts) >= SOURCES_MAX or self.sources.room < 0 else list(texts.values())

    def _format(self, error, tb):
        self.sources.tell_all()
        return super()._format(error, tb)


class Session:
    def __init__(self, control, config):
        self.control = control
        _, listener = control.receive()
        self.report = open_report()
        self.link = Link(control.sock, listener.decode())
        control.sock = self.link.sock
        self.pid = getpid()
        self.own = {}  # the pipes of the execution, by descriptor
        self.mask = pthread_sigmask(_signal.SIG_BLOCK, ())
        self.error = None
        self.main = fresh_main()
        self.points = load("point.py", globals())["Points"](self, config)
        self.variables = variables["Variables"](self.main.__dict__)
        v = self.variables
        self.operations = {"vars": v.op_vars, "get": v.op_get, "save": v.op_save, "restore": v.op_restore, "exit": self.op_exit}
        self.operations.update(complete=partial(self.look, "complete"), inspect=partial(self.look, "inspection"))
        take_environment(config.variables)
        self.out_errors, self.in_errors, self.err_errors = sys.stdout.errors, sys.stdin.errors, sys.stderr.errors
        self.stdout = self.stderr = None
        self.kept = []
        self.tools = b""  # of the next execution

    @staticmethod
    def lend(env):
        """Variables for one execution.  Gives what takes them back."""
        before = {name: environ.get(name) for name in env}

        def put(values):
            for name, value in values.items():
                if value is None:
                    environ.pop(name, None)
                else:
                    environ[name] = value
            if "TZ" in values:
                library("time").tzset()

        def take_back():
            # What the code has set itself is its own, and stays.
            put({name: before[name] for name, value in env.items() if environ.get(name) == value})

        put(env)
        return take_back

    # --- streams

    def renew_streams(self):
        """As new for every execution, whatever the last one did to them; but the same objects if that is possible."""
        sys.stdin = sys.__stdin__ = new_stream(0, self.in_errors)
        if not self.usable(self.stdout, self.out_errors):
            self.stdout = new_stream(1, self.out_errors)
        if not self.usable(self.stderr, self.err_errors):
            self.stderr = new_stream(2, self.err_errors)
        sys.stdout = sys.__stdout__ = self.stdout
        sys.stderr = sys.__stderr__ = self.stderr

    @staticmethod
    def usable(stream, errors):
        try:
            same = (stream.encoding, stream.errors, stream.line_buffering) == ("utf-8", errors, True)
            return same and not stream.closed and not stream.buffer.raw.closed
        except Exception:
            return False

    def keep_streams(self):
        """What the code has put in the place of its streams closes 0, 1 or 2 when it dies: not in a later execution."""
        for name in ("stdin", "stdout", "stderr"):
            stream = getattr(sys, name, None)
            own = getattr(sys, "__%s__" % name, None)
            if type(stream) in STREAMS and stream is not own and len(self.kept) < STREAMS_MAX:
                self.kept.append(stream)
                setattr(self, name, None)

    @staticmethod
    def nowhere(target):
        null = open_fd("/dev/null", O_RDWR | O_CLOEXEC)
        dup2(null, target, inheritable=True)
        if null != target:
            close(null)

    def away(self):
        """Between executions 1 and 2 stay the last one's, for what threads write; 0 leads nowhere."""
        self.nowhere(0)
        for fd in (1, 2):
            if identity(fd) != self.own.get(fd, ""):
                self.nowhere(fd)
        self.settle()

    def settle(self):
        """What is left in the streams goes where it belongs; what no one can take goes nowhere."""
        for fd, stream in ((1, self.stdout), (2, self.stderr)):
            for _ in range(2):
                try:
                    if stream is not None:
                        stream.flush()
                    break
                except Exception:
                    self.nowhere(fd)

    def open_streams(self, number, nonce):
        """Pipes of the execution's own.  dsb-init opens their other ends by name; if it may not, these are sockets."""
        self.settle()
        others = []
        for target in (0, 1, 2):
            ends = pipe()
            mine = ends[0 if target == 0 else 1]
            dup2(mine, target, inheritable=True)
            close(mine)
            others.append(ends[1 if target == 0 else 0])
        self.link.send(b"I", 0, 0, number, nonce)
        self.control.sock = self.link.sock
        if self.control.receive()[0] == b"N":
            for target in (0, 1, 2):
                sock = new_socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
                sock.connect("\0" + self.link.name + "s")
                dup2(sock.fileno(), target, inheritable=True)
                sock.close()
            self.control.receive()
        for fd in others:
            close(fd)
        self.own = {1: identity(1), 2: identity(2)}

    # --- the loop

    def serve(self):
        self.shut()
        self.away()
        self.link.send(b"R", 0, 0, 0, 0)
        while True:
            self.wait()
            kind, command = self.control.receive()
            number, nonce = self.control.number, self.control.nonce
            if kind == b"E":
                yield from self.execute(number, nonce, command)
            elif kind == b"T":
                self.tools = command
            elif kind == b"Q":
                self.query(number, nonce, command)
            elif kind == b"K":
                self.end_pools()
                self.link.send(b"K", 0, 0, number, nonce)
            elif kind == b"F":
                self.points.make(number, nonce)

    @staticmethod
    def finalizers():
        try:
            return dict(modules["multiprocessing.util"]._finalizer_registry)
        except Exception:
            return {}

    def end_pools(self):
        """dsb-init ends the workers that the execution has started: its pools do not start them again."""
        ended = []
        for key, finalizer in self.finalizers().items():
            try:
                pool = None if key in self.pools else finalizer._weakref()
                pool._worker_handler._state = pool._state = "TERMINATE"
                finalizer.cancel()  # it would wait for locks that the workers die with
                pool._change_notifier.put(None)
                ended.append(pool._worker_handler)
            except Exception:
                pass  # something else than a pool
        end = monotonic() + POOLS_WAIT
        for thread in ended:
            try:
                thread.join(max(0, end - monotonic()))
            except Exception:
                pass

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

    def execute(self, number, nonce, command):
        """A generator: the code is a step, which kernel.py has run with none of our frames beneath it."""
        self.open_streams(number, nonce)
        self.keep_streams()
        self.renew_streams()
        take_back = self.lend(command.variables)
        execution = SessionExecution(command, self.main.__dict__, number)
        execution.report = self.report
        self.pools = set(self.finalizers())
        self.prepare(execution)
        take_tools = part("tools.py")["give"](self.main.__dict__, self.tools) if self.tools else None
        self.tools = b""
        begin(execution)
        expect_lines(self.stdout, execution)
        set_signal(_signal.SIGINT, on_interrupt)
        self.mask -= {_signal.SIGINT}
        self.link.send(b"S", 0, 0, number, nonce)
        sink = execution.sink
        sink.closes = partial(pthread_sigmask, _signal.SIG_BLOCK, SIGNALS)
        code = self.shielded(execution.start)
        if self.error is not None:
            sink.error((type(self.error), self.error, None))
        elif code is not None:
            sink.opens = partial(pthread_sigmask, _signal.SIG_SETMASK, self.mask)
            yield code
            self.mask = sink.masks[0] if sink.masks else self.mask
            self.shut_again()
        if take_tools:
            take_tools()
        data = self.shielded(lambda: self.run(execution))
        if getpid() != self.pid:
            self.leave_copy(execution)
        if data is None:
            self.failed(execution)
            data = self.shielded(lambda: self.words(execution, plain_only=True))
        take_back()
        forget_lines()
        self.away()
        if self.report and data:
            self.report.write(data)
        begin(None)
        if execution.shown:
            execution.shown.close()
        # A plain interpreter ends itself by the signal that nobody caught; this one only says so.
        self.link.send(b"D", execution.exit_code, int(execution.interrupted), number, nonce)

    def prepare(self, execution):
        main = self.main
        names = main.__dict__
        if type(names.get("__builtins__")) is not type(builtins):
            names["__builtins__"] = builtins
        names["__name__"] = "__main__"
        # The same warning shows again in the next execution.
        names.pop("__warningregistry__", None)
        sys.__dict__.pop("__warningregistry__", None)
        modules["__main__"] = main
        name_program(main, execution)

    def run(self, execution):
        execution.finish()
        if getpid() != self.pid:
            return None
        collect(1)  # what the execution leaves behind speaks now, not in the next one
        status = flush_streams()
        flush_own_streams()
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
        self.shielded(flush_streams)
        exit_now(execution.exit_code & 0xFF)

    def words(self, execution, plain_only=False):
        """The report."""
        if "matplotlib._pylab_helpers" in modules:
            if plain_only:
                execution.output().forget()
            else:
                execution.output().finish()
        return make_report(execution, {"vars": self.variables.changes(), "count": len(self.variables.known)})

    def flush_files(self):
        """Files that variables hold: their content is there for others, and is not written twice by a copy."""
        for value in self.main.__dict__.copy().values():
            if type(value) in FILES:
                try:
                    if not value.closed and (fstat(value.fileno()).st_mode & 0o170000) == 0o100000:
                        value.flush()
                except Exception:
                    pass

    # --- control operations

    def query(self, number, nonce, command):
        self.link.send(b"S", 0, 0, number, nonce)
        SessionExecution.foreign = SessionExecution.foreign or command.name == "restore"
        answer = self.shielded(lambda: self.answer(command))
        if getpid() != self.pid:
            exit_now(0)
        if answer is None:
            answer = encode({"error": "interrupted" if isinstance(self.error, KeyboardInterrupt) else plain(self.error)}).encode()
        self.error = None
        if self.report:
            self.report.write(answer if len(answer) <= self.report.room else b'{"error":"the answer is too big"}')
        self.link.send(b"D", 0, 0, number, nonce)

    def look(self, question, request):
        return part("lookup.py")[question](self.main.__dict__, request)

    @staticmethod
    def op_exit(request):
        """What the code has left to do at its end.  Threads are not waited for."""
        library("atexit")._run_exitfuncs()
        flush_streams()
        return {}

    def answer(self, command):
        op = self.operations.get(command.name)
        return encode(op(command.variables) if op else {"error": "unknown operation"}).encode()


def serve(control, config):
    session = Session(control, config)
    try:
        yield from session.serve()
    except SystemExit:
        exit_now(0)
    except BaseException:
        exit_now(70)  # dsb-init goes back to the last point
