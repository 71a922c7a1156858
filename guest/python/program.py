# SPDX-License-Identifier: MIT
"""A program as the interpreter itself would run it: without a frame of ours beneath it, from a file of its own.

kernel.py loads this file; its names are here as well.  The code is called by C alone: kernel.py ends in an exception,
and the hook for it is a C iterator over steps, exec() of some code being one.  Who chooses the steps is a generator,
whose frame rests meanwhile.  An exception must not leave the code then, so all of it stands in a try statement that
hands the exception over, again without a frame.
"""
import _functools
from itertools import chain, repeat, starmap

set_trace, set_profile, partial = sys.settrace, sys.setprofile, _functools.partial
MARK = "what the code is given to call"
open_file, make_directory, change_mode, unlink_file = os.open, os.mkdir, os.fchmod, os.unlink
write_file, close_file, random_bytes, io_module = os.write, os.close, os.urandom, sys.modules["_io"]
WRITABLE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
IMPORT = "<frozen importlib"
CHAIN_MAX = 1000  # exceptions that name each other
TRACEBACK = BaseException.__dict__["__traceback__"]
NAMED = [BaseException.__dict__[name].__get__ for name in ("__cause__", "__context__")]
TRIES = 3  # an exception of a signal handler can come while another one is handed over


def behind_ours(tb):
    """Where it goes on behind frames of ours, with those of an import around them; else the same."""
    ours, after = False, tb
    while after is not None and after.tb_frame.f_code.co_filename.startswith((PLACE, IMPORT)):
        ours = ours or after.tb_frame.f_code.co_filename.startswith(PLACE)
        after = after.tb_next
    return after if ours else tb


def without_ours(tb):
    """A traceback without our frames, wherever they stand in it."""
    first = last = behind_ours(tb)
    while last is not None:
        after = behind_ours(last.tb_next)
        if after is not last.tb_next:
            last.tb_next = after
        last = after
    return first


def user_frames(error):
    """The traceback without our frames; those of the exceptions that it names lose them, too."""
    due, seen = [error], set()
    while due and len(seen) < CHAIN_MAX:
        each = due.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            TRACEBACK.__set__(each, without_ours(TRACEBACK.__get__(each)))
            due += [get(each) for get in NAMED]
    return TRACEBACK.__get__(error)


class Sink:
    """What the code calls where it ends: all of it C."""

    opens = closes = None  # in a session: the signals

    def __init__(self):
        self.values, self.errors, self.masks = [], [], []
        self.value, self.error, self.exc_info = self.values.append, self.errors.append, sys.exc_info
        self.untrace, self.unprofile = partial(set_trace, None), partial(set_profile, None)
        self.mask = self.masks.append

    def __await__(self):
        return iter(())  # what the code awaits where nothing is to be waited for

    def clear(self):
        """What it has does not live as long as the code does."""
        self.values.clear()
        self.errors.clear()


class Maker:
    """Makes the statements around the code, which stand at its last line."""

    def __init__(self, last):
        line = getattr(last, "end_lineno", last.lineno)
        self.where = {"lineno": line, "col_offset": 0, "end_lineno": line, "end_col_offset": 0}

    def call(self, name, *args):
        mark = _ast.Constant(MARK, None, **self.where)
        return _ast.Call(_ast.Attribute(mark, name, _ast.Load(), **self.where), list(args), [], **self.where)

    def statements(self, *calls):
        return [_ast.Expr(call, **self.where) for call in calls]

    def value(self, node):
        """The statement that hands over the value of an expression, at the same place."""
        call = self.call("value", node)
        for name in self.where:
            setattr(call, name, getattr(node, name))
        return _ast.Expr(call, **self.where)

    def awaiting(self):
        """The statement that makes a coroutine of the code."""
        return _ast.Expr(_ast.Await(_ast.Constant(MARK, None, **self.where), **self.where), **self.where)

    def enclose(self, body, sink):
        end = self.statements(self.call("untrace"), self.call("unprofile"))
        if sink.closes:
            body = self.statements(self.call("opens")) + body
            end += self.statements(self.call("mask", self.call("closes")))
        body = body + end
        for _ in range(TRIES):
            handler = self.statements(self.call("error", self.call("exc_info"))) + end
            body = [_ast.Try(body, [_ast.ExceptHandler(None, None, handler, **self.where)], [], [], **self.where)]
        return body


def is_docstring(node):
    return isinstance(node, _ast.Expr) and isinstance(node.value, _ast.Constant) and isinstance(node.value.value, str)


def silenced(source, statement):
    """Whether the last statement ends with a semicolon."""
    code = read_text(source)
    if ";" not in code:
        return False
    # As the parser counts lines: a form feed and the like end none.
    lines = code.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").split(b"\n")
    rest = lines[statement.end_lineno - 1][statement.end_col_offset :]
    return rest.lstrip(b" \t\f\\").startswith(b";")


def make_tree(source, filename):
    try:
        return compile(source, filename, "exec", ONLY_AST, True)
    except SyntaxError as error:
        if error.lineno is not None or "\0" not in read_text(source):
            raise
    # Of a string the interpreter does not say where it is; of a file it does.
    before = read_text(source).partition("\0")[0].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    raise SyntaxError("source code cannot contain null bytes", (filename, len(before), None, before[-1]))


def make_code(source, filename, sink, flags=0):
    """The code, or None where the interpreter allows no try statement around it."""
    tree = make_tree(source, filename)
    body = tree.body
    if not body:
        return compile(tree, filename, "exec", flags, True)
    maker = Maker(body[-1])
    text = is_docstring(body[0])
    tasks = flags and "asyncio" in read_text(source) and part("notebook.py")["makes_tasks"](tree)
    if isinstance(body[-1], _ast.Expr) and not silenced(source, body[-1]):
        value = [maker.value(body[-1].value)]
        body = body + value if text and len(body) == 1 else body[:-1] + value
    head = int(text)
    while head < len(body) and isinstance(body[head], _ast.ImportFrom) and body[head].module == "__future__":
        head += 1
    if tasks:
        body.insert(head, maker.awaiting())
    tree.body = body[:head] + maker.enclose(body[head:], sink)
    try:
        code = compile(tree, filename, "exec", flags, True)
    except (SyntaxError, RecursionError, MemoryError):
        code = None
    if code is None:
        compile(source, filename, "exec", flags, True)  # what is wrong with it in the interpreter's own words
        return None
    return code.replace(co_consts=tuple([sink if type(c) is str and c == MARK else c for c in code.co_consts]))


def has_coding_line(data):
    return b"coding" in b"\n".join(data.split(b"\n", 2)[:2])


def encode_source(text):
    """The file that has this text: as its coding line says."""
    data = text.encode("utf-8", "surrogatepass")
    if not has_coding_line(data):
        return data
    try:
        return text.encode(library("tokenize").detect_encoding(iter(data.splitlines(True)).__next__)[0])
    except Exception:
        return data  # the interpreter says what is wrong with it


def read_text(source):
    """A program as text, by its coding line."""
    if isinstance(source, str):
        return source
    try:
        if has_coding_line(source):
            return sys.modules["_frozen_importlib_external"].decode_source(source)
        return source.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except Exception:
        return source.decode("utf-8", "replace")


# --- the program's file


def read_file(path):
    try:
        with io_module.FileIO(path) as f:
            return f.readall()
    except OSError:
        return None


def write_new(path, data):
    fd = open_file(path, WRITABLE, 0o444)
    try:
        change_mode(fd, 0o444)
        view = memoryview(data)
        while view:
            view = view[write_file(fd, view) :]
    except OSError:
        unlink_file(path)
        raise
    finally:
        close_file(fd)


def place_program(name, data):
    """Where the program is: in /sandbox, beside its data, where dsb-init removes it; elsewhere if that name is taken."""
    path = "/sandbox/" + name
    try:
        write_new(path, data)
    except FileExistsError:
        if read_file(path) == data:
            return path
        try:
            place = "/tmp/program-%d-%s" % (getpid(), random_bytes(6).hex())
            make_directory(place, 0o700)
            write_new(place + "/" + name, data)
            return place + "/" + name
        except OSError:
            pass
    except OSError:
        pass  # no room, or nowhere to write: the program runs without
    return path


# --- the streams


def new_stream(fd, errors):
    """As the interpreter makes it; but what a program has printed is there when it is killed later."""
    name = ("<stdin>", "<stdout>", "<stderr>")[fd]
    raw = io_module.FileIO(fd, "w" if fd else "r", closefd=False)
    raw.name = name
    buffer = io_module.BufferedWriter(raw) if fd else io_module.BufferedReader(raw)
    stream = io_module.TextIOWrapper(buffer, "utf-8", errors, "\n", line_buffering=fd > 0)
    stream.mode = "w" if fd else "r"
    return stream


LINES = 1000
COUNTED = []  # the stream whose lines are counted


def expect_lines(stream, execution):
    """After many lines they no longer cost a write each (printing.py).  Until then C alone counts them: flushes."""
    forget_lines()
    buffer, flush = stream.buffer, stream.buffer.flush
    begin = partial(many_lines, buffer, execution)
    COUNTED[:] = [buffer]
    buffer.flush = chain(starmap(flush, repeat((), LINES)), starmap(begin, [()]), starmap(flush, repeat(()))).__next__


def many_lines(buffer, execution):
    buffer.__dict__.pop("flush", None)
    buffer.flush()
    if current() is execution:
        part("printing.py")["engage"](buffer, execution)


def forget_lines():
    """The execution is over: what threads print from now on is not its output."""
    if "printing.py" in PARTS:
        PARTS["printing.py"]["disengage"]()
    for buffer in COUNTED:
        buffer.__dict__.pop("flush", None)
    COUNTED.clear()


def is_closed(stream):
    try:
        return bool(stream.closed)
    except Exception:
        return False


def unraisable(error, text):
    """As the interpreter tells of an error that nobody can catch."""
    tb, hook = user_frames(error), sys.unraisablehook
    if sys.version_info < (3, 13):
        text = "Exception ignored in: %r" % (sys.stdout,)
    if hook is sys.__unraisablehook__:
        lines = library("traceback").format_exception(type(error), error, tb)
        sys.stderr.write("".join([text, ":\n"[sys.version_info < (3, 13) :]] + lines))
    else:
        words = {"exc_type": type(error), "exc_value": error, "exc_traceback": tb, "err_msg": text, "object": None}
        hook(type(sys.implementation)(**words))


def flush_streams():
    """0, or 120 as the interpreter's own status for output that was lost."""
    status = 0
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        try:
            if stream is not None and not is_closed(stream):
                stream.flush()
        except Exception as e:
            status = 120
            try:
                if name == "stdout":
                    unraisable(e, "Exception ignored on flushing sys.stdout")
            except Exception:
                pass
    return status


def flush_own_streams():
    for name in ("__stdout__", "__stderr__"):
        try:
            getattr(sys, name).flush()
        except Exception:
            pass


# --- the end


KINDS = (type, type(sys), type(len), type(make_code))


def clear_module(names):
    """Values first, in their order: a __del__ still finds the functions, classes and modules that it uses."""
    for first in (True, False):
        for name in list(names):
            value = names[name]
            if name != "__builtins__" and not (first and isinstance(value, KINDS)):
                names[name] = value = None
        gc.collect()


def clear_modules(main, before):
    """Objects that only module variables hold, above all open files, must be finished."""
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, getattr(sys, "__%s__" % name, None))
    for name in [n for n in sys.modules if n not in before]:
        path = getattr(sys.modules[name], "__file__", None)
        if isinstance(path, str) and path.startswith("/sandbox/"):
            clear_module(sys.modules[name].__dict__)
    clear_module(main.__dict__)


def interpreter_end(main, before):
    """What the interpreter does at its end, without the slow part.  Gives the status for lost output."""
    threading = sys.modules.get("threading")
    try:
        if threading is not None:
            threading._shutdown()
    except Exception as e:
        sys.excepthook(type(e), e, user_frames(e))
    run = library("atexit")._run_exitfuncs
    if sys.version_info >= (3, 10):
        yield partial(run)
    else:
        try:
            run()
        except Exception:
            pass  # it has said so on stderr
    status = flush_streams()
    if not library("_thread")._count():
        clear_modules(main, before)
    return status
