# SPDX-License-Identifier: MIT
"""What goes between the interpreter and dsb-init: commands, the control socket, and the report of an execution.

kernel.py loads this file; its names are here as well.
"""
import _json
import _socket
import mmap
import struct

CONTROL_FD, REPORT_FD = 3, 4  # what dsb-init lets us inherit
RING_SIZE, RING_LEAST = 516 * 1024, 2 << 20  # as guest/init has them
encode_string = _json.encode_basestring_ascii


def encode(value):
    """JSON of None, truth values, integers, strings, lists and dicts; what is ready-made JSON comes as Raw."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
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


class Command:
    """What the host wants, as dsb-init has checked it: numbers, then parts that begin with their length."""

    HEAD, LENGTH = struct.Struct("<4I4Q"), struct.Struct("<I")
    SESSION, CHECKPOINT = 1, 2  # flags of the configuration; when points are taken is for dsb-init

    def __init__(self, data):
        _, self.flags, arguments, _, *self.numbers = self.HEAD.unpack_from(data)
        parts, at = [], self.HEAD.size
        while at < len(data):
            end = at + 4 + self.LENGTH.unpack_from(data, at)[0]
            parts.append(data[at + 4 : end].decode())
            at = end
        self.text, self.name = parts[:2]
        self.arguments = parts[2 : 2 + arguments]
        self.variables = dict(zip(parts[2 + arguments :: 2], parts[3 + arguments :: 2]))


class Control:
    """The socket to dsb-init: u8 type, u32 length, u32 number, u64 nonce, payload."""

    HEADER = struct.Struct("<cIIQ")

    def __init__(self, fd):
        self.sock = _socket.socket(fileno=fd)

    def receive(self):
        head = self.sock.recv(self.HEADER.size)
        if len(head) != self.HEADER.size:
            raise SystemExit(0)
        kind, length, self.number, self.nonce = self.HEADER.unpack(head)
        parts = []
        while length:
            part = self.sock.recv(min(length, 1 << 20))
            if not part:
                raise SystemExit(0)
            parts.append(part)
            length -= len(part)
        data = b"".join(parts)
        return kind, Command(data) if kind in (b"C", b"E", b"Q") else data

    def send(self, letter):
        self.sock.send(letter)

    def close(self):
        self.sock.close()


class Report:
    """Memory shared with dsb-init, u64 length, u64 milliseconds of drawing, and JSON: no descriptor is left for user code to see.

    Its end, from `ring` on, is for printing.py; 0 where it is too small for that.
    """

    def __init__(self, fd):
        size = os.fstat(fd).st_size
        probe = os.dup(fd)
        os.close(probe)
        self.memory = mmap.mmap(fd, size)
        self.ring = size - RING_SIZE if size >= RING_LEAST else 0
        self.room = (self.ring or size) - 16
        try:
            # The module keeps a copy of the descriptor, at the lowest free number.
            if os.path.sameopenfile(fd, probe):
                os.close(probe)
        except OSError:
            pass
        os.close(fd)

    def write(self, data):
        if len(data) <= self.room:
            self.memory[16 : 16 + len(data)] = data
            self.memory[:8] = struct.pack("<Q", len(data))

    def ask_for_time(self, seconds):
        """So much of the time goes into drawing: dsb-init adds it to the limit, up to a bound of its own."""
        self.memory[8:16] = struct.pack("<Q", int(seconds * 1000))


def open_report():
    """None where dsb-init has no memory for it, and has put something else in its place."""
    if os.fstat(REPORT_FD).st_size:
        return Report(REPORT_FD)
    os.close(REPORT_FD)
    return None


def make_report(execution, more):
    """The JSON, with displays and then rich values left out until it fits."""
    report = {"result": execution.result, "displays": [], "error": execution.error}
    shown = execution.shown
    if shown:
        report["displays"] = [Raw(text) for text in shown.entries]
    report.update(more)
    room = execution.report.room if execution.report else 0
    while True:
        if shown:
            report["omitted"] = [{"count": n, "reason": text_of(why)} for why, n in shown.omitted.items()]
        data = encode(report).encode()
        over = len(data) - room
        if over <= 0:
            return data
        if report["displays"]:
            while report["displays"] and over > 0:
                over -= len(report["displays"].pop().text)
                shown.leave_out("there is no room left in the result")
        elif isinstance(report["result"], Raw) or (report["result"] and len(report["result"]) > 1):
            report["result"] = None if isinstance(report["result"], Raw) else {"text/plain": report["result"]["text/plain"]}
            execution.output().leave_out("there is no room left in the result")
            shown = execution.shown
        elif report.get("vars"):
            report["vars"] = None
        else:
            return b""
