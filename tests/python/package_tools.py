# SPDX-License-Identifier: MIT
"""Functions of the program that code in a sandbox calls, on a real engine."""
import asyncio
import threading
import time

from common import Case, EngineCase, scaled

import dsandbox
from dsandbox import AsyncSession, Sandbox, Session


def search(what, n=1):
    return {"what": what, "n": n, "bytes": b"\0\xff"}


def fails(kind, message):
    raise {"KeyError": KeyError, "Own": type("Own", (Exception,), {})}[kind](message)


def hangs():
    time.sleep(3600)


TOOLS = {"search": search, "fails": fails, "add": lambda a, b: a + b, "large": lambda: "x" * (10 << 20)}


class Tools(EngineCase):
    def session(self):
        session = Session(client=self.client, base_dir=self.base, timeout=scaled(60), policy={"grace": "60s"}, **self.options())
        self.addCleanup(session.close, delete_files=True)
        return session

    def ok(self, result, stdout):
        self.assertEqual((result.status, result.stdout), ("ok", stdout), result.raw)
        return result

    def test_arguments_and_answers(self):
        result = self.session().run("print(search(b'\\xff', n=[1.5, None, {'a': (1, 2)}]))", tools=TOOLS)
        self.ok(result, "{'what': b'\\xff', 'n': [1.5, None, {'a': [1, 2]}], 'bytes': b'\\x00\\xff'}\n")
        self.assertEqual([(call.tool, call.status) for call in result.calls], [("search", "ok")])
        self.assertEqual(result.calls_total, 1)

    def test_a_run_without_a_session(self):
        result = Sandbox(client=self.client, base_dir=self.base, **self.options()).run("print(add(1, 2))", tools=TOOLS)
        self.ok(result, "3\n")

    def test_exceptions(self):
        result = self.session().run("for kind in 'KeyError', 'Own':\n  try: fails(kind, 'why')\n"
                                    "  except fails.Error as e: print(type(e).__name__, isinstance(e, KeyError), e)\nfails('Own', 'last')", tools=TOOLS)
        self.assertEqual((result.status, result.stdout), ("error", "KeyError True why\nOwn False why\n"), result.raw)
        self.assertEqual((result.error.name, result.error.value), ("Own", "last"))
        self.assertEqual([call.status for call in result.calls], ["error"] * 3)

    def test_what_is_no_answer(self):
        tools = {"odd": object, "deep": lambda: [[]], "nan": lambda: float("nan"), "leaves": lambda: exit(3)}
        result = self.session().run("for f in odd, nan, leaves:\n  try: f()\n  except Exception as e: print(type(e).__name__)", tools=tools)
        self.ok(result, "TypeError\nValueError\nSystemExit\n")

    def test_too_deep(self):
        deep = []
        for _ in range(40):
            deep = [deep]
        result = self.session().run("try: f()\nexcept ValueError as e: print('no')", tools={"f": lambda: deep})
        self.ok(result, "no\n")

    def test_thousand(self):
        result = self.session().run("s = 0\nfor i in range(1000): s = add(s, i)\nprint(s)", tools=TOOLS)
        self.ok(result, "499500\n")
        self.assertEqual((result.calls_total, len(result.calls), {call.status for call in result.calls}), (1000, 1000, {"ok"}))

    def test_fifty_at_once(self):
        """They meet: nobody goes on before all are there."""
        meet = threading.Barrier(50, timeout=scaled(60))

        def wait(i):
            meet.wait()
            return i

        result = self.session().run("import asyncio\nprint(sum(await asyncio.gather(*[wait(i) for i in range(50)])))\n"
                                    "from concurrent.futures import ThreadPoolExecutor\n"
                                    "with ThreadPoolExecutor(50) as pool: print(sum(pool.map(wait.sync, range(50))))", tools={"wait": wait})
        self.ok(result, "1225\n1225\n")

    def test_large_answer(self):
        self.ok(self.session().run("print(len(large()))", tools=TOOLS), "10485760\n")

    def test_one_that_hangs(self):
        session = self.session()
        result = session.run("try: hangs()\nexcept TimeoutError as e: print('late')", tools={"hangs": hangs}, call_timeout=1)
        self.ok(result, "late\n")
        self.assertEqual(result.calls[0].status, "timeout")
        result = session.run("hangs()", tools={"hangs": hangs}, timeout=scaled(1))
        self.assertEqual((result.status, result.state.outcome), ("timeout", "kept"), result.raw)

    def test_the_clock_stops(self):
        limit = scaled(.6)
        result = self.session().run("f()\nprint('on')", tools={"f": lambda: time.sleep(2 * limit)}, timeout=limit, calls_stop_clock=True)
        self.ok(result, "on\n")

    def test_a_call_in_a_call(self):
        """What code calls may itself run code that calls."""
        outer, inner = self.session(), self.session()
        tools = {"f": lambda x: int(inner.run("print(g(%d))" % x, tools={"g": lambda x: x * 2}).stdout)}
        self.ok(outer.run("print(f(f(3)))", tools=tools), "12\n")

    def test_asynchronous(self):
        there = set()

        async def slow(i):
            there.add(threading.get_ident())
            await asyncio.sleep(0.05)
            return i

        async def never():
            await asyncio.sleep(3600)

        async def main():
            async with AsyncSession(client=self.client, base_dir=self.base, timeout=scaled(60), **self.options()) as session:
                result = await session.run("import asyncio\nprint(sum(await asyncio.gather(*[slow(i) for i in range(20)])), add.sync(1, 2))",
                                           tools={"slow": slow, "add": TOOLS["add"]})
                self.ok(result, "190 3\n")
                self.assertEqual(there, {threading.get_ident()})
                result = await session.run("never()", tools={"never": never}, timeout=scaled(.2))
                self.assertEqual(result.status, "timeout", result.raw)
                await asyncio.sleep(0.05)
                self.assertEqual([task for task in asyncio.all_tasks() if "awaited" in repr(task)], [])

        asyncio.run(main())

    def test_an_async_tool_without_a_loop(self):
        async def double(x):
            return x * 2

        self.ok(self.session().run("print(double(4))", tools={"double": double}), "8\n")


class Given(Case):
    def test_what_cannot_be_called(self):
        with self.assertRaises(dsandbox.InvalidError):
            dsandbox.sandbox._calls({}, {"a": 1}, None, False)
