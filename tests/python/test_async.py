#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""AsyncSession, and errors that travel. Without an engine against tests/python/fake.py, with one for real."""
import asyncio
import os
import pickle
import time

from common import Case, EngineCase, FakeCase, main, scaled

import dsandbox
from dsandbox import AsyncSession


class Errors(Case):
    def test_pickle(self):
        """They come back from a pool of processes as what they were."""
        from dsandbox.errors import error_of
        for code in ("invalid", "not_found", "unavailable", "denied", "refused", "busy", "conflict", "limit", "lost", "cancelled",
                     "engine_timeout", "protocol", "plugin", "failed"):
            error = error_of(code, "what and what to do")
            again = pickle.loads(pickle.dumps(error))
            self.assertEqual((type(again), again.code, again.message, str(again), again.args),
                             (type(error), code, "what and what to do", "what and what to do", error.args))
        result = dsandbox.Result.from_json({"status": "timeout", "stdout": "x"})
        with self.assertRaises(dsandbox.ExecutionFailed) as caught:
            result.check()
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertEqual((str(again), again.result), (str(caught.exception), result))

    def test_kinds(self):
        self.assertTrue(issubclass(dsandbox.TimedOutError, TimeoutError))
        self.assertTrue(issubclass(dsandbox.UnavailableError, ConnectionError))
        self.assertEqual(str(dsandbox.UnavailableError("no engine", "unavailable")), "no engine")
        self.assertEqual(set(dsandbox.__all__) & set(asyncio.__all__), set())

    def test_members_of_the_result(self):
        """What they become; that none is forgotten is asked in package_members.py."""
        data = {"status": "error", "reason": "why", "image": {"ref": "a:1", "id": "sha256:00"},
                "error": {"name": "E", "value": "v", "traceback": None}, "plugin": {"path": "/p.so", "version": "1"},
                "files": {"created": [{"path": "\ufffd", "path_base64": "/w==", "size": 1}, {"path": "ä", "size": 2}], "modified": [],
                          "deleted": [], "truncated": True},
                "state": {"outcome": "rolled_back", "reason": "r", "execution": 3, "to": 2, "point": "taken", "vars": None,
                          "restored": {"names": ["a"], "missing": [{"name": "b", "why": "no pickle"}]}}}
        result = dsandbox.Result.from_json(data)
        self.assertEqual((result.reason, result.image, result.image_id, result.error.traceback), ("why", "a:1", "sha256:00", None))
        self.assertEqual([file.name for file in result.files.created], [b"\xff", "ä".encode()])
        self.assertTrue(result.files.truncated)
        self.assertEqual(result.plugin, {"path": "/p.so", "version": "1"})
        state = result.state
        self.assertEqual((state.execution, state.to, state.point), (3, 2, "taken"))
        self.assertEqual((state.restored.names, state.restored.missing[0].why), (("a",), "no pickle"))


class Fake(FakeCase):
    def test_names_of_no_file(self):
        session = dsandbox.Session("a")
        calls = len(self.service.calls)
        for name in ("", ".", b"", b".", "a/.", b"../b"):
            for call in (session.files.read, session.files.delete, lambda name: session.files.write(name, "x")):
                with self.assertRaises(dsandbox.InvalidError):
                    call(name)
        self.assertEqual(len(self.service.calls), calls, "nothing was asked")

    def test_run(self):
        async def work():
            async with AsyncSession() as session:
                results = await asyncio.gather(*(session.run(f"{n} * 2") for n in range(5)))
                self.assertEqual([result.value for result in results], ["0", "2", "4", "6", "8"])
                return session.id
        self.assertTrue(asyncio.run(work()).startswith("s-"))


# Code that waits for a file; what is asked meanwhile is asked meanwhile, on a machine of any speed.
UNTIL_GO = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n"


class Engine(EngineCase):
    def make(self, id=None):
        """Who is interrupted on a busy machine keeps his variables."""
        return AsyncSession(id, client=self.client, base_dir=self.base, settings={"grace": "60s"}, **self.options())

    def test_cancel_stops_the_code(self):
        async def work():
            async with self.make() as session:
                began = asyncio.Event()
                task = asyncio.ensure_future(session.run("x = 41\nprint('up')\nimport time\ntime.sleep(600)", on_stdout=lambda _: began.set(), timeout=900))
                await asyncio.wait_for(began.wait(), scaled(30))
                begin = time.monotonic()
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                result = await session.run("x + 1")
                self.assertEqual(result.value, "42", result.raw)
                return time.monotonic() - begin
        self.assertLess(asyncio.run(work()), 500)

    def test_commands(self):
        async def work():
            async with self.make() as session:
                await session.run("x = 41")
                began = asyncio.Event()
                task = asyncio.ensure_future(session.exec("echo up; sleep 600", on_stdout=lambda _: began.set(), timeout=900))
                await asyncio.wait_for(began.wait(), scaled(30))
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                result = await session.exec(["sh", "-c", "pwd; exit 3"], cwd="/tmp")
                self.assertEqual((result.exit_code, result.stdout, result.state.kept), (3, "/tmp\n", True), result.raw)
                return (await session.run("x + 1")).value
        self.assertEqual(asyncio.run(work()), "42")

    def test_cancel_without_callbacks(self):
        async def work():
            async with self.make() as session:
                await session.run("y = 6")
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(session.run("import time\ntime.sleep(600)", timeout=900), 1)
                return (await session.run("y * 7")).value
        begin = time.monotonic()
        self.assertEqual(asyncio.run(work()), "42")
        self.assertLess(time.monotonic() - begin, 500)

    def test_cancelled_in_the_queue(self):
        """What waits behind other code is given up alone."""
        async def work():
            async with self.make() as session:
                began = asyncio.Event()
                first = asyncio.ensure_future(session.run(f"print('up')\n{UNTIL_GO}z = 1", on_stdout=lambda _: began.set(), timeout=600))
                await asyncio.wait_for(began.wait(), scaled(30))
                second = asyncio.ensure_future(session.run("z = 2"))
                await self.until_queued(session, 1)
                second.cancel()
                await self.until_queued(session, 0)
                await session.files.write("go", "")
                self.assertEqual((await first).status, "ok")
                return (await session.run("z")).value
        self.assertEqual(asyncio.run(work()), "1")

    async def until_queued(self, session, number):
        until = time.monotonic() + scaled(30)
        while (await session.info()).queued != number:
            self.assertLess(time.monotonic(), until)
            await asyncio.sleep(0.02)

    def test_the_loop_goes_on(self):
        """While code runs, which it lets go itself."""
        async def work():
            async with self.make() as session:
                ticks = 0
                task = asyncio.ensure_future(session.run(UNTIL_GO, timeout=scaled(60)))
                while not task.done():
                    await asyncio.sleep(0.05)
                    ticks += 1
                    if ticks == 5:
                        await session.files.write("go", "")
                self.assertEqual((await task).status, "ok")
                await session.files.delete("go")
                await session.files.write("a.txt", "x")
                self.assertEqual(await session.files.read_text("a.txt"), "x")
                listing = await session.files.list()
                self.assertEqual(([file.name for file in listing], listing.truncated), ([b"a.txt"], False))
                return ticks
        self.assertGreater(asyncio.run(work()), 3)

    def test_names_that_are_no_text(self):
        session = dsandbox.Session("bytes-" + os.urandom(4).hex(), client=self.client, base_dir=self.base, **self.options())
        self.addCleanup(session.close, delete_files=True)
        result = session.run("import os\nopen(b'/sandbox/\\xff', 'w').write('there')")
        self.assertEqual([file.name for file in result.files.created], [b"\xff"], result.raw)
        self.assertEqual([file.name for file in session.files.list()], [b"\xff"])
        self.assertEqual(session.files.read(b"\xff"), b"there")


if __name__ == "__main__":
    main()
