# SPDX-License-Identifier: MIT
"""The interpreter that runs user code.  dsb-init starts it and is its parent.

It imports the preload list, says that it is ready, and waits for an execution.
Then it lets go of its control socket and becomes the user's process itself:
dsb-init has known its pid from the start and reaps it, so the exit status is
the true one whatever the code does.  What stands in the report is the user's
word, never the sandbox's.

Python 3.8 or newer, standard library only.
"""
import _ast
import _socket
import builtins
import gc
import json
import linecache
import mmap
import os
import signal
import struct
import sys
import traceback
import types

CONTROL_FD = 3
TEXT_MAX = 64 * 1024
IMAGE_MAX = 4 * 1024 * 1024
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


class Control:
    """The socket to dsb-init: u8 type, u32 length, payload, and descriptors."""

    def __init__(self, fd):
        self.sock = _socket.socket(fileno=fd)

    def receive(self):
        space = _socket.CMSG_SPACE(8 * 4)
        head, ancillary, _, _ = self.sock.recvmsg(5, space)
        if len(head) != 5:
            sys.exit(0)
        kind, length = struct.unpack("<cI", head)
        fds = []
        for level, what, data in ancillary:
            if level == _socket.SOL_SOCKET and what == _socket.SCM_RIGHTS:
                fds += struct.unpack("%di" % (len(data) // 4), data)
        parts = []
        while length:
            part = self.sock.recv(min(length, 1 << 20))
            if not part:
                sys.exit(0)
            parts.append(part)
            length -= len(part)
        return kind, json.loads(b"".join(parts)), fds

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
        text = json.dumps(value, allow_nan=False)
        return value if len(text) <= IMAGE_MAX else None
    if isinstance(value, bytes):
        import binascii

        if not mime.startswith("image/") or len(value) > IMAGE_MAX:
            return None
        return binascii.b2a_base64(value, newline=False).decode()
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


def figures():
    """Every open figure as PNG; only when the code has used pyplot."""
    plt = sys.modules.get("matplotlib.pyplot")
    if plt is None:
        return []
    import io

    made = []
    for number in plt.get_fignums():
        try:
            figure = plt.figure(number)
            out = io.BytesIO()
            figure.savefig(out, format="png", bbox_inches="tight")
            image = entry("image/png", out.getvalue())
            text = text_of(repr(figure))
            made.append({"text/plain": text})
            if image is not None:
                made[-1]["image/png"] = image
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
        self.pid = os.getpid()
        self.code = request["code"]
        self.filename = request.get("filename") or "main.py"
        self.namespace = namespace
        self.error = None
        self.result = None
        self.exit_code = 0
        self.interrupted = False

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
        lines = self.code.splitlines(True)
        # No modification time: linecache must not look for a file of that name.
        linecache.cache[self.filename] = (len(self.code), None, lines, self.filename)
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
            if value is not None and os.getpid() == self.pid:
                self.result = bundle(value)

    def _failed(self, error):
        self.interrupted = isinstance(error, KeyboardInterrupt)
        tb = user_frames(error)
        text = "".join(traceback.format_exception(type(error), error, tb))
        self.error = {
            "name": type(error).__name__,
            "value": "",
            "traceback": text_of(text),
        }
        try:
            self.error["value"] = text_of(error)
        except Exception:
            self.error["value"] = "<str() raised>"
        try:
            sys.stdout.flush()
        except Exception:
            pass
        try:
            if sys.excepthook is not sys.__excepthook__:
                sys.excepthook(type(error), error, tb)
            elif sys.stderr is not None:
                sys.stderr.write(text)
        except Exception:
            pass


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
    report = {"result": execution.result, "displays": [], "error": execution.error}
    try:
        report["displays"] = figures()
    except Exception:
        pass
    while True:
        data = json.dumps(report).encode()
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
    os.environ.update(env)
    paths = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:0] = ["/sandbox"] + paths
    sys.argv = [request.get("filename") or "main.py"] + list(request.get("argv") or ())
    # As on a terminal: output is there when the process is killed later.
    sys.stdout.reconfigure(line_buffering=True)
    return Report(fds[3]) if len(fds) > 3 else None


def fresh_main(filename):
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    if not filename.startswith("<"):
        main.__file__ = filename
    sys.modules["__main__"] = main
    return main


def interpreter_end(main, before):
    """What the interpreter does at its end, without the slow part."""
    import atexit
    import threading

    for step in (threading._shutdown, atexit._run_exitfuncs):
        try:
            step()
        except BaseException:
            traceback.print_exc()
    # Objects that only module variables hold, above all open files, must be finished.
    for name in [n for n in sys.modules if n not in before]:
        path = getattr(sys.modules[name], "__file__", None)
        if isinstance(path, str) and path.startswith("/sandbox/"):
            sys.modules[name].__dict__.clear()
    main.__dict__.clear()
    gc.collect()
    status = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            status = 120
    return status


def run_once(control):
    kind, request, fds = control.receive()
    if kind != b"E" or len(fds) < 3:
        sys.exit("kernel: unexpected message")
    execution = Execution(request, None)
    report = adopt(request, fds)
    main = fresh_main(execution.filename)
    execution.namespace = main.__dict__
    before = set(sys.modules)
    control.send(b"S")
    control.close()
    execution.run()
    try:
        if report and os.getpid() == execution.pid:
            report.write(make_report(execution, report.room))
    except Exception:
        pass
    except KeyboardInterrupt:
        execution.interrupted = True
    status = interpreter_end(main, before) or execution.exit_code
    if execution.interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def main():
    with open("/proc/self/oom_score_adj", "w") as f:
        f.write("1000")
    control = Control(CONTROL_FD)
    _, config, _ = control.receive()
    for name in config.get("preload") or ():
        try:
            __import__(name)
        except Exception:
            pass
    import warnings

    warnings.filters.insert(0, ("ignore", QuietShow, UserWarning, None, 0))
    sys.path[:] = [p for p in sys.path if p]
    gc.collect()
    gc.freeze()
    control.send(b"R")
    run_once(control)


main()
