# SPDX-License-Identifier: MIT
"""The interpreter that runs user code.  dsb-init starts it, by start.py, and is its parent.

It says that it is ready, and waits for an execution.
In session mode session.py goes on from there.  Else it lets go of its control socket and becomes the user's process itself:
dsb-init has known its pid from the start and reaps it, so the exit status is
the true one whatever the code does.  What stands in the report is the user's
word, never the sandbox's.

Python 3.8 or newer, standard library only.
"""
import _ast
import _signal
import builtins
import gc
import os
import sys
import warnings

# Not json, traceback, signal: they pull in much of the library, which short code never needs.
# They are imported when they are wanted, and then from TRUSTED_PATH: user code may have a json.py.
TRUSTED_PATH = [p for p in sys.path if p and p != PLACE[:-1]]
sys.path = TRUSTED_PATH[:]  # which the code changes
STREAM_FDS = (5, 6, 7)  # one-shot: the pipes of the code
TEXT_MAX = 64 * 1024
DISPLAYS_MAX = 1000
AT_START = frozenset(sys.modules)
ONLY_AST = 0x400
COROUTINE = 0x80


def library(name):
    """A module of the standard library, whatever the code has put beside it."""
    if name in sys.modules:
        return sys.modules[name]
    path = sys.path
    sys.path = TRUSTED_PATH
    try:
        __import__(name)
        return sys.modules[name]
    finally:
        sys.path = path


getpid = os.getpid
monotonic = library("time").monotonic


def text_of(value, limit=TEXT_MAX):
    """Bounded text without lone surrogates."""
    text = str(value)
    if len(text) > limit:
        text = text[:limit] + "\u2026"
    return text.encode("utf-8", "replace").decode("utf-8")


def plain(value):
    try:
        return text_of(repr(value))
    except Exception as e:
        name = type(value).__name__
        return "<%s object: repr() raised %s>" % (name, type(e).__name__)


class Execution:
    """One piece of code in one namespace: start() gives the code, finish() says what it did."""

    in_session = False
    flags = 0  # of the compiler

    def __init__(self, command, namespace):
        self.pid = getpid()
        self.filename = command.name or "<string>"
        self.source = self.read_source(command.text)
        self.argv = command.arguments
        self.namespace = namespace
        self.sink = Sink()
        self.error = None
        self.result = None
        self.exit_code = 0
        self.report = None
        self.shown = None
        self.interrupted = False
        self.limit, self.grace = [ms / 1000.0 for ms in command.numbers[:2]]
        self.began = monotonic()

    def read_source(self, code):
        """Bytes of a file, which may have a coding line; else text."""
        self.path = None
        if self.filename[:1] == "<":
            return code[1:] if code[:1] == "\ufeff" else code
        data = encode_source(code)
        self.path = self.filename = place_program(self.filename.rpartition("/")[2] or "main.py", data)
        return data

    def text(self):
        return read_text(self.source)

    def texts(self):
        """Of all code that can run here, None: not known."""
        return [self.text()]

    def output(self):
        """What it shows."""
        if self.shown is None:
            self.shown = part("display.py")["Shown"](self, self.report.room if self.report else 0)
        return self.shown

    def ask_for_time(self, seconds):
        if self.report:
            self.report.ask_for_time(seconds)

    def start(self):
        """The step that runs the code, None if there is nothing to run.  Never raises."""
        try:
            code = make_code(self.source, self.filename, self.sink, self.flags)
            if code is not None and code.co_flags & COROUTINE:
                return partial(part("notebook.py")["run_coroutine"], eval(code, self.namespace), self.sink)
            if code is not None:
                return partial(exec, code, self.namespace)
            # Twenty blocks in each other, which is the most there can be: the code has a frame of ours beneath it.
            exec(compile(self.source, self.filename, "exec", 0, True), self.namespace)
        except BaseException as e:
            error = e
        else:
            return None
        # Not where it is handled: an interrupt that comes here would tell of it.
        self.sink.errors.append((type(error), error, None))
        if isinstance(error, SyntaxError):
            part("notebook.py")["explain"](error, self.text())
        error = None  # it has this frame
        return None

    def finish(self):
        """Never raises.  What it did is in the attributes."""
        try:
            if self.sink.errors:
                self._ended_by(self.sink.errors[0][1])
            elif self.sink.values and self.sink.values[0] is not None and getpid() == self.pid:
                self.result = self.output().value(self.sink.values[0])
        except BaseException as e:
            self._ended_by(e)
        self.sink.clear()

    def _ended_by(self, error):
        if isinstance(error, SystemExit):
            self.exit_code = exit_status(error)
        else:
            self.exit_code = 1
            self._failed(error)

    def _failed(self, error):
        self.interrupted = isinstance(error, KeyboardInterrupt)
        name, tb = type(error).__name__, user_frames(error)
        self._remember(error, tb)
        self.error = {"name": text_of(name), "value": value_of(error), "traceback": None}
        try:
            text = self._format(error, tb)
        except Exception:
            text = None  # the code has replaced a module that this needs
        self.error["traceback"] = text_of(text or name)
        try:
            sys.stdout.flush()
        except Exception:
            pass
        try:
            self._tell(error, tb, text)
        except Exception:
            pass

    def _tell(self, error, tb, text):
        """As the interpreter tells of an error that nobody has caught."""
        hook = getattr(sys, "excepthook", None)
        if hook is None:
            sys.stderr.write("sys.excepthook is missing\n" + text)
        elif hook is sys.__excepthook__ and text is not None:
            if os.environ.get("DSANDBOX_ERRORS") != "report":
                sys.stderr.write(text)
        else:
            try:
                hook(type(error), error, tb)
            except Exception as e:
                other = self._format(e, user_frames(e))
                sys.stderr.write("Error in sys.excepthook:\n%s\nOriginal exception was:\n%s" % (other, text))

    @staticmethod
    def _remember(error, tb):
        """As the interpreter, for exit handlers and debuggers."""
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, tb
        if sys.version_info >= (3, 12):
            sys.last_exc = error

    def _format(self, error, tb):
        remember_source(self.filename, self.text())
        return "".join(library("traceback").format_exception(type(error), error, tb))


def remember_source(filename, code):
    # No modification time: linecache must not look for a file of that name.
    library("linecache").cache[filename] = (len(code), None, code.splitlines(True), filename)


def value_of(error):
    try:
        return text_of(error)
    except Exception:
        return "<str() raised>"


class Source:
    """The loader of the code, as far as linecache asks one: other modules that show lines find them by it."""

    def __init__(self, execution):
        self.execution = execution

    def get_source(self, name):
        return self.execution.text()


def exit_status(error):
    """As the interpreter itself treats SystemExit."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    try:
        text = str(code)
    except Exception:
        text = ""
    try:
        sys.stderr.write(text + "\n")
    except Exception:
        pass
    return 1


def take_environment(env):
    """What the image and the engine set is not the code's business."""
    os.environ.clear()
    os.environ.update(env)
    paths = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:] = ["/sandbox"] + paths + TRUSTED_PATH
    if "TZ" in env:
        library("time").tzset()
    site = sys.modules.get("site")
    if site is not None:  # the interpreter has started without a home
        site.USER_BASE = site.USER_SITE = None
        site.getusersitepackages()


def adopt(command):
    """Takes the descriptors and the environment of an execution."""
    for target, fd in enumerate(STREAM_FDS):
        os.dup2(fd, target, inheritable=True)
        os.close(fd)
    take_environment(command.variables)
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        stream = new_stream(fd, getattr(sys, name).errors)
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)
    return open_report()


def name_program(main, execution):
    """What the interpreter sets for the file, the string or the standard input that it runs."""
    first = execution.path or ("-" if execution.filename == "<stdin>" else "-c")
    sys.argv = [first] + execution.argv
    sys.orig_argv = [sys.executable, first] + ([execution.source] if first == "-c" else []) + execution.argv
    for name in ("__file__", "__cached__"):
        main.__dict__.pop(name, None)
    main.__loader__ = Source(execution)
    if not execution.path:
        return
    main.__file__ = execution.path
    if "__cached__" in globals():
        main.__cached__ = None
    main.__loader__ = type(__loader__)("__main__", execution.path)


def fresh_main():
    """As the interpreter made ours."""
    main = type(sys)("__main__")
    main.__builtins__ = builtins
    if "__annotations__" in globals():
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    return main


def finish(execution, report, main, before):
    if report and getpid() == execution.pid:  # not in a copy that the code has forked
        if execution.shown or "matplotlib._pylab_helpers" in sys.modules:
            execution.output().finish()
        report.write(make_report(execution, {}))
    return (yield from interpreter_end(main, before))


def run_once(control):
    kind, command = control.receive()
    tools = command if kind == b"T" else b""
    if tools:
        kind, command = control.receive()
    if kind != b"E":
        sys.exit("kernel: unexpected message")
    report = adopt(command)
    main = fresh_main()
    execution = Execution(command, main.__dict__)
    name_program(main, execution)
    if not execution.path:
        remember_source(execution.filename, execution.text())
    fork_by_default(execution)
    execution.report = report
    begin(execution)
    expect_lines(sys.stdout, execution)
    before = set(sys.modules)
    if tools:
        part("tools.py")["give"](main.__dict__, tools)
    control.send(b"S")
    control.close()
    status = 0
    try:
        code = execution.start()
        if code is not None:
            yield code
        execution.finish()
        status = yield from finish(execution, report, main, before)
    except KeyboardInterrupt:
        execution.interrupted = True
    except GeneratorExit:
        execution.exit_code = 1  # an exception has found its way out of all
    except BaseException:
        pass
    flush_own_streams()
    if execution.interrupted:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.kill(getpid(), _signal.SIGINT)
    if library("_thread")._count():
        raise SystemExit(status or execution.exit_code)  # only the interpreter can stop threads that still run
    os._exit(status or execution.exit_code)


def fork_by_default(execution):
    """From 3.14 on multiprocessing starts workers by importing the main file; where there is none it cannot."""
    if sys.version_info >= (3, 14) and not execution.path:
        context = library("multiprocessing.context")
        context._default_context._default_context = context._concrete_contexts["fork"]


def load(name, known=None):
    """The names of another file of ours, which begins with those that are known: as a default the names of this file."""
    names = dict(globals() if known is None else known)
    names["__file__"] = PLACE + name
    exec(code_of(name), names)
    return names


def quiet_fork():
    """-1: not made.  From 3.12 on a fork with threads warns; nobody asked for this one."""
    filters, quiet = warnings.filters, ("ignore", None, DeprecationWarning, None, 0)
    listed = type(filters) is list
    if listed:
        filters.insert(0, quiet)
    try:
        return os.fork()
    except BaseException:
        return -1
    finally:
        if listed and quiet in filters:
            filters.remove(quiet)


RUNNING = [None]


def begin(execution):
    """From now on this is the execution that display() and show() belong to; None: none is."""
    RUNNING[0] = execution


def current():
    execution = RUNNING[0]
    return execution if execution is not None and execution.pid == getpid() else None


def display(*objects, raw=False, display_id=None, clear=False, **_):
    """Shows objects: the result has them with the figures, in the order of the calls."""
    execution = current()
    if execution is None:
        return None
    if clear:
        execution.output().clear()
    key = None
    if display_id:
        key = display_id if isinstance(display_id, str) else "display %d" % id(objects)
    for value in objects:
        execution.output().show(value, raw, key)
    return part("ipython.py")["DisplayHandle"](key) if key else None


class AfterImport:
    """Stands in sys.meta_path until matplotlib comes, and makes its show() deliver."""

    def find_spec(self, name, path=None, target=None):
        if name != "matplotlib.backend_bases":
            return None
        sys.meta_path.remove(self)
        spec = sys.modules["_frozen_importlib"]._find_spec(name, path)
        loader = getattr(spec, "loader", None)
        if hasattr(loader, "exec_module"):
            load_it = loader.exec_module

            def exec_module(module):
                del loader.exec_module
                load_it(module)
                part("figures.py")["hook"](module)

            loader.exec_module = exec_module
        return spec


class InPlaceOfIPython:
    """Stands at the end of sys.meta_path: IPython.display works where there is no IPython."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return part("ipython.py")["find_spec"](name) if name.partition(".")[0] == "IPython" else None


PARTS = {}


def part(name):
    """The names of a file of ours that short code does not need, loaded when they are wanted."""
    if name not in PARTS:
        PARTS[name] = load(name)
    return PARTS[name]


def steps():
    """What is run, one step after the other."""
    sys.excepthook = sys.__excepthook__
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        sys.__dict__.pop(name, None)
    try:
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("900")
    except OSError:
        pass  # without /proc; then all have the same score
    # dsb-init sends it after an interrupt, again and again: one that comes just before a blocking call waits for its end.
    _signal.signal(_signal.SIGURG, lambda *_: None)
    control = Control(CONTROL_FD)
    sys.meta_path.insert(0, AfterImport())
    sys.meta_path.append(InPlaceOfIPython)
    builtins.display = display
    _, config = control.receive()
    if config.arguments:
        load("preload.py")["preload"](config)
    serve = load("session.py")["serve"] if config.flags & Command.SESSION else None
    gc.collect()
    gc.freeze()
    if serve:
        yield from serve(control, config)
    control.send(b"R")
    yield from run_once(control)


globals().update(load("link.py"))
globals().update(load("program.py"))
# Called with the exception below; it takes the steps first, and no frame of ours is beneath them.
hook = sys.excepthook = partial(set().update, map(partial.__call__, steps()))
raise EOFError
