#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tools: functions of the host that code calls. Here the host is this test, once and in a session."""
import json
import struct
import unittest

from guest_client import (ACK, CANCEL, DONE, EXEC, FAILURE, STDERR, STDIN, STDOUT, GuestCase, as_process, exec_command, namespaces, once,
                          program_command, scaled)
from test_session import Base
import runner

TOOLS, CALL, RETURN, RETURNED = 20, 21, 22, 23
STOPS_CLOCK = 16
# As code could do it that has no tool, or not this one: it finds the way in what it was given.
FORGES = """
import socket, struct
def ask(head, rest=b"", tool=search):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(tool._place)
    sock.sendall(head + rest)
    data = b""
    while True:
        try:
            part = sock.recv(1 << 16)
        except ConnectionResetError:
            return data
        if not part:
            return data
        data += part
"""


def answer(number, value=None, error=None):
    data = {"type": error[0], "message": error[1]} if error else {"result": value}
    return struct.pack("<IB", number, bool(error)) + json.dumps(data).encode()


class Call:
    def __init__(self, payload):
        self.number, name, size = struct.unpack_from("<IBI", payload)
        self.name = payload[9 : 9 + name].decode()
        self.text = payload[9 + name :]
        assert len(self.text) == size, payload

    @property
    def given(self):
        return json.loads(self.text)


class Case:
    """What a one-shot run and a session have in common."""

    def begin(self, code, names=("search",), **options):
        self.out, self.err, self.calls, self.returned = b"", b"", [], []
        self.send_tools(names)
        options.setdefault("timeout_ms", int(scaled(20) * 1000))
        payload = exec_command(code, "main.py", **{k: v for k, v in options.items() if k != "stops_clock"})
        if options.get("stops_clock"):
            payload = payload[:4] + struct.pack("<I", STOPS_CLOCK) + payload[8:]
        self.guest.send(EXEC, payload, self.number)
        self.guest.send(STDIN, b"", self.number)

    def send_tools(self, names):
        if names:
            self.guest.send(TOOLS, "\n".join(names).encode(), self.number)

    def back(self, call, value=None, error=None):
        self.guest.send(RETURN, answer(call.number, value, error), self.number)

    def frame(self):
        kind, number, payload = self.guest.until(STDOUT, STDERR, CALL, RETURNED, DONE, FAILURE)
        self.assertEqual(number, self.number, payload)
        if kind == STDOUT:
            self.out += payload
        elif kind == STDERR:
            self.err += payload
        elif kind == CALL:
            self.calls.append(Call(payload))
        elif kind == RETURNED:
            self.returned.append(struct.unpack("<I", payload)[0])
        return kind, payload

    def call(self):
        known = len(self.calls)
        while len(self.calls) == known:
            kind, payload = self.frame()
            self.assertNotIn(kind, (DONE, FAILURE), (payload, self.err))
        return self.calls[-1]

    def end(self):
        while True:
            kind, payload = self.frame()
            self.assertNotEqual(kind, FAILURE, payload)
            if kind == DONE:
                self.guest.send(ACK, b"", self.number)
                return json.loads(payload)

    def run_code(self, code, tool, **options):
        """`tool` is called with each call, and gives the value or raises."""
        self.begin(code, **options)
        while True:
            kind, payload = self.frame()
            self.assertNotEqual(kind, FAILURE, payload)
            if kind == CALL:
                self.answer_with(tool)
            if kind == DONE:
                self.guest.send(ACK, b"", self.number)
                return json.loads(payload)

    def answer_with(self, tool):
        call = self.calls[-1]
        try:
            self.back(call, tool(call))
        except Exception as error:
            self.back(call, error=(type(error).__name__, str(error.args[0])))

    # --- what holds for both

    def test_a_call(self):
        done = self.run_code("print(search('a', 2, deep={'x': [None, True, 1.5]}))", lambda call: [call.name, call.given])
        self.assertEqual((done["status"], done["exit_code"], self.err), ("exited", 0, b""))
        given = {"args": ["a", 2], "kwargs": {"deep": {"x": [None, True, 1.5]}}}
        self.assertEqual(self.out.decode(), "%r\n" % ["search", given])
        self.assertEqual(([call.number for call in self.calls], self.returned), ([1], [1]))

    @once
    def test_bytes(self):
        done = self.run_code("b = search(b'\\0\\xff', bytearray(b'b'))\nprint(b)", lambda call: {"$base64": "AP8="})
        self.assertEqual((done["exit_code"], self.out), (0, b"b'\\x00\\xff'\n"), self.err)
        self.assertEqual(self.calls[0].given["args"], [{"$base64": "AP8="}, {"$base64": "Yg=="}])

    @once
    def test_errors_have_a_type(self):
        def fails(call):
            raise type(names[call.given["args"][0]], (Exception,), {})("w")

        names = "KeyError ValueError OSError UnicodeDecodeError Custom".split()
        code = ("for i, kind in enumerate((KeyError, ValueError, OSError, search.Error, search.Error)):\n"
                "  try: search(i)\n  except kind as e: print(type(e).__name__, e, isinstance(e, search.Error), e.tool)\n")
        self.run_code(code, fails)
        self.assertEqual(self.out.decode(), "".join("%s w True search\n" % name for name in names), self.err)

    @once
    def test_an_error_nobody_catches(self):
        done = self.run_code("search()", lambda call: 1 / 0)
        self.assertEqual(done["exit_code"], 1)
        self.assertTrue(self.err.endswith(b"ZeroDivisionError: division by zero\n"), self.err)

    @once
    def test_what_it_does_not_take(self):
        code = "for v in (object(), float('nan'), 'x' * (1 << 20)):\n  try: search(v)\n  except (TypeError, ValueError) as e: print(e)"
        self.run_code(code, lambda call: 0)
        self.assertEqual(len(self.out.splitlines()), 3, (self.out, self.err))
        self.assertEqual(self.calls, [])

    def test_threads_and_order(self):
        """50 at once, answered in another order."""
        code = ("import threading\nout = {}\n"
                "def one(i): out[i] = search(i)\n"
                "ts = [threading.Thread(target=one, args=(i,)) for i in range(50)]\n"
                "for t in ts: t.start()\nfor t in ts: t.join()\nprint(out == {i: i * i for i in range(50)})")
        self.begin(code)
        for _ in range(50):
            self.call()
        for call in reversed(self.calls[:50]):
            self.back(call, call.given["args"][0] ** 2)
        self.end()
        self.assertEqual(self.out, b"True\n", self.err)

    def test_more_than_there_may_be_wait(self):
        """Of 300 at once 64 are asked for; all get theirs."""
        code = ("import asyncio\nasync def all(): return await asyncio.gather(*[search(i) for i in range(300)])\n"
                "print(asyncio.run(all()) == list(range(300)))")
        self.begin(code)
        for _ in range(64):
            self.call()
        for call in list(self.calls):
            self.back(call, call.given["args"][0])
        for _ in range(300 - 64):
            call = self.call()
            self.back(call, call.given["args"][0])
        self.end()
        self.assertEqual(self.out, b"True\n", self.err)
        self.assertEqual(sorted(self.returned), list(range(1, 301)))

    @once
    def test_in_a_loop_and_not_to_be_awaited(self):
        code = ("import asyncio\n"
                "async def main(): return await search(1), search.sync(2), await asyncio.gather(search(3), search(4))\n"
                "print(asyncio.run(main()), search(5))")
        self.run_code(code, lambda call: call.given["args"][0])
        self.assertEqual(self.out, b"(1, 2, [3, 4]) 5\n", self.err)

    @once
    def test_processes_that_the_code_starts(self):
        code = "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: print(p.map(search, range(4)))"
        code = code.replace("p.map(search, ", "p.map(lambda_, ").replace("import", "def lambda_(i): return search(i)\nimport", 1)
        self.run_code(code, lambda call: call.given["args"][0] + 1)
        self.assertEqual(self.out, b"[1, 2, 3, 4]\n", self.err)

    def test_a_large_answer(self):
        done = self.run_code("x = search()\nprint(len(x), x[:2], x[-2:])", lambda call: "ab" * (5 << 20))
        self.assertEqual((done["exit_code"], self.out), (0, b"10485760 ab ab\n"), self.err)

    @once
    def test_an_answer_that_nobody_reads(self):
        """It is no reason to hear nothing else."""
        code = FORGES + ("import time\ns = socket.socket(socket.AF_UNIX)\ns.connect(search._place)\n"
                         "s.sendall(struct.pack('<BI', 6, 2) + b'search{}')\n"
                         "print(search(1))\ntime.sleep(1000)")
        self.begin(code)
        first, second = self.call(), self.call()
        self.back(first, "x" * (8 << 20))
        self.back(second, "there")
        while b"there" not in self.out:
            self.frame()
        self.assertEqual(self.returned, [second.number])
        self.guest.send(CANCEL, b"", self.number)
        self.assertEqual(self.end()["status"], "cancelled")

    def test_forged_calls(self):
        """A name that was not given goes to the host, which knows; what is no call goes nowhere."""
        code = FORGES + ("for head, rest in ((struct.pack('<BI', 0, 0), b''), (struct.pack('<BI', 65, 0), b'a' * 65),\n"
                         "    (struct.pack('<BI', 1, 0), b'-'), (struct.pack('<BI', 2, 0), b'\\xff\\xfe'), (struct.pack('<BI', 1, 0), b'9'),\n"
                         "    (struct.pack('<BI', 1, (1 << 20) + 1), b'a'), (struct.pack('<BI', 1, 0xffffffff), b'a'),\n"
                         "    (struct.pack('<BI', 1, 2), b'a{}more')):\n"
                         "  print(ask(head, rest))\n"
                         "print(ask(struct.pack('<BI', 4, 1), b'openx'))\n")
        self.run_code(code, lambda call: 1)
        self.assertEqual([(call.name, call.text) for call in self.calls], [("open", b"x")])
        lines = self.out.splitlines()
        self.assertEqual(lines[:8], [b"b''"] * 8, (self.out, self.err))
        self.assertIn(b"result", lines[8])

    def test_no_way_without_tools(self):
        self.begin("print('search' in globals(), any('dsandbox-tools' in l for l in open('/proc/net/unix')))", names=())
        self.end()
        self.assertEqual(self.out.splitlines()[0].split()[0], b"False", self.err)

    @once
    def test_gone_while_it_waits(self):
        """Who asked has closed: the host hears it once, and its answer is nobody's."""
        code = FORGES + ("s = socket.socket(socket.AF_UNIX)\ns.connect(search._place)\n"
                         "s.sendall(struct.pack('<BI', 6, 2) + b'search{}')\nimport time; time.sleep(.2); s.close()\nprint(search(2))")
        self.begin(code)
        first = self.call()
        second = self.call()
        self.assertEqual(self.returned, [first.number])
        self.back(first, 1)
        self.back(first, 1)
        self.back(second, 2)
        self.end()
        self.assertEqual((self.out, self.returned), (b"2\n", [first.number, second.number]), self.err)

    def test_the_time_limit_and_a_cancel_reach_it(self):
        self.begin("search()", timeout_ms=int(scaled(.5) * 1000))
        self.call()
        self.assertEqual(self.end()["status"], "timeout")

    def test_a_cancel_reaches_it(self):
        self.begin("search()")
        self.call()
        self.guest.send(CANCEL, b"", self.number)
        self.assertEqual(self.end()["status"], "cancelled")

    @once
    def test_the_clock_stops(self):
        """While the host is at it, and no longer."""
        limit = scaled(.6)
        self.begin("search()\nprint('on', flush=True)\nwhile True: pass", timeout_ms=int(limit * 1000), stops_clock=True)
        call = self.call()
        with self.assertRaises(AssertionError):
            self.guest.receive(3 * .6)
        self.back(call)
        self.assertEqual(self.end()["status"], "timeout")
        self.assertEqual(self.out, b"on\n")

    @once
    def test_no_tools_for_a_program(self):
        self.begin_nothing()
        self.send_tools(["search"])
        self.guest.send(EXEC, program_command(["true"], env={}), self.number)
        self.assertIn("a program with tools", json.loads(self.guest.until(FAILURE, DONE)[2])["message"])

    @once
    def test_bad_frames(self):
        for payload, why in ((b"", "no name"), (b"a\n", "no name"), (b"a\n\nb", "no name"), (b"a b", "no name"), (b"9", "no name"),
                             (b"a" * 65, "no name"), (b"\xc3\xa9", "no name"), (b"a\0", "no name"), (b"a\n" * 5000 + b"a", "too long")):
            with self.subTest(payload[:20]):
                self.begin_nothing()
                self.guest.send(TOOLS, payload, self.number)
                self.assertIn(why, json.loads(self.guest.until(FAILURE, DONE)[2])["message"])
        for payload in (b"", b"1234", b"1234\2{}"):
            with self.subTest(payload):
                self.begin_nothing()
                self.begin("search()")
                self.call()
                self.guest.send(RETURN, payload, self.number)
                self.assertIn("bad return frame", json.loads(self.guest.until(FAILURE, DONE)[2])["message"])


class Once(Case, GuestCase):
    number = 1

    def begin(self, code, **options):
        self.begin_nothing()
        super().begin(code, **options)

    def begin_nothing(self):
        self.guest = self.start()

    run_code = Case.run_code


class InSession(Case, Base):
    def begin(self, code, **options):
        self.live.number += 1
        super().begin(code, **options)

    def begin_nothing(self):
        self.live = self.start()
        self.guest = self.live.guest
        self.live.number = 1

    number = property(lambda self: self.live.number)

    def setUp(self):
        super().setUp()
        self.begin_nothing()
        self.live.number = 0

    @once
    def test_gone_with_its_execution(self):
        """The name stands for what it did before; who has kept the tool cannot call it."""
        self.run_code("search = 'mine'", lambda call: 1, names=("other",))
        self.run_code("kept = search\nprint(search(), other(), [n for n in globals() if n == 'other'])", lambda call: 1, names=("search", "other"))
        self.assertEqual(self.out, b"1 1 ['other']\n", self.err)
        self.run_code("print(search, 'other' in globals())\ntry: kept()\nexcept Exception as e: print(e)", lambda call: 1, names=())
        self.assertEqual(self.out, b"mine False\nthe execution that was given this tool is over\n", self.err)
        self.run_code("try: kept()\nexcept Exception as e: print(e)", lambda call: 1, names=("search",))
        self.assertEqual((self.out, self.calls), (b"the execution that was given this tool is over\n", []), self.err)

    @once
    def test_calls_are_counted_anew(self):
        for _ in range(2):
            self.test_a_call()

    @once
    def test_no_variables(self):
        self.run_code("a = search()", lambda call: 1)
        self.assertEqual([row["name"] for row in self.live.control("vars")["vars"]], ["a"])

    @once
    def test_input(self):
        """A tool of that name stands for the builtin function, in modules and where a loop runs, too; and only for this execution."""
        code = ("import asyncio, types\nm = types.ModuleType('m')\nexec('def f(): return input(42)', m.__dict__)\n"
                "async def g(): return input('in a loop')\nprint(input('first'), m.f(), asyncio.run(g()), input())")
        self.run_code(code, lambda call: call.given["args"][0] + "!", names=("input", "search"))
        self.assertEqual(self.out, b"first! 42! in a loop! !\n", self.err)
        self.run_code("await asyncio.sleep(0)\nprint(input('p'))", lambda call: 7, names=("input",))
        self.assertEqual(self.out, b"7\n", self.err)
        self.run_code("print(input is __builtins__.input, input.__class__.__name__, 'input' in globals())", lambda call: 1)
        self.assertEqual(self.out, b"True builtin_function_or_method False\n", self.err)

    @once
    def test_await_outside_a_function(self):
        self.run_code("import asyncio\nprint(await search(1), await asyncio.gather(*[search(i) for i in range(3)]))",
                      lambda call: call.given["args"][0])
        self.assertEqual(self.out, b"1 [0, 1, 2]\n", self.err)

    @once
    def test_a_crash_with_a_call(self):
        self.run_code("x = 1", lambda call: 1)
        self.begin("import threading, os, time\nthreading.Thread(target=search).start()\ntime.sleep(.2)\nos._exit(3)")
        call = self.call()
        self.assertEqual(self.end()["state"]["outcome"], "rolled_back")
        self.back(call)
        self.run_code("print(x, search())", lambda call: 2)
        self.assertEqual(self.out, b"1 2\n", self.err)


@as_process
class OnceAsProcess(Once, unittest.TestCase):
    pass


@as_process
class SessionAsProcess(InSession, unittest.TestCase):
    pass


@unittest.skipUnless(namespaces(), "no namespaces here")
class OnceAsPid1(Once, unittest.TestCase):
    prefix = namespaces() or ()


@unittest.skipUnless(namespaces(), "no namespaces here")
class SessionAsPid1(InSession, unittest.TestCase):
    prefix = namespaces() or ()


if __name__ == "__main__":
    runner.main()
