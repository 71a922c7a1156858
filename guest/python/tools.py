# SPDX-License-Identifier: MIT
"""Tools: functions of the caller's, for one execution.  A call goes to dsb-init, and from there to the host.

kernel.py loads this file where there are some; its names are here as well.  User code may do without it and speak to
dsb-init itself, which makes no difference: the host knows what it has given.
"""
ASK, ANSWER = struct.Struct("<BI"), struct.Struct("<BI")
ARGUMENTS_MAX = 1 << 20  # bytes, as guest/init has it
KINDS_MAX = 100
PAUSE = 0.01  # seconds, where too many wait to be heard
BYTES = "$base64"  # the one member of an object that stands for bytes
BUILTINS = dict(builtins.__dict__)
json, base64 = library("json"), library("base64")  # now: a call may come from any thread
OVER = "the execution that was given this tool is over"


class ToolError(Exception):
    """A tool failed, or could not be called.  It is also an exception of the type that it was there, if that is a builtin one."""

    __module__ = "builtins"
    tool = None

    def __str__(self):
        return str(self.args[0]) if self.args else ""


KNOWN = {"ToolError": ToolError}


def class_of(kind):
    if kind in KNOWN:
        return KNOWN[kind]
    if not (isinstance(kind, str) and kind.isidentifier() and len(kind) <= KINDS_MAX) or len(KNOWN) > KINDS_MAX:
        return ToolError
    like = BUILTINS.get(kind)
    bases = (ToolError, like) if isinstance(like, type) and issubclass(like, Exception) else (ToolError,)
    try:
        made = type(kind, bases, {"__module__": "builtins"})
        made("")
    except TypeError:  # it wants more than a text
        made = type(kind, (ToolError,), {"__module__": "builtins"})
    KNOWN[kind] = made
    return made


def plain_value(value):
    """What JSON has no word for."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {BYTES: base64.b64encode(bytes(value)).decode()}
    if hasattr(value, "tolist"):
        return value.tolist()  # of numpy
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError("a tool takes what JSON has, and bytes, not %s" % type(value).__name__)


def as_bytes(members):
    if len(members) == 1 and isinstance(members.get(BYTES), str):
        return base64.b64decode(members[BYTES])
    return members


class Tool:
    """A function of the caller's.  Where an event loop runs in this thread a call is to be awaited; sync() waits here instead."""

    Error = ToolError

    def __init__(self, name, place):
        self.__name__ = self.__qualname__ = name
        self._place = place

    def __repr__(self):
        return "<tool %s>" % self.__name__

    def __reduce__(self):
        raise TypeError("a tool is there for one execution")

    def __call__(self, *args, **kwargs):
        events = sys.modules.get("asyncio.events")
        if events is not None and events._get_running_loop() is not None:
            return self.aio(*args, **kwargs)
        return self.sync(*args, **kwargs)

    def sync(self, *args, **kwargs):
        data = self._asked(args, kwargs)
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(None)
            sock.connect(self._place)
            sock.sendall(data)
            kind, size = ANSWER.unpack(self._read(sock, ANSWER.size))
            text = self._read(sock, size)
        except OSError:
            raise self._error("ToolError", OVER) from None
        finally:
            sock.close()
        return self._value(kind, text)

    async def aio(self, *args, **kwargs):
        asyncio, loop = library("asyncio"), library("asyncio").get_running_loop()
        data = self._asked(args, kwargs)
        sock = library("socket").socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            sock.setblocking(False)
            while True:
                try:
                    sock.connect(self._place)
                    break
                except BlockingIOError:
                    await asyncio.sleep(PAUSE)
            await loop.sock_sendall(sock, data)
            kind, size = ANSWER.unpack(await self._read_soon(loop, sock, ANSWER.size))
            text = await self._read_soon(loop, sock, size)
        except OSError:
            raise self._error("ToolError", OVER) from None
        finally:
            sock.close()
        return self._value(kind, text)

    def _asked(self, args, kwargs):
        name = self.__name__.encode()
        text = json.dumps({"args": args, "kwargs": kwargs}, allow_nan=False, separators=(",", ":"), default=plain_value)
        data = text.encode()
        if len(data) > ARGUMENTS_MAX:
            raise self._error("ValueError", "the arguments take %d bytes, and a tool takes %d" % (len(data), ARGUMENTS_MAX))
        return ASK.pack(len(name), len(data)) + name + data

    def _read(self, sock, size):
        parts = []
        while size:
            parts.append(sock.recv(min(size, 1 << 20)))
            if not parts[-1]:
                raise self._error("ToolError", OVER)
            size -= len(parts[-1])
        return b"".join(parts)

    async def _read_soon(self, loop, sock, size):
        parts = []
        while size:
            parts.append(await loop.sock_recv(sock, min(size, 1 << 20)))
            if not parts[-1]:
                raise self._error("ToolError", OVER)
            size -= len(parts[-1])
        return b"".join(parts)

    def _error(self, kind, message):
        error = class_of(kind)(message)
        error.tool = self.__name__
        return error

    def _value(self, kind, text):
        value = json.loads(text.decode(), object_hook=as_bytes)
        if kind:
            raise self._error(value["type"], value["message"])
        return value["result"]


def asking(tool):
    """In the place of the builtin input(), which waits wherever it is called."""

    def input(prompt="", /):
        """Asks for a line of text."""
        sys.stdout.flush()
        return str(tool.sync(str(prompt)))

    return input


def give(namespace, text):
    """The names of the tools stand for them in the code's namespace.  Gives what takes them back."""
    place, *names = text.decode().split("\n")
    tools = {name: Tool(name, "\0" + place) for name in names}
    input_before, input_now = builtins.input, asking(tools.pop("input")) if "input" in tools else None
    builtins.input = input_now or input_before
    before = {name: namespace[name] for name in tools if name in namespace}
    namespace.update(tools)

    def take_back():
        if input_now and builtins.input is input_now:
            builtins.input = input_before
        for name, tool in tools.items():
            if namespace.get(name) is not tool:
                continue  # the code has put something else there
            if name in before:
                namespace[name] = before[name]
            else:
                del namespace[name]

    return take_back
