# SPDX-License-Identifier: MIT
"""The interpreter that runs user code.  dsb-init starts it and is its parent.

It imports the preload list, says that it is ready, and waits for an execution.
In session mode session.py goes on from there.  Else it lets go of its control socket and becomes the user's process itself:
dsb-init has known its pid from the start and reaps it, so the exit status is
the true one whatever the code does.  What stands in the report is the user's
word, never the sandbox's.

Python 3.8 or newer, standard library only.
"""
import _ast
import _json
import _signal
import _socket
import builtins
import gc
import mmap
import os
import struct
import sys
import warnings

# Functions here must not see what user code does to the module builtins.
__builtins__ = dict(builtins.__dict__)

# Not json, traceback, signal: they pull in much of the library, which short code never needs.
# They are imported when they are wanted, and then from TRUSTED_PATH: user code may have a json.py.
TRUSTED_PATH = [p for p in sys.path if p]
CONTROL_FD = 3
TEXT_MAX = 64 * 1024
IMAGE_MAX = 4 * 1024 * 1024
SVG_MAX = 1024 * 1024
DISPLAYS_MAX = 1000
FUTURE_FLAGS = 0x1FF0000  # the compiler flags that `from __future__` sets
ONLY_AST = 0x400

RICH = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_latex_", "text/latex"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_json_", "application/json"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
)


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


encode_string, getpid = _json.encode_basestring_ascii, os.getpid


class ScanOptions:
    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo = {}


def decode(data):
    text = data.decode("utf-8").strip(" \t\r\n")
    value, end = _json.make_scanner(ScanOptions)(text, 0)
    if end != len(text):
        raise ValueError("text after the JSON value")
    return value


def encode(value):
    """JSON of None, integers, strings, lists and dicts; what is ready-made JSON comes as Raw."""
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, str):
        return encode_string(value)
    if isinstance(value, list):
        return "[%s]" % ",".join([encode(v) for v in value])
    return "{%s}" % ",".join(["%s:%s" % (encode(k), encode(v)) for k, v in value.items()])


class Raw:
    def __init__(self, text):
        self.text = text


class Control:
    """The socket to dsb-init: u8 type, u32 length, u32 number, u64 nonce, payload, and descriptors."""

    HEADER = struct.Struct("<cIIQ")

    def __init__(self, fd):
        self.sock = _socket.socket(fileno=fd)

    def receive(self):
        space = _socket.CMSG_SPACE(8 * 4)
        head, ancillary, _, _ = self.sock.recvmsg(self.HEADER.size, space, _socket.MSG_CMSG_CLOEXEC)
        if len(head) != self.HEADER.size:
            raise SystemExit(0)
        kind, length, self.number, self.nonce = self.HEADER.unpack(head)
        fds = []
        for level, what, data in ancillary:
            if level == _socket.SOL_SOCKET and what == _socket.SCM_RIGHTS:
                fds += struct.unpack("%di" % (len(data) // 4), data)
        parts = []
        while length:
            part = self.sock.recv(min(length, 1 << 20))
            if not part:
                raise SystemExit(0)
            parts.append(part)
            length -= len(part)
        return kind, decode(b"".join(parts)) if parts else {}, fds

    def send(self, letter):
        self.sock.send(letter)

    def close(self):
        self.sock.close()


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


def entry(mime, value):
    """One value of a MIME bundle, or None when there is none or it is too big."""
    if mime == "application/json":
        text = library("json").dumps(value, allow_nan=False)
        return Raw(text) if len(text) <= IMAGE_MAX else None
    if isinstance(value, bytes):
        if not mime.startswith("image/") or len(value) > IMAGE_MAX:
            return None
        return library("binascii").b2a_base64(value, newline=False).decode()
    if not isinstance(value, str) or len(value) > IMAGE_MAX:
        return None
    return text_of(value, IMAGE_MAX)


def bundle(value):
    data = {"text/plain": plain(value)}
    if isinstance(value, type):
        return data
    for method, mime in RICH:
        try:
            made = getattr(value, method, None)
            made = made() if callable(made) else None
            if isinstance(made, tuple):
                made = made[0]  # (data, metadata)
            made = None if made is None else entry(mime, made)
        except Exception:
            continue
        if made is not None:
            data[mime] = made
    return data


def add_svg(figure, made):
    """The drawing as text, if it is not too big."""
    class Limited(library("io").StringIO):
        room = SVG_MAX

        def write(self, text):
            self.room -= len(text)
            if self.room < 0:
                raise ValueError("too big")
            return super().write(text)

    try:
        out = Limited()
        figure.savefig(out, format="svg", bbox_inches="tight")
        made["image/svg+xml"] = text_of(out.getvalue(), SVG_MAX)
    except Exception:
        pass


def figures():
    """Every open figure as PNG and SVG; only when the code has used pyplot."""
    plt = sys.modules.get("matplotlib.pyplot")
    if plt is None:
        return []
    made = []
    for number in plt.get_fignums():
        try:
            figure = plt.figure(number)
            out = library("io").BytesIO()
            figure.savefig(out, format="png", bbox_inches="tight")
            image = entry("image/png", out.getvalue())
            text = text_of(repr(figure))
            made.append({"text/plain": text})
            if image is not None:
                made[-1]["image/png"] = image
            add_svg(figure, made[-1])
        except Exception as e:
            made.append({"text/plain": "<figure %s: %s>" % (number, plain(e))})
    plt.close("all")
    return made


class QuietShow:
    """Stands for a compiled expression in a warnings filter: show() under Agg is no mistake here."""

    @staticmethod
    def match(text):
        return "cannot be shown" in text or "is non-GUI backend" in text or "is currently using agg" in text


def user_frames(error):
    """Drops the frames of this file from the head of the traceback."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    error.__traceback__ = tb
    return tb


class Execution:
    """One piece of code in one namespace.  A session will call run() again and again."""

    def __init__(self, request, namespace):
        self.pid = getpid()
        code = request["code"]
        self.code = code[1:] if code[:1] == "\ufeff" else code  # as the interpreter reads a file
        self.filename = request.get("filename") or "main.py"
        self.namespace = namespace
        self.error = None
        self.result = None
        self.exit_code = 0
        self.displays = []
        self.interrupted = False

    def display(self, *objects):
        """Shows objects: the result has them with the figures, in the order of the calls."""
        for value in objects:
            if len(self.displays) < DISPLAYS_MAX:
                self.displays.append(bundle(value))

    def run(self):
        """Never raises.  What it did is in the attributes."""
        try:
            self._evaluate()
        except SystemExit as e:
            self.exit_code = exit_status(e)
        except BaseException as e:
            self.exit_code = 1
            self._failed(e)

    def _evaluate(self):
        tree = compile(self.code, self.filename, "exec", ONLY_AST, True)
        last = None
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = _ast.Expression(body=tree.body.pop().value)
        code = compile(tree, self.filename, "exec", 0, True)
        if last is not None:
            last = compile(last, self.filename, "eval", code.co_flags & FUTURE_FLAGS, True)
        exec(code, self.namespace)
        if last is not None:
            value = eval(last, self.namespace)
            if value is not None and getpid() == self.pid:
                self.result = bundle(value)

    def _failed(self, error):
        self.interrupted = isinstance(error, KeyboardInterrupt)
        name, tb = type(error).__name__, user_frames(error)
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
            if sys.excepthook is not sys.__excepthook__ or text is None:
                sys.excepthook(type(error), error, tb)
            elif sys.stderr is not None:
                sys.stderr.write(text)
        except Exception:
            pass

    def _format(self, error, tb):
        remember_source(self.filename, self.code)
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

    def __init__(self, code):
        self.code = code

    def get_source(self, name):
        return self.code


def exit_status(error):
    """As the interpreter itself treats SystemExit."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    try:
        print(code, file=sys.stderr)
    except Exception:
        pass
    return 1


class Report:
    """Memory shared with dsb-init, u64 length and JSON: no descriptor is left for user code to see."""

    def __init__(self, fd):
        size = os.fstat(fd).st_size
        probe = os.dup(fd)
        os.close(probe)
        self.memory = mmap.mmap(fd, size)
        self.room = size - 8
        try:
            # The module keeps a copy of the descriptor, at the lowest free number.
            if os.path.sameopenfile(fd, probe):
                os.close(probe)
        except OSError:
            pass
        os.close(fd)

    def write(self, data):
        if len(data) <= self.room:
            self.memory[8 : 8 + len(data)] = data
            self.memory[:8] = struct.pack("<Q", len(data))


def make_report(execution, room):
    """The JSON, with displays and then rich values left out until it fits."""
    report = {"result": execution.result, "displays": execution.displays, "error": execution.error}
    try:
        report["displays"] += figures()
    except Exception:
        pass
    while True:
        data = encode(report).encode()
        if len(data) <= room:
            return data
        if report["displays"]:
            report["displays"].pop()
        elif report["result"] and len(report["result"]) > 1:
            report["result"] = {"text/plain": report["result"]["text/plain"]}
        else:
            return b""


def adopt(request, fds):
    """Takes the descriptors and the environment of an execution."""
    for target, fd in enumerate(fds[:3]):
        os.dup2(fd, target, inheritable=True)
        os.close(fd)
    env = request.get("env") or {}
    os.environ.clear()  # what the image and the engine set is not the code's business
    os.environ.update(env)
    paths = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:] = ["/sandbox"] + paths + TRUSTED_PATH
    if "TZ" in env:
        library("time").tzset()
    sys.argv = [request.get("filename") or "main.py"] + list(request.get("argv") or ())
    # As on a terminal: output is there when the process is killed later.
    sys.stdout.reconfigure(line_buffering=True)
    return Report(fds[3]) if len(fds) > 3 else None


def fresh_main(execution):
    main = type(sys)("__main__")
    main.__builtins__ = builtins
    main.__loader__ = Source(execution.code)
    if execution.filename.startswith("<"):
        remember_source(execution.filename, execution.code)
    else:
        main.__file__ = execution.filename
    sys.modules["__main__"] = main
    return main


def clear_module(names):
    """As the interpreter clears a module: names with one underscore first, builtins stay for __del__."""
    for name in list(names):
        if isinstance(name, str) and name[:1] == "_" and name[1:2] != "_":
            names[name] = None
    for name in list(names):
        if name != "__builtins__":
            names[name] = None


def flush_streams():
    """0, or 120 as the interpreter's own status for output that was lost."""
    status = 0
    for stream in (sys.stdout, sys.__stdout__, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception:
            status = 120
    return status


def interpreter_end(main, before):
    """What the interpreter does at its end, without the slow part."""
    threading = sys.modules.get("threading")
    try:
        if threading is not None:
            threading._shutdown()
    except Exception as e:
        sys.excepthook(type(e), e, user_frames(e))
    try:
        library("atexit")._run_exitfuncs()
    except Exception:
        pass  # it has said so on stderr
    # Objects that only module variables hold, above all open files, must be finished.
    for name in [n for n in sys.modules if n not in before]:
        path = getattr(sys.modules[name], "__file__", None)
        if isinstance(path, str) and path.startswith("/sandbox/"):
            clear_module(sys.modules[name].__dict__)
    clear_module(main.__dict__)
    gc.collect()


def finish(execution, report, main, before):
    if report and getpid() == execution.pid:  # not in a copy that the code has forked
        report.write(make_report(execution, report.room))
    interpreter_end(main, before)


def run_once(control):
    kind, request, fds = control.receive()
    if kind != b"E" or len(fds) < 3:
        sys.exit("kernel: unexpected message")
    execution = Execution(request, None)
    report = adopt(request, fds)
    main = fresh_main(execution)
    execution.namespace = main.__dict__
    builtins.display = execution.display
    before = set(sys.modules)
    control.send(b"S")
    control.close()
    try:
        execution.run()
        finish(execution, report, main, before)
    except KeyboardInterrupt:
        execution.interrupted = True
    except BaseException:
        pass
    status = flush_streams() or execution.exit_code
    if execution.interrupted:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.kill(getpid(), _signal.SIGINT)
    os._exit(status)


def fork_by_default():
    """From 3.14 on multiprocessing starts workers by importing the main file; there is none."""
    if sys.version_info >= (3, 14):
        context = library("multiprocessing.context")
        context._default_context._default_context = context._concrete_contexts["fork"]


def load(name, known=None):
    """The names of another file of ours, which begins with those that are known: as a default the names of this file."""
    path = __file__.rpartition("/")[0] + "/" + name
    with open(path, "rb") as f:
        code = compile(f.read(), path, "exec", 0, True)
    names = dict(globals() if known is None else known)
    names["__file__"] = path
    exec(code, names)
    return names


def main():
    try:
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("1000")
    except OSError:
        pass  # without /proc; then all have the same score
    # dsb-init sends it after an interrupt, again and again: one that comes just before a blocking call waits for its end.
    _signal.signal(_signal.SIGURG, lambda *_: None)
    control = Control(CONTROL_FD)
    _, config, _ = control.receive()
    for name in config.get("preload") or ():
        try:
            __import__(name)
        except Exception as e:
            print("preload %s: %r" % (name, e), file=sys.stderr)
    fork_by_default()
    warnings.filters.insert(0, ("ignore", QuietShow, UserWarning, None, 0))
    serve = load("session.py")["serve"] if config.get("session") else None
    gc.collect()
    gc.freeze()
    if serve:
        serve(control, config)
    control.send(b"R")
    run_once(control)


main()
